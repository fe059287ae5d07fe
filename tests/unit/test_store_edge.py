"""The embedded store: durability, one process at a time, damaged folders, lazy shards."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from indexers.stores import edge
from indexers.stores.edge import EdgeStore
from rag.errors import IndexMismatch, StoreError
from rag.testing.points import SPECS, basis, case, number_id, page, unit_rows
from rag.types import Prefetch, VectorSpec

HOLDER = """
import sys, time
from pathlib import Path
from indexers.stores.edge import EdgeStore
from rag.testing.points import SPECS, basis, page

store = EdgeStore.open(Path(sys.argv[1]), SPECS)
for number in range(30):
    store.upsert([page(number, {"dense": basis(0), "late": basis(1)})])
print("written", flush=True)
time.sleep(60)
"""


@pytest.fixture
def filled(tmp_path):
    folder = tmp_path / "store"
    store = EdgeStore.open(folder, SPECS)
    store.upsert([page(number, {"dense": basis(0)}) for number in range(5)])
    store.upsert([case(9, basis(0))])
    store.close()
    return folder


def test_what_upsert_has_returned_for_outlives_a_killed_process(tmp_path):
    folder = tmp_path / "store"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "written\n"
        with pytest.raises(StoreError, match="in use"):
            EdgeStore.open(folder, SPECS)
        holder.send_signal(signal.SIGKILL)
    store = EdgeStore.open(folder, SPECS)
    assert list(store.ids("page")) == [number_id(number) for number in range(30)]
    assert len(store.search("page", "late", basis(1), 50, {})) == 30
    store.close()


def test_a_folder_is_free_again_after_closing(filled):
    first = EdgeStore.open(filled, SPECS)
    with pytest.raises(StoreError, match=f"in use.*{filled}"):
        EdgeStore.open(filled, SPECS)
    first.close()
    EdgeStore.open(filled, SPECS).close()


def test_searching_pages_loads_no_other_shard(filled):
    shutil.rmtree(filled / "case")
    store = EdgeStore.open(filled, SPECS)
    hits = store.search("page", "dense", basis(0), 3, {})
    assert [passage.id for passage in store.get([hit.passage.id for hit in hits])] == [hit.passage.id for hit in hits]
    with pytest.raises(StoreError, match="case is missing"):
        store.count("case")
    store.close()


@pytest.mark.parametrize("lost", ["segments", "wal", "edge_config.json"])
def test_a_shard_with_a_missing_part_is_refused_instead_of_found_empty(filled, lost):
    part = filled / "page" / lost
    shutil.rmtree(part) if part.is_dir() else part.unlink()
    store = EdgeStore.open(filled, SPECS)
    with pytest.raises(StoreError, match=r"page is missing or incomplete.*--fresh"):
        store.search("page", "dense", basis(0), 3, {})
    assert store.count("case") == 1
    store.close()


def test_a_corrupt_shard_is_named_with_the_remedy(filled):
    for path in (filled / "page" / "segments").rglob("segment.json"):
        path.write_text("garbage")
    (filled / "page" / "edge_config.json").write_text("garbage")
    store = EdgeStore.open(filled, SPECS)
    with pytest.raises(StoreError, match=r"cannot open the store in .*page.*--fresh"):
        store.count("page")
    store.close()


@pytest.mark.parametrize("text", ["{", "[]", '{"kinds": 3}'])
def test_a_corrupt_catalogue_is_named_and_the_folder_released(filled, text):
    catalogue = filled / "store.json"
    whole = catalogue.read_text()
    catalogue.write_text(text)
    with pytest.raises(StoreError, match=r"store\.json"):
        EdgeStore.open(filled, SPECS)
    catalogue.write_text(whole)
    EdgeStore.open(filled, SPECS).close()


def test_other_channels_than_the_stored_ones_are_refused_with_both_named(filled):
    other = {**SPECS, "page": (VectorSpec("dense", "dense", 16),)}
    with pytest.raises(IndexMismatch, match=r"page channels.*'dim': 8.*'dim': 16"):
        EdgeStore.open(filled, other)


def test_a_stop_between_making_a_shard_and_naming_it_does_no_harm(tmp_path):
    left = tmp_path / "store" / "page" / "segments"
    left.mkdir(parents=True)
    (left / "half").write_text("")
    (tmp_path / "store" / "page.new").touch()
    store = EdgeStore.open(tmp_path / "store", SPECS)
    assert store.count("page") == 0
    store.upsert([page(1, {"dense": basis(0)})])
    assert store.count("page") == 1
    store.close()


def test_a_lost_catalogue_never_lets_a_shard_be_overwritten(filled):
    (filled / "store.json").unlink()
    with pytest.raises(StoreError, match=r"page holds a shard that .*store\.json does not name"):
        EdgeStore.open(filled, SPECS)


def test_a_closed_store_says_so(filled):
    store = EdgeStore.open(filled, SPECS)
    store.close()
    with pytest.raises(StoreError, match="has been closed"):
        store.count("page")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file/store.*permissions"):
        EdgeStore.open(tmp_path / "file" / "store", SPECS)


def test_a_catalogue_written_before_a_property_existed_is_read_with_its_default(tmp_path):
    folder, specs = tmp_path / "store", {"page": (VectorSpec("dense", "dense", 8, "f16"),)}
    store = EdgeStore.open(folder, specs)
    store.upsert([page(1, {"dense": basis(0)})])
    store.close()
    catalogue = folder / "store.json"
    old = json.loads(catalogue.read_text())
    del old["kinds"]["page"][0]["graph"]
    catalogue.write_text(json.dumps(old))
    store = EdgeStore.open(folder, specs)
    assert store.count("page") == 1
    store.close()
    with pytest.raises(IndexMismatch, match="graph"):
        EdgeStore.open(folder, {"page": (VectorSpec("dense", "dense", 8, "f16", graph=True),)})


def test_a_large_collection_gets_a_graph_for_its_first_stage_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(edge, "GRAPH_POINTS", 300)
    rng = np.random.default_rng(0)
    pages = [page(number, {"late": unit_rows(rng, 4), "coarse": unit_rows(rng)}) for number in range(400)]
    queries = [unit_rows(rng, 2) for _ in range(20)]
    store = EdgeStore.open(tmp_path / "store", SPECS)

    def found(prefetch):
        return [
            [(hit.passage.id, hit.score) for hit in store.search("page", "late", query, 10, {}, prefetch)]
            for query in queries
        ]

    def graph_bytes(channel):
        files = (tmp_path / "store" / "page" / "segments").glob(f"*/vector_index-{channel}/graph.bin")
        return sum(file.stat().st_size for file in files)

    store.upsert(pages[:200])
    store.optimize()
    assert graph_bytes("coarse") == 0
    store.upsert(pages[200:])
    direct, staged = found(None), found(Prefetch("coarse", 60))
    store.optimize()
    assert graph_bytes("late") == 48  # the head of a graph without edges
    assert graph_bytes("coarse") > 1000
    assert found(None) == direct
    same = [set(before) & set(after) for before, after in zip(staged, found(Prefetch("coarse", 60)), strict=True)]
    assert sum(map(len, same)) >= 0.95 * sum(map(len, staged))
    late, coarse = unit_rows(rng, 4), unit_rows(rng)
    store.upsert([page(999, {"late": late, "coarse": coarse})])
    assert store.search("page", "late", late, 1, {}, Prefetch("coarse", 400))[0].passage.id == number_id(999)
    store.close()
    store = EdgeStore.open(tmp_path / "store", SPECS)
    assert store.count("page") == 401
    store.close()
