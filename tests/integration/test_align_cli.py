"""`vesalius align` from case files to a head that finds unseen pairs, with the real models."""

import argparse
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from indexers.encoders.aligned.encoder import CHANNEL
from pipelines.alignment import aligned_encoder
from pipelines.config import load_settings
from rag.cli import align
from rag.errors import IndexMismatch, SourceError, UsageError
from rag.types import CaseLocator, Passage, Query

pytestmark = pytest.mark.usefixtures("forwards_once")

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 200), "pale": (225, 215, 205)}
SHAPES = ("round", "square", "striped")
SIZES = {"small": 14, "large": 42}


def run(*arguments):
    top = argparse.ArgumentParser()
    align.add(top.add_subparsers())
    args = top.parse_args(["align", *map(str, arguments), "--quiet", "--json"])
    return args.run(args)


def draw(path, colour, shape, size, seed):
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 130, (112, 112, 3)).astype(np.uint8))
    canvas, half, (x, y) = ImageDraw.Draw(image), SIZES[size], rng.integers(48, 64, 2).tolist()
    box = (x - half, y - half, x + half, y + half)
    if shape == "round":
        canvas.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        canvas.rectangle(box, fill=COLOURS[colour])
    else:
        for step in range(-half, half, 6):
            canvas.line((x - half, y + step, x + half, y + step), fill=COLOURS[colour], width=3)
    image.save(path)


def corpus(folder, seed, copies=2):
    """One record per colour, shape and size; a patient has `copies` of one look, worded differently."""
    (folder / "images").mkdir(parents=True)
    lines = []
    looks = [(colour, shape, size) for colour in COLOURS for shape in SHAPES for size in SIZES]
    for number, (colour, shape, size) in enumerate(looks):
        for copy in range(copies):
            name = f"images/{number}-{copy}.png"
            draw(folder / name, colour, shape, size, seed + 100 * number + copy)
            text = f"A {size} {colour} {shape} lesion." if copy else f"The lesion is {colour} and {size}; {shape} form."
            row = {"id": f"r{number}-{copy}", "image": name, "report": text, "patient_id": f"p{number}-{copy}"}
            lines.append(json.dumps(row | {"domain": "drawing"}))
    (folder / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def fitted(models, tmp_path_factory):
    base = tmp_path_factory.mktemp("align")
    cases, head = corpus(base / "cases", 0), base / "head"
    code = run("fit", "--cases", cases, "--out", head, "--folds", 3)
    return cases, head, code


def test_fit_writes_a_head_and_says_whether_it_is_active(fitted):
    _, head, code = fitted
    card = json.loads((head / "head.json").read_text())
    figures = card["figures"]
    # The drawings are so easy that the floor may be perfect; then nothing can beat it.
    assert card["active"] is (figures["against"]["r10_minus_floor"]["both"]["low"] > 0)
    assert (code, card["reason"] == "") == ((0, True) if card["active"] else (1, False))
    assert figures["n"] == 48
    assert figures["image_to_text"]["intervals"]["r10"]["low"] > figures["chance"]["r10"]


def test_eval_on_unseen_cases_judges_the_stored_head(fitted, tmp_path, capsys):
    _, head, _ = fitted
    other = corpus(tmp_path / "other", 9000)
    code = run("eval", "--cases", other, "--head", head)
    document = json.loads(capsys.readouterr().out)
    assert code in (0, 1)
    assert document["n"] == 48
    assert document["protocol"].startswith("the stored head on 48 unseen pairs")
    assert document["image_to_text"]["r10"] > document["chance"]["r10"]
    assert {"r1", "r5", "r10", "median_rank"} <= document["text_to_image"].keys()
    assert document["left_out"] == {"without_text": 0, "without_image": 0, "duplicates": 0}


def test_eval_on_the_training_cases_fits_anew_in_folds(fitted, capsys):
    cases, head, _ = fitted
    run("eval", "--cases", cases, "--head", head, "--folds", "3")
    document = json.loads(capsys.readouterr().out)
    figures = json.loads((head / "head.json").read_text())["figures"]
    assert document["protocol"] == "refitted in 3 folds, groups kept whole"
    assert document["image_to_text"] == figures["image_to_text"]
    assert document["floor"] == figures["floor"]


def test_the_encoder_of_the_head_finds_images_by_text(fitted, tmp_path):
    cases, head, _ = fitted
    card = json.loads((head / "head.json").read_text())
    (tmp_path / "head.npz").write_bytes((head / "head.npz").read_bytes())
    (tmp_path / "head.json").write_text(json.dumps(card | {"active": True}))
    encoder = aligned_encoder(tmp_path, load_settings().settings)
    rows = [json.loads(line) for line in (cases / "records.jsonl").read_text().splitlines()]
    locator = CaseLocator("r")
    passages = [Passage(row["id"], "case", "c", row["report"], locator, (cases / row["image"],)) for row in rows]
    images = np.concatenate(encoder.encode_passages(passages))
    [query] = encoder.encode_queries([Query("a large blue square lesion")])
    best = [rows[place]["report"] for place in np.argsort(-(images @ query[0]))[:4]]
    assert encoder.spec.name == CHANNEL
    assert sum("blue" in text for text in best) >= 2


def test_a_head_of_another_encoder_is_refused(fitted, tmp_path):
    _, head, _ = fitted
    card = json.loads((head / "head.json").read_text())
    (tmp_path / "head.npz").write_bytes((head / "head.npz").read_bytes())
    card["encoders"]["image"] = "0123456789abcdef"
    (tmp_path / "head.json").write_text(json.dumps(card))
    with pytest.raises(IndexMismatch, match="0123456789abcdef"):
        aligned_encoder(tmp_path, load_settings().settings)


def test_too_few_pairs_are_refused_before_any_model_is_needed(tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    (folder / "records.jsonl").write_text('{"id": "a", "report": "a text"}\n')
    with pytest.raises(UsageError, match="0 pairs of image and text"):
        run("fit", "--cases", folder, "--out", tmp_path / "head")
    assert not (tmp_path / "head").exists()


def test_eval_without_a_head_is_told_before_encoding(tmp_path):
    with pytest.raises(UsageError, match="there is no head in"):
        run("eval", "--cases", tmp_path, "--head", tmp_path / "absent")


def test_eval_with_a_damaged_head_is_told_before_encoding(tmp_path):
    (tmp_path / "head.json").write_text("{}")
    with pytest.raises(SourceError, match="cannot be read"):
        run("eval", "--cases", tmp_path, "--head", tmp_path)


def test_one_fold_is_refused(tmp_path):
    with pytest.raises(SystemExit):
        run("fit", "--cases", tmp_path, "--out", tmp_path / "head", "--folds", "1")
