"""What a library fits on itself: made anew when cases change, and it goes where the library goes."""

import json

import numpy as np
import pytest

from indexers.domains import library as domains_library
from indexers.domains.files import load_prototypes
from indexers.manifest import ChannelEntry, Manifest, read_manifest
from indexers.stores.memory import MemoryStore
from pipelines import fitted
from pipelines.calibration import load_calibration, save_calibration
from pipelines.config import load_settings
from pipelines.exporting import export_library
from pipelines.fitted import CALIBRATION, DOMAINS, FITTED, GATE, carry_calibration, domain_counts, refresh_fitted
from pipelines.importing import import_library, read_export
from pipelines.ingest import Sources, clear
from pipelines.library import Library, build_library
from pipelines.rebuild import rebuild_library
from rag.cli.app import main
from rag.leakage import PHASH, stored_keys
from rag.selectors import Calibration
from rag.types import CaseLocator, Passage, Point, VectorSpec

DIM = 8
ENTRY = ChannelEntry("case", "image", "multi", DIM, "f32", "encoder-1")
MANIFEST = Manifest("embedded", (ENTRY,), "cases-3")
WORDS = [f"channels.{kind}=[bm25]" for kind in ("pages", "figures", "cases", "facts")]
SETTINGS = load_settings(overrides=WORDS).settings
OTHER = load_settings(overrides=[*WORDS[:3], "channels.facts=[bm25,dense]"]).settings


def cases(store, domain, direction, numbers):
    rng = np.random.default_rng(direction)
    for number in numbers:
        row = np.eye(DIM)[direction] + rng.normal(0, 0.1, DIM)
        locator = CaseLocator(f"{domain}{number}", f"{domain} patient {number // 2}")
        identity = f"0000000{direction}-0000-0000-0000-{number:012d}"
        passage = Passage(identity, "case", domain, "text", locator, meta={"domain": domain})
        store.upsert([Point(passage, {"image": (row / np.linalg.norm(row))[None].astype(np.float32)})])


@pytest.fixture
def store():
    made = MemoryStore({"case": (VectorSpec("image", "multi", DIM),)})
    cases(made, "pathology", 0, range(24))
    cases(made, "ophthalmology", 1, range(20))
    return made


def test_domains_and_gate_are_written_once_for_the_same_passages(store, tmp_path, monkeypatch):
    refresh_fitted(tmp_path, store, MANIFEST)
    assert domain_counts(tmp_path, MANIFEST) == ({"ophthalmology": 20, "pathology": 24}, None)
    assert (tmp_path / GATE).is_file()

    def never(*arguments, **named):
        raise AssertionError("nothing changed")

    with monkeypatch.context() as patched:
        patched.setattr(fitted, "fit_domains", never)
        patched.setattr(fitted, "measure_gate", never)
        refresh_fitted(tmp_path, store, MANIFEST)


def test_new_and_removed_cases_are_taken_up(store, tmp_path):
    refresh_fitted(tmp_path, store, MANIFEST)
    cases(store, "dermatology", 2, range(16))
    refresh_fitted(tmp_path, store, MANIFEST)
    assert domain_counts(tmp_path, MANIFEST)[0] == {"clinical-photo": 16, "ophthalmology": 20, "pathology": 24}
    for document in ("dermatology", "ophthalmology", "pathology"):
        store.delete("case", document)
    refresh_fitted(tmp_path, store, MANIFEST)
    assert not (tmp_path / DOMAINS).exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 junk", None, "foreign"])
def test_a_damaged_foreign_or_missing_file_is_named_and_made_again(store, tmp_path, damage):
    refresh_fitted(tmp_path, store, MANIFEST)
    path = tmp_path / DOMAINS
    if damage is None:
        path.unlink()
    elif damage == "foreign":
        domains_library.fit_domains(store, tmp_path, encoder="encoder-2")
        assert "encoder-2" in domain_counts(tmp_path, MANIFEST)[1]
    else:
        path.write_bytes(damage)
        assert "remove it" in domain_counts(tmp_path, MANIFEST)[1]
    refresh_fitted(tmp_path, store, MANIFEST)
    assert load_prototypes(tmp_path, "encoder-1") is not None


