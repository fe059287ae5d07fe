"""Export and import: nothing is lost on the way, and nothing that was altered gets in."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from indexers.point_files import read_points, safe_path, write_points
from indexers.stores.edge import EdgeStore
from indexers.stores.memory import MemoryStore
from pipelines import compose, exporting
from pipelines.config import load_settings
from pipelines.importing import difference, import_library, read_export
from pipelines.ingest import Sources
from pipelines.library import Library, build_library
from rag.cli.app import main
from rag.errors import StoreError, UsageError
from rag.fingerprint import passage_id, sha256_file
from rag.types import KINDS, Layout, PageLocator, Passage, Point, Query, SparseVector, VectorSpec

pytestmark = pytest.mark.usefixtures("forwards_once")

WORDS = ["channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[bm25]", "channels.facts=[bm25]"]
SETTINGS = load_settings(overrides=WORDS).settings
SPECS = (
    VectorSpec("late", "multi", 8, "f16"),
    VectorSpec("dense", "dense", 8, "f32"),
    VectorSpec("bm25", "sparse"),
)


def page(number, root=Path("/library"), text="alveoli"):
    images = (root / "images" / "abc" / f"p{number}.jpg",)
    layout = Layout.from_boxes([[1, 2, 3, 4]])
    found = passage_id("a" * 64, "page", f"p{number}")
    return Passage(found, "page", "book", text, PageLocator(number), images, {"size": "3x4"}, layout)


def unit(rng, rows, kind):
    return rng.standard_normal((rows, 8)).astype(kind).astype(np.float32)


def some_points(n, seed=0):
    rng = np.random.default_rng(seed)
    points = []
    for number in range(n):
        vectors = {"late": unit(rng, number % 5 + 1, np.float16), "dense": unit(rng, 1, np.float32)}
        if number % 3:
            weights = rng.random(3).astype(np.float32).tolist()
            vectors["bm25"] = SparseVector((2, 70_000, 2**32 - 1), tuple(weights))
        if number % 4 == 3:
            del vectors["dense"]
        points.append(Point(page(number), vectors))
    return points


def same(first, second):
    specs = {spec.name: spec for spec in SPECS}
    return [difference(one, other, specs) for one, other in zip(first, second, strict=True)] == [""] * len(first)


def test_points_come_back_bit_for_bit(tmp_path):
    points = some_points(11)
    write_points(tmp_path, "page-00000", points, SPECS, Path("/library"))
    assert same(points, read_points(tmp_path, "page-00000", SPECS, Path("/library")))
    assert np.load(tmp_path / "vectors" / "page-00000.late.rows.npy").dtype == np.float16
    assert np.load(tmp_path / "vectors" / "page-00000.dense.rows.npy").dtype == np.float32


def test_a_moved_library_finds_its_images_in_its_new_place(tmp_path):
    write_points(tmp_path, "page-00000", some_points(1), SPECS, Path("/library"))
    [point] = read_points(tmp_path, "page-00000", SPECS, tmp_path / "new")
    assert point.passage.images == (tmp_path / "new" / "images" / "abc" / "p0.jpg",)


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=8, max_size=8),
        min_size=1,
        max_size=4,
    ),
    terms=st.dictionaries(st.integers(0, 2**32 - 1), st.floats(-1e30, 1e30), max_size=5),
)
def test_any_numbers_survive(tmp_path_factory, rows, terms):
    folder = tmp_path_factory.mktemp("points")
    vectors = {"late": np.array(rows, np.float32)}
    if terms:
        vectors["bm25"] = SparseVector(tuple(sorted(terms)), tuple(terms[term] for term in sorted(terms)))
    point = Point(page(1), vectors)
    write_points(folder, "page-00000", [point], SPECS, Path("/library"))
    assert same([point], read_points(folder, "page-00000", SPECS, Path("/library")))


def test_parts_that_do_not_fit_together_are_named(tmp_path):
    write_points(tmp_path, "page-00000", some_points(4), SPECS, Path("/library"))
    np.save(tmp_path / "vectors" / "page-00000.late.rows.npy", np.zeros((3, 8), np.float32))
    with pytest.raises(StoreError, match=r"page-00000\.late do not fit"):
        read_points(tmp_path, "page-00000", SPECS, Path("/library"))


def test_pickled_arrays_are_not_loaded(tmp_path):
    write_points(tmp_path, "page-00000", some_points(4), SPECS, Path("/library"))
    np.save(tmp_path / "vectors" / "page-00000.late.rows.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(StoreError, match="cannot be read"):
        read_points(tmp_path, "page-00000", SPECS, Path("/library"))


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "", ".", "a\0b", "..\\x", None, 3])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="outside of itself"):
        safe_path(name, tmp_path)


@given(parts=st.lists(st.sampled_from(["a", "..", ".", "b.txt", "/", "~", "c:"]), min_size=1, max_size=5))
def test_no_name_leads_out(tmp_path_factory, parts):
    root = tmp_path_factory.getbasetemp() / "root"
    try:
        path = safe_path("/".join(parts), root)
    except UsageError:
        return
    assert path.resolve().is_relative_to(root.resolve())


def test_links_are_refused(tmp_path):
    (tmp_path / "inner").symlink_to(tmp_path.parent)
    with pytest.raises(UsageError, match="symbolic link"):
        safe_path("inner/file", tmp_path)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda point: None, "not there"),
        (lambda point: replace(point, passage=replace(point.passage, text="other")), "text"),
        (lambda point: Point(point.passage, {}), "vectors for"),
        (lambda point: Point(point.passage, {**point.vectors, "late": point.vectors["late"] + 1e-3}), "late differ"),
        (lambda point: Point(point.passage, {**point.vectors, "late": point.vectors["late"][:1]}), "late differ"),
        (lambda point: Point(point.passage, {**point.vectors, "bm25": SparseVector((1,), (1.0,))}), "bm25 differ"),
    ],
)
def test_every_difference_is_named(change, word):
    point = some_points(5)[4]
    assert word in difference(point, change(point), {spec.name: spec for spec in SPECS})


@pytest.mark.parametrize(("storage", "allowed"), [("int8", 0.0), ("turbo8", 5e-7), ("turbo4", 0.03), ("binary", 5e-7)])
def test_a_quantised_channel_may_differ_by_its_rounding_only(storage, allowed):
    spec = {"late": VectorSpec("late", "multi", 8, storage)}
    wanted = np.full((2, 8), 0.35, np.float32)
    point = Point(page(1), {"late": wanted})
    assert difference(point, Point(page(1), {"late": wanted + np.float32(allowed)}), spec) == ""
    assert difference(point, Point(page(1), {"late": wanted + np.float32(0.1)}), spec) != ""


@pytest.mark.parametrize("storage", ["f32", "f16", "int8", "turbo8", "turbo4", "binary"])
def test_the_engine_gives_back_what_an_import_wrote(tmp_path, storage):
    spec = VectorSpec("late", "multi", 64, storage)
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((12, 9, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    original = [Point(page(number), {"late": matrix}) for number, matrix in enumerate(rows)]
    ids = [point.passage.id for point in original]
    generations = []
    for name in ("library", "copy"):
        store = EdgeStore.open(tmp_path / name, {"page": (spec,)}, Path("/library"))
        store.upsert(generations[-1] if generations else original)
        store.optimize()
        generations.append(store.points(ids))
        store.close()
    first, second = generations
    assert [difference(one, two, {"late": spec}) for one, two in zip(first, second, strict=True)] == [""] * 12


# ---- whole libraries


@pytest.fixture(scope="module")
def library(models, tmp_path_factory):
    """Facts, one page image, and cases whose images lie outside of the library."""
    sources = tmp_path_factory.mktemp("sources")
    facts = sources / "signs.tsv"
    facts.write_text("head\trelation\ttail\n" + "".join(f"sign {i}\tsuggests\tillness {i}\n" for i in range(300)))
    Image.new("RGB", (300, 400), "white").save(sources / "leaf.png")
    cases = sources / "films"
    cases.mkdir()
    Image.new("RGB", (64, 64), "gray").save(cases / "one.png")
    rows = [{"id": "c1", "image": "one.png", "report": "clear lungs"}, {"id": "c2", "report": "a small effusion"}]
    (cases / "records.jsonl").write_text("\n".join(map(json.dumps, rows)))
    folder = tmp_path_factory.mktemp("libraries") / "library"
    build_library(folder, Sources((sources / "leaf.png",), (cases / "records.jsonl",), (facts,)), SETTINGS)
    return folder


@pytest.fixture(scope="module")
def exported_once(library, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "export"
    assert main(["index", "export", "--library", str(library), "--out", str(out), "--json"]) == 0
    return out


@pytest.fixture
def exported(exported_once, tmp_path):
    return Path(shutil.copytree(exported_once, tmp_path / "export"))


def altered(folder, **changes):
    contents = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps({**contents, **changes}))
    return contents


def test_an_import_finds_the_same_as_the_library(library, exported, tmp_path, capsys):
    new = tmp_path / "new"
    assert main(["index", "import", str(exported), "--library", str(new), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == {"page": 1, "figure": 0, "case": 2, "fact": 300}
    assert main(["index", "verify", "--library", str(new), "--deep"]) == 0
    query = Query(text="which illness does sign 17 suggest")
    with Library.open(library) as old, Library.open(new) as copy:
        assert [(hit.passage.id, hit.score) for hit in copy.search(query, k=20)] == [
            (hit.passage.id, hit.score) for hit in old.search(query, k=20)
        ]
        for kind in KINDS:
            assert list(copy.store.ids(kind)) == list(old.store.ids(kind))
        [page_] = copy.passages("page")
        assert page_.images[0].is_relative_to(new)
        assert page_.images[0].is_file()
        pictured = next(case for case in copy.passages("case") if case.record == "c1")
        assert pictured.images[0].is_relative_to(new / "images" / "outside")
        assert pictured.images[0].name == "one.png"
        assert pictured.images[0].is_file()
    assert not (new / "import.json").exists()


def test_the_default_place_is_beside_the_library(library, tmp_path, capsys):
    copy = shutil.copytree(library, tmp_path / "mine")
    assert main(["index", "export", "--library", str(copy)]) == 0
    assert (tmp_path / "mine.export" / "export.json").is_file()
    assert not (tmp_path / "mine.export.partial").exists()
    assert main(["index", "export", "--library", str(copy)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_shards_are_bounded_and_hold_everything(library, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "SHARD_POINTS", 64)
    with Library.open(library) as opened:
        report = exporting.export_library(opened, tmp_path / "export")
    found = read_export(tmp_path / "export")
    assert [shard.points for shard in found.shards if shard.kind == "fact"] == [64, 64, 64, 64, 44]
    assert report.counts["fact"] == 300


def test_an_import_into_another_store_is_compared_there_too(exported, tmp_path, monkeypatch):
    stores = []

    def memory(parts, folder):
        specs = {}
        for channel in parts.channels():
            specs[channel.kind] = (*specs.get(channel.kind, ()), *channel.specs)
        stores.append(MemoryStore(specs))
        return stores[-1]

    monkeypatch.setattr(compose.Parts, "store", memory)
    report = import_library(read_export(exported), tmp_path / "new", SETTINGS)
    assert stores[0].count("fact") == report.counts["fact"] == 300


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
def test_an_import_into_a_qdrant_client_is_equal(exported, tmp_path, monkeypatch):
    from qdrant_client import QdrantClient

    from indexers.stores.server import ServerStore

    def connect(url, api_key, prefix, specs, root, *rest):
        assert prefix == "mine"
        return ServerStore(QdrantClient(path=str(tmp_path / "qdrant")), prefix, specs, root)

    monkeypatch.setattr(ServerStore, "connect", connect)
    settings = load_settings(overrides=[*WORDS, "store.kind=server", "store.prefix=mine"]).settings
    report = import_library(read_export(exported), tmp_path / "new", settings)
    with Library.open(tmp_path / "new") as library:  # the new manifest says where its vectors are
        assert library.settings.store.prefix == "mine"
        assert library.status()["counts"] == report.counts
        assert library.inspect().ok


def test_an_import_that_was_stopped_goes_on(library, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "SHARD_POINTS", 64)
    with Library.open(library) as opened:
        exporting.export_library(opened, tmp_path / "export")
    written = []
    upsert = EdgeStore.upsert

    def failing(store, points):
        written.append(len(points))
        if len(written) == 4:
            raise StoreError("the disk went away")
        upsert(store, points)

    monkeypatch.setattr(EdgeStore, "upsert", failing)
    found = read_export(tmp_path / "export")
    with pytest.raises(StoreError, match="went away"):
        import_library(found, tmp_path / "new", SETTINGS)
    assert not (tmp_path / "new").exists()
    import_library(found, tmp_path / "new", SETTINGS)
    assert len(written) == len(found.shards) + 1
    with Library.open(tmp_path / "new") as opened:
        assert opened.inspect(deep=True).ok


def test_an_occupied_store_is_not_written_over(exported, tmp_path, monkeypatch):
    found = read_export(exported)
    full = MemoryStore({kind: (VectorSpec("bm25", "sparse"),) for kind in KINDS})
    full.upsert([Point(page(1), {})])
    monkeypatch.setattr(compose.Parts, "store", lambda parts, folder: full)
    with pytest.raises(UsageError, match="holds passages"):
        import_library(found, tmp_path / "new", SETTINGS)


def test_a_store_that_keeps_something_else_is_found_out(exported, tmp_path, monkeypatch):
    class Forgetful(MemoryStore):
        def points(self, ids):
            return [replace(point, vectors={}) for point in super().points(ids)]

    specs = {kind: (VectorSpec("bm25", "sparse"),) for kind in KINDS}
    monkeypatch.setattr(compose.Parts, "store", lambda parts, folder: Forgetful(specs))
    with pytest.raises(StoreError, match="not stored as exported"):
        import_library(read_export(exported), tmp_path / "new", SETTINGS)
    assert not (tmp_path / "new").exists()


def test_another_configuration_is_refused(exported, tmp_path, capsys):
    arguments = ["index", "import", str(exported), "--library", str(tmp_path / "new")]
    assert main([*arguments, "--set", "channels.facts=[dense]"]) == 2
    assert "fact." in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["manifest.json", "journal.sqlite", "passages/fact-00000.jsonl"])
def test_an_altered_or_missing_file_is_named(exported, name):
    content = (exported / name).read_bytes()
    (exported / name).write_bytes(content[:-2] + b"x\n")
    with pytest.raises(UsageError, match=name.rsplit("/", maxsplit=1)[-1]):
        read_export(exported)
    (exported / name).unlink()
    with pytest.raises(UsageError, match="is not there"):
        read_export(exported)


def test_another_version_and_another_format_are_refused(exported, capsys):
    altered(exported, version=2)
    assert main(["index", "import", str(exported), "--library", str(exported.parent / "new")]) == 2
    assert "reads version 1" in capsys.readouterr().err
    altered(exported, format="zip")
    with pytest.raises(UsageError, match="no export"):
        read_export(exported)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "vesalius-export", "version": 1}', "null"])
def test_what_is_no_export_is_refused_in_one_message(tmp_path, text):
    (tmp_path / "export.json").write_text(text)
    with pytest.raises(UsageError, match="no export of a library"):
        read_export(tmp_path)


def test_an_export_that_hides_a_file_is_refused(exported):
    contents = altered(exported)
    altered(exported, files={name: value for name, value in contents["files"].items() if name != "journal.sqlite"})
    with pytest.raises(UsageError, match="does not list"):
        read_export(exported)


def test_files_and_images_outside_of_the_export_are_refused(exported, tmp_path):
    contents = altered(exported)
    outside = tmp_path / "secret"
    outside.write_text("secret")
    altered(exported, files={**contents["files"], "../secret": sha256_file(outside)})
    with pytest.raises(UsageError, match="outside of itself"):
        read_export(exported)
    shard = exported / "passages" / "page-00000.jsonl"
    row = json.loads(shard.read_text())
    row["passage"] = row["passage"].replace("images/", "../images/")
    shard.write_text(json.dumps(row) + "\n")
    altered(exported, files={**contents["files"], "passages/page-00000.jsonl": sha256_file(shard)})
    with pytest.raises(UsageError, match="outside of itself"):
        import_library(read_export(exported), tmp_path / "new", SETTINGS)
    assert not (tmp_path / "new").exists()
