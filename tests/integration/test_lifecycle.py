"""A library from build to removal on the command line: status, verify, repair, remove, and a rebuild that is killed."""

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexers.stores.edge import EdgeStore
from pipelines.config import load_settings
from pipelines.ingest import BuildOptions, Sources
from pipelines.library import Library, build_library
from pipelines.verification import discard, vector_fault
from rag.cli.app import main
from rag.errors import StoreError
from rag.types import Point, Query, SparseVector, VectorSpec

pytestmark = pytest.mark.usefixtures("forwards_once")

ROOT = Path(__file__).parents[2]
WORDS = ["channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[bm25]", "channels.facts=[bm25,dense]"]
SETTINGS = load_settings(overrides=WORDS).settings


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name, n in (("signs", 40), ("drugs", 20)):
        rows = "".join(f"{name} {i}\tsuggests\tillness {i}\n" for i in range(n))
        (folder / f"{name}.tsv").write_text("head\trelation\ttail\n" + rows)
    Image.new("RGB", (300, 400), "white").save(folder / "leaf.png")
    return Sources((folder / "leaf.png",), (), (folder / "signs.tsv", folder / "drugs.tsv"))


@pytest.fixture(scope="module")
def built(models, sources, tmp_path_factory):
    folder = tmp_path_factory.mktemp("libraries") / "library"
    build_library(folder, sources, SETTINGS)
    return folder


@pytest.fixture
def library(built, tmp_path):
    return Path(shutil.copytree(built, tmp_path / "library"))


def verified(library, capsys, *flags):
    """Exit code and findings of `index verify`."""
    capsys.readouterr()
    code = main(["index", "verify", "--library", str(library), "--json", *flags])
    return code, json.loads(capsys.readouterr().out)


def some_ids(library, kind="fact", n=1):
    with Library.open(library) as opened:
        return list(opened.store.ids(kind))[:n]