def test_files_of_other_programs_are_no_traceback(tmp_path):
    np.savez_compressed(tmp_path / DOMAINS, facts=np.frombuffer(b'{"labels": 3}', np.uint8), weights=np.eye(2))
    assert "cannot be read" in domain_counts(tmp_path, MANIFEST)[1]
    np.savez(tmp_path / DOMAINS, other=np.eye(2))
    assert "cannot be read" in domain_counts(tmp_path, MANIFEST)[1]


def test_numbers_that_do_not_fit_together_are_refused(store, tmp_path):
    refresh_fitted(tmp_path, store, MANIFEST)
    with np.load(tmp_path / DOMAINS) as arrays:
        kept = dict(arrays)
    for change in ({"weights": kept["weights"][:-1]}, {"metric": np.full(DIM, np.nan, np.float32)}):
        np.savez(tmp_path / DOMAINS, **(kept | change))
        counts, fault = domain_counts(tmp_path, MANIFEST)
        assert not counts
        assert "remove it" in fault


def test_a_library_without_image_vectors_has_no_domains(store, tmp_path):
    (tmp_path / DOMAINS).write_bytes(b"left over")
    without = Manifest("text", (), "cases-3")
    refresh_fitted(tmp_path, store, without)
    assert not (tmp_path / DOMAINS).exists()
    assert domain_counts(tmp_path, without) == ({}, None)


def test_clearing_a_library_deletes_all_of_it(tmp_path):
    for name in (*FITTED, "notes.txt"):
        (tmp_path / name).write_text("x")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.fixture
def library(models, tmp_path):
    facts = tmp_path / "signs.tsv"
    facts.write_text("head\trelation\ttail\n" + "".join(f"illness {i}\tcauses\tfever {i}\n" for i in range(8)))
    build_library(tmp_path / "library", Sources(facts=(facts,)), SETTINGS)
    return tmp_path / "library"


def calibrated(folder):
    save_calibration(folder, Calibration(read_manifest(folder).fingerprint, 0.9, 0.1, 30))
    return folder


def test_a_build_measures_and_status_shows_it(library, capsys):
    assert (library / GATE).is_file()
    (library / DOMAINS).write_bytes(b"junk of another program")
    with Library.open(library) as opened:
        status = opened.status()
    assert {"counts", "documents", "fingerprint", "state", "domains", "gate", "notes"} <= status.keys()
    assert (status["domains"], status["gate"], status["notes"]) == ({}, [], [])
    assert main(["index", "status", "--json", "--library", str(library)]) == 0
    assert json.loads(capsys.readouterr().out)["domains"] == {}


def test_an_export_takes_the_fitted_files_along(library, tmp_path):
    calibrated(library)
    with Library.open(library) as opened:
        export_library(opened, tmp_path / "out")
    assert {CALIBRATION, GATE} <= {path.name for path in (tmp_path / "out").iterdir()}
    import_library(read_export(tmp_path / "out"), tmp_path / "new", SETTINGS)
    for name in (CALIBRATION, GATE):
        assert (tmp_path / "new" / name).read_bytes() == (library / name).read_bytes()


def test_a_rebuild_keeps_the_calibration_of_the_same_index_only(library):
    calibrated(library)
    report = rebuild_library(library, Sources(), SETTINGS)
    assert not [line for line in report.notes if "calibration" in line]
    assert load_calibration(library, report.fingerprint) is not None
    report = rebuild_library(library, Sources(), OTHER)
    assert [line for line in report.notes if "calibration" in line]
    assert not (library / CALIBRATION).exists()


def test_a_damaged_calibration_is_left_behind_with_a_note(tmp_path):
    (tmp_path / "new").mkdir()
    assert carry_calibration(tmp_path, tmp_path / "new", "f") is None
    (tmp_path / CALIBRATION).write_text("{")
    assert "left behind" in carry_calibration(tmp_path, tmp_path / "new", "f")
    assert not (tmp_path / "new" / CALIBRATION).exists()


def test_the_sample_library_knows_its_images_and_its_recall(sample_library):
    pictured = [passage for kind in ("case", "figure") for passage in sample_library.passages(kind) if passage.images]
    assert pictured
    assert all(len(stored_keys(passage)) == len(passage.images) for passage in pictured)
    assert not any(PHASH in passage.meta for passage in sample_library.passages("page"))
    status = sample_library.status()
    assert [row["above_chance"] for row in status["gate"] if row["channel"] == "dense"] in ([True], [None])
    assert status["notes"] == []
