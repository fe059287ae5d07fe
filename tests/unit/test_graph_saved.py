"""A saved graph: the same bytes for the same content, replaced as a whole, and damage is told."""

import json
import shutil

import numpy as np
import pytest

from knowledge.graph.array_graph import ArrayGraph
from knowledge.graph.saved import HEADER, read_header
from knowledge.graph.testing import EYE, statement
from rag.errors import StoreError


@pytest.fixture
def folder(tmp_path):
    ArrayGraph.build(EYE).save(tmp_path / "graph")
    return tmp_path / "graph"


def arrays(folder):
    (found,) = (path for path in folder.iterdir() if path.is_dir())
    return found


def test_a_graph_is_reopened_from_mapped_files(folder):
    graph = ArrayGraph.open(folder)
    assert list(graph.triples()) == list(ArrayGraph.build(EYE).triples())
    assert isinstance(graph._tables.head.base, np.memmap)
    assert read_header(folder)["counts"] == {"concepts": 11, "triples": 11, "supports": 12}


def test_saving_again_replaces_the_old_content(folder):
    first = read_header(folder)["digest"]
    grown = ArrayGraph.open(folder).add([statement("Uveitis", "located_in", "Uvea")])
    (folder / "books").mkdir()
    assert grown.save(folder) != first
    assert not (folder / first[:32]).exists()
    assert (folder / "books").is_dir()
    assert ArrayGraph.open(folder).concept("uveitis")
    assert list(grown.triples()) == list(ArrayGraph.open(folder).triples())


def test_an_opened_graph_outlives_the_files(folder):
    graph = ArrayGraph.open(folder)
    ArrayGraph.build([statement("a", "is_a", "b")]).save(folder)
    assert len(list(graph.triples())) == 11


def test_a_stopped_save_leaves_the_old_graph(folder, monkeypatch):
    def stop(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("knowledge.graph.saved._replace_header", stop)
    with pytest.raises(StoreError, match="no space left"):
        ArrayGraph.build([statement("a", "is_a", "b")]).save(folder)
    assert len(list(ArrayGraph.open(folder).triples())) == 11
    monkeypatch.undo()
    ArrayGraph.build([statement("a", "is_a", "b")]).save(folder)
    assert len([path for path in folder.iterdir() if path.is_dir()]) == 1


def test_saving_the_same_again_repairs_damage(folder):
    path = arrays(folder) / "head.npy"
    path.write_bytes(path.read_bytes()[:-1])
    ArrayGraph.build(EYE).save(folder)
    assert len(list(ArrayGraph.open(folder).triples())) == 11


def damage_byte(folder):
    path = arrays(folder) / "tail.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "a changed byte": damage_byte,
    "a missing file": lambda folder: (arrays(folder) / "strings.npy").unlink(),
    "a cut file": lambda folder: (arrays(folder) / "incidence.npy").write_bytes(b"\x93NUMPY"),
    "a missing folder": lambda folder: shutil.rmtree(arrays(folder)),
    "a header that is no JSON": lambda folder: (folder / HEADER).write_text("{"),
    "a header that is a list": lambda folder: (folder / HEADER).write_text("[]"),
    "a header that points elsewhere": lambda folder: (folder / HEADER).write_text(
        (folder / HEADER).read_text().replace(read_header(folder)["digest"], "../../elsewhere/and/further/down")
    ),
    "a header without arrays": lambda folder: (folder / HEADER).write_text(
        '{"version": 1, "digest": "0", "arrays": {}}'
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_told_with_what_to_do(folder, damage):
    damage(folder)
    with pytest.raises(StoreError, match=r"damaged.*build the graph again"):
        ArrayGraph.open(folder)


def test_other_versions_and_empty_folders_are_told(folder, tmp_path):
    with pytest.raises(StoreError, match=r"no graph in .*--facts"):
        ArrayGraph.open(tmp_path / "nothing")
    header = json.loads((folder / HEADER).read_text())
    (folder / HEADER).write_text(json.dumps({**header, "version": 99}))
    with pytest.raises(StoreError, match="version 99"):
        ArrayGraph.open(folder)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot save"):
        ArrayGraph.build(EYE).save(tmp_path / "file" / "graph")