def test_status_tells_bytes_and_the_last_build(library, capsys):
    assert main(["index", "status", "--library", str(library), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["counts"] == {"page": 1, "figure": 0, "case": 0, "fact": 60}
    assert set(status["bytes"]) == {"store", "images", "journal", "other"}
    assert status["bytes"]["store"] > 10_000
    assert status["bytes"]["images"] > 0
    assert status["last_build"]["units"] == {"pages": 1, "facts": 2}
    assert main(["index", "status", "--library", str(library)]) == 0
    assert "on disk: store" in capsys.readouterr().out


def test_a_whole_library_passes_with_every_vector_read(library, capsys):
    code, found = verified(library, capsys, "--deep")
    assert code == 0
    assert found["ok"]
    assert found["vectors_checked"] == 61


def test_every_kind_of_damage_is_found_and_repaired(library, sources, capsys):
    [kept, lost, changed, blind] = some_ids(library, n=4)
    with Library.open(library) as opened:
        store = opened.store
        [passage] = store.get([kept])
        stray = replace(passage, id="00000000-0000-4000-8000-000000000001")
        [old] = store.points([changed])
        [bare] = store.points([blind])
        store.upsert([Point(stray, {}), replace(old, passage=replace(old.passage, text="another text"))])
        store.upsert([Point(bare.passage, {"bm25": bare.vectors["bm25"]})])
        discard(store, "fact", [lost])
    [image] = (library / "images").rglob("*.jpg")
    image.unlink()
    (image.parent / "p00002.jpg").write_bytes(b"left over")
    code, found = verified(library, capsys, "--deep")
    assert code == 1
    assert [item["id"] for item in found["missing"]] == [lost]
    assert [item["id"] for item in found["orphaned"]] == [stray.id]
    assert [item["id"] for item in found["altered"]] == [changed]
    assert [item["id"] for item in found["vectors"]] == [blind]
    assert "no vector for dense" in found["vectors"][0]["detail"]
    assert [item["kind"] for item in found["images"]] == ["page"]
    assert found["files"] == [str(image.parent / "p00002.jpg")]

    code, found = verified(library, capsys, "--deep", "--repair")
    assert code == 1  # a build has to follow
    assert found["repair"]["deleted"] == found["repair"]["files"] == 1
    assert {row["source"] for row in found["repair"]["remake"]} == {"pages", "facts"}
    build_library(library, sources, SETTINGS)
    code, found = verified(library, capsys, "--deep")
    assert (code, found["ok"]) == (0, True)
    with Library.open(library) as opened:
        assert opened.status()["counts"]["fact"] == 60


def test_a_repair_of_what_needs_no_build_is_content(library, capsys):
    (library / "images" / "stray.jpg").write_bytes(b"x")
    assert main(["index", "verify", "--library", str(library), "--repair"]) == 0
    assert "deleted 0 orphaned passages and 1 files" in capsys.readouterr().out
    assert main(["index", "verify", "--library", str(library)]) == 0


def test_what_a_stopped_build_left_is_not_called_a_stray_file(models, sources, tmp_path, capsys):
    folder = tmp_path / "partial"
    build_library(folder, sources, SETTINGS, BuildOptions(limit=1))
    [image] = (folder / "images").rglob("*.jpg")
    (image.parent / "p00009.jpg").write_bytes(b"parsed ahead")
    code, found = verified(folder, capsys)
    assert (code, found["files"]) == (0, [])


@pytest.mark.parametrize(
    ("vector", "word"),
    [
        (np.full((2, 4), np.nan, np.float32), "not finite"),
        (np.full((2, 4), 0.5, np.float32), ""),
        (np.full((2, 4), 0.9, np.float32), "length"),
        (np.zeros((1, 4), np.float32), "length"),
        (np.full((2, 3), 0.5, np.float32), "shape"),
        (np.zeros((0, 4), np.float32), "shape"),
        (SparseVector((1,), (float("inf"),)), "not finite"),
        (SparseVector((1,), (2.0,)), ""),
    ],
)
def test_bad_vectors_are_told_from_good_ones(vector, word):
    fault = vector_fault(VectorSpec("late", "multi", 4), vector)
    assert (word in fault) if word else fault == ""


def test_removal_takes_passages_and_images_and_nothing_else(library, capsys):
    assert main(["index", "remove", "leaf", "drugs", "--library", str(library), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == {"page": 1, "figure": 0, "case": 0, "fact": 20}
    assert list((library / "images").rglob("*.jpg")) == []
    code, _ = verified(library, capsys, "--deep")
    assert code == 0
    with Library.open(library) as opened:
        assert all(hit.passage.document == "signs" for hit in opened.search(Query(text="drugs illness"), k=60))


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_removal_stopped_between_its_steps_can_be_run_again(library, capsys, monkeypatch, step):
    from indexers.journal import Journal
    from pipelines import library as module

    def stop(*arguments, **named):
        raise StoreError("stopped")

    target = [(EdgeStore, "delete"), (module.shutil, "rmtree"), (Journal, "forget")][step - 1]
    with monkeypatch.context() as patched:
        patched.setattr(*target, stop)
        assert main(["index", "remove", "leaf", "--library", str(library)]) == 3
    assert main(["index", "remove", "leaf", "--library", str(library)]) == 0
    code, _ = verified(library, capsys)
    assert code == 0


def test_changes_are_refused_while_another_process_makes_one(library, capsys):
    from pipelines.ingest import build_lock

    with build_lock(library):
        for action in (["remove", "leaf"], ["verify", "--repair"], ["rebuild"], ["export"]):
            assert main(["index", *action, "--library", str(library), "--quiet"]) == 3
            assert "is being changed by process" in capsys.readouterr().err


@pytest.mark.slow
def test_a_rebuild_killed_at_random_moments_leaves_a_library_that_works(library, capsys):
    command = [sys.executable, "-m", "rag.cli.app", "index", "rebuild", "--library", str(library), "--quiet", "--set"]
    command.append("channels.facts=[bm25]")
    chance = random.Random(5)
    for _ in range(3):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.5, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        with Library.open(library) as opened:
            assert opened.search("illness 7", k=1)
            assert opened.inspect().ok
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with Library.open(library) as opened:
        assert {channel.name for channel in opened.parts.channels() if channel.kind == "fact"} == {"bm25"}
    code, _ = verified(library, capsys, "--deep")
    assert code == 0


def test_the_journal_keeps_whole_paths(library, sources):
    with closing(sqlite3.connect(library / "journal.sqlite")) as database:
        paths = {path for (path,) in database.execute("SELECT path FROM documents")}
    assert paths == {str(path) for path in (*sources.pages, *sources.facts)}
