"""Fine-tuning a tiny open_clip model on drawings: it learns, it is resumable, it is judged, and it can be a channel."""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from benchmarks.tiny_checkpoints import open_clip_checkpoint
from indexers.encoders.clip.opening import open_clip_encoder
from indexers.encoders.clip.options import ClipOptions
from indexers.encoders.tuning.options import TuningOptions
from indexers.encoders.tuning.source import WEIGHTS, open_source
from indexers.encoders.tuning.state import STATE
from indexers.encoders.tuning.training import memory_errors
from indexers.encoders.tuning.weights import TrainedWeights, adapted_names
from indexers.encoders.visual.torch_library import load_torch
from rag.cli import align
from rag.errors import ConfigError, EnvironmentProblem, UsageError
from rag.types import Query


def loaded(path):
    """The tensors of a file. Imported here: the fast suite collects this module where safetensors is absent."""
    from safetensors.numpy import load_file

    return load_file(path)


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
COLOURS = {"red": (220, 30, 30), "green": (30, 190, 50), "blue": (40, 60, 220), "white": (245, 245, 245)}
PLACES = {"upper left": (8, 8), "upper right": (24, 8), "lower left": (8, 24), "lower right": (24, 24)}


def corpus(folder, copies=8):
    folder.mkdir(parents=True)
    lines, rng = [], np.random.default_rng(0)
    for number in range(copies * 16):
        colour, place = list(COLOURS)[number % 4], list(PLACES)[number // 4 % 4]
        image = Image.fromarray(rng.integers(60, 110, (32, 32, 3)).astype(np.uint8))
        x, y = PLACES[place]
        ImageDraw.Draw(image).ellipse((x - 7, y - 7, x + 7, y + 7), fill=COLOURS[colour])
        image.save(folder / f"{number}.png")
        row = {"id": f"r{number}", "image": f"{number}.png", "report": f"A {colour} spot {place}, case {number}."}
        lines.append(json.dumps(row | {"patient_id": f"p{number}", "domain": "drawing"}))
    (folder / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning")
    load_torch("tests").manual_seed(0)
    open_clip_checkpoint(folder / "model")
    corpus(folder / "cases")
    return folder


def arguments(place, out, method="full", epochs=3):
    flags = ["--cases", place / "cases", "--out", out, "--model", place / "model", "--method", method]
    return [*map(str, flags), "--epochs", str(epochs), "--batch", "16", "--quiet", "--json"]


def run(*given):
    top = argparse.ArgumentParser()
    align.add(top.add_subparsers())
    args = top.parse_args(["align", *map(str, given)])
    return args.run(args)


@pytest.fixture(scope="module")
def tuned(place):
    out = place / "tuned"
    return out, run("fit", *arguments(place, out))


def test_a_tuned_model_is_judged_beside_chance_and_what_it_was(tuned, place, capsys):
    out, code = tuned
    card = json.loads((out / "tuning.json").read_text())
    figures = card["figures"]
    assert code == (0 if card["active"] else 1)
    assert card["active"] is (card["reason"] == "")
    assert figures["floor"]["name"] in ("ridge on the model as it was", "the model as it was")
    assert 20 <= figures["n"] <= 32 < figures["candidates"] == 128
    assert len(card["training"]) == 128 - figures["n"]
    assert not (place / "tuned.training").exists()
    capsys.readouterr()
    assert run("eval", "--cases", place / "cases", "--head", out, "--quiet", "--json") == code
    again = json.loads(capsys.readouterr().out)
    assert {name: again[name] for name in ("image_to_text", "text_to_image", "floor")} == {
        name: figures[name] for name in ("image_to_text", "text_to_image", "floor")
    }


def test_the_same_command_again_trains_nothing(tuned, place):
    out, code = tuned
    before = (out / WEIGHTS).stat().st_mtime_ns, (out / "tuning.json").read_text()
    assert run("fit", *arguments(place, out)) == code
    assert ((out / WEIGHTS).stat().st_mtime_ns, (out / "tuning.json").read_text()) == before


@pytest.mark.parametrize("method", ["full", "lora"])
def test_training_brings_the_pairs_it_sees_together(place, tmp_path, method):
    from indexers.encoders.aligned.features import PairFeatures
    from indexers.encoders.aligned.terms import term_counts
    from indexers.encoders.tuning.batches import tuning_pairs
    from indexers.encoders.tuning.state import StateFolder
    from indexers.encoders.tuning.training import Tuner
    from pipelines.alignment import read_pairs

    passages = read_pairs([place / "cases"]).passages
    texts = tuple(passage.text for passage in passages)
    features = PairFeatures(np.ones((len(texts), 1, 2), np.float32), np.ones((len(texts), 2), np.float32),
                            term_counts(texts), np.arange(len(texts)), ("drawing",) * len(texts))  # fmt: skip
    options = TuningOptions(method=method, epochs=6, patience=6, batch=16, learning_rate=2e-3, seed=1)
    pairs = tuning_pairs(tuple(passage.images[0] for passage in passages), texts, features, options)
    heard = []
    tuner = Tuner(open_source(str(place / "model")).library, pairs, options, StateFolder(tmp_path, "x"), "cpu")
    before = tuner._validated()
    tuner.run(lambda epoch, recall, best: heard.append((epoch, best)))
    assert [epoch for epoch, _ in heard] == list(range(1, 7))
    assert heard[-1][1] > before[0] + 0.1


def test_a_killed_training_goes_on_and_ends_equally(place, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run("fit", *arguments(place, whole, "lora", 12)) in (0, 1)
    command = [sys.executable, "-c", "import sys; from rag.cli.app import main; sys.exit(main(sys.argv[1:]))"]
    command += ["align", "fit", *arguments(place, killed, "lora", 12)]
    state, kills, stamp = tmp_path / "killed.training" / STATE, 0, 0
    while True:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None:
            time.sleep(0.01)
            now = state.stat().st_mtime_ns if state.exists() else 0
            if kills < 3 and now > stamp:
                time.sleep(0.02 * kills)
                stamp = state.stat().st_mtime_ns if state.exists() else now
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
        if process.returncode != -signal.SIGKILL:
            break
    assert kills == 3
    assert process.returncode in (0, 1)
    first, second = loaded(whole / WEIGHTS), loaded(killed / WEIGHTS)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    cards = [json.loads((folder / "tuning.json").read_text()) for folder in (whole, killed)]
    assert cards[0] == cards[1]


def test_a_damaged_state_begins_anew(place, tmp_path):
    work = tmp_path / "out.training"
    work.mkdir()
    (work / STATE).write_bytes(b"no tensors")
    assert run("fit", *arguments(place, tmp_path / "out", "lora", 1)) in (0, 1)
    assert (tmp_path / "out" / WEIGHTS).is_file()


def test_thin_matrices_start_as_nothing_and_leave_embeddings_alone(place):
    torch = load_torch("tests")
    model = open_source(str(place / "model")).library.load("cpu", torch.float32)
    names = adapted_names(model)
    assert {"text_projection", "visual.proj"} <= set(names)
    assert not any("embedding" in name or "conv" in name for name in names)
    trained = TrainedWeights(model, TuningOptions(rank=2))
    own = dict(model.named_parameters())
    for name, one in trained.weights().items():
        assert torch.equal(one, own[name])
    assert sum(one.numel() for one in trained.numbers.values()) < sum(one.numel() for one in own.values()) / 10


def test_channel_clip_opens_the_tuned_folder(tuned, place):
    out, _ = tuned
    encoder, before = (
        open_clip_encoder(ClipOptions(str(folder), devices=("cpu",))) for folder in (out, place / "model")
    )
    [row] = encoder.encode_queries([Query("A red spot upper left")])
    assert row.shape == (1, 64)
    assert encoder.fingerprint != before.fingerprint


def test_a_base_that_is_gone_is_told(tuned, place, tmp_path):
    copy = shutil.copytree(tuned[0], tmp_path / "copy")
    card = json.loads((copy / "tuning.json").read_text())
    (copy / "tuning.json").write_text(json.dumps(card | {"model": str(tmp_path / "gone")}))
    with pytest.raises(UsageError, match="the checkpoint that the model was tuned from"):
        run("eval", "--cases", place / "cases", "--head", copy, "--quiet")


def test_a_folder_of_something_else_is_not_overwritten(place, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        run("fit", *arguments(place, tmp_path / "letters"))
    assert (tmp_path / "letters" / "a.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match="no safetensors file"):
        open_source(f"ViT-B-32/{tmp_path / 'letters' / 'a.txt'}")


def test_running_out_of_memory_says_what_helps():
    torch = load_torch("tests")
    for error in (torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory")):
        with (
            pytest.raises(EnvironmentProblem, match="32 pairs at once; pass a smaller --batch"),
            memory_errors("cpu", 32),
        ):
            raise error
    with pytest.raises(RuntimeError, match="shapes"), memory_errors("cpu", 32):
        raise RuntimeError("shapes differ")
