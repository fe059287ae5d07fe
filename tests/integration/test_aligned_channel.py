"""A head as a channel of a library: what it finds, that the library keeps it, and heads that are refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from indexers.encoders.aligned.contrastive import fit_contrastive
from indexers.encoders.aligned.options import TrainingOptions
from indexers.encoders.aligned.ridge import fit_ridge
from indexers.encoders.aligned.storage import HeadCard, load_head, save_head
from pipelines.alignment import encode_pairs, frozen_encoders, read_pairs
from pipelines.config import load_settings
from pipelines.ingest import Sources
from pipelines.library import Library, build_library
from rag.cli.app import main
from rag.errors import ConfigError, IndexMismatch, UsageError
from rag.types import Query

pytestmark = pytest.mark.usefixtures("forwards_once")

COLOURS = {"red": (200, 40, 40), "green": (40, 170, 60), "blue": (50, 70, 200), "yellow": (230, 210, 40)}
CHANNELS = ["channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[dense,aligned]",
            "channels.facts=[bm25,aligned]"]  # fmt: skip


def draw(path, colour, seed):
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 130, (112, 112, 3)).astype(np.uint8))
    x, y, half = *rng.integers(45, 67, 2).tolist(), int(rng.integers(20, 40))
    ImageDraw.Draw(image).ellipse((x - half, y - half, x + half, y + half), fill=COLOURS[colour])
    image.save(path)
    return path


def corpus(folder, seed, n, told=True, shown=True):
    folder.mkdir(parents=True)
    lines = []
    for number in range(n):
        colour = tuple(COLOURS)[number % 4]
        row = {"id": f"{folder.name}-{number}", "domain": "drawing"}
        if shown:
            row["image"] = draw(folder / f"{number}.png", colour, seed + number).name
        if told:
            places = ("left", "right", "upper", "lower")
            row["report"] = f"A {colour} lesion of the {places[number // 4 % 4]} lobe, finding {number}."
        lines.append(json.dumps(row))
    (folder / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def work(models, tmp_path_factory):
    return tmp_path_factory.mktemp("aligned")


@pytest.fixture(scope="module")
def head(work):
    """A head that may be used, whatever it reached on drawings."""
    encoders = frozen_encoders(load_settings().settings)
    encoded = encode_pairs(read_pairs([corpus(work / "pairs", 0, 40)]), encoders)
    fitted = fit_contrastive(encoded.pairs, TrainingOptions(members=1, epochs=30), 0)
    card = HeadCard(encoders.fingerprints, 0, "", encoded.keys, {}, {}, active=True)
    save_head(work / "head", fitted, fit_ridge(encoded.pairs), card)
    return work / "head"


def settings_of(head=None, *more):
    named = [] if head is None else [f"aligned.head={head}"]
    return load_settings(overrides=[*CHANNELS, *named, *more]).settings


@pytest.fixture(scope="module")
def sources(work):
    silent = corpus(work / "silent", 500, 8, told=False)
    words = corpus(work / "words", 0, 8, shown=False)
    facts = work / "facts.tsv"
    rows = [f"{colour} lesion\tlies in\tthe {place} lobe" for colour in COLOURS for place in ("left", "right")]
    facts.write_text("\n".join(["head\trelation\ttail", *rows]), encoding="utf-8")
    return Sources((), (silent, words), (facts,))


@pytest.fixture(scope="module")
def library(work, head, sources):
    lent = shutil.copytree(head, work / "lent")
    report = build_library(work / "library", sources, settings_of(lent))
    assert report.counts == {"page": 0, "figure": 0, "case": 16, "fact": 8}
    shutil.rmtree(lent)  # the library has its own copy
    return work / "library"


def found(folder, query, kind, channel="aligned"):
    with Library.open(folder) as library:
        hits = library.engine().channel_only(query, (channel,), k=4, kinds=(kind,))
    return [hit.passage for hit in hits]


def test_words_find_images_that_nobody_described(library):
    passages = found(library, Query("a blue lesion"), "case")
    assert [passage.document for passage in passages[:2]] == ["silent", "silent"]
    assert [int(passage.record.split("-")[1]) % 4 for passage in passages[:2]] == [2, 2]


def test_an_image_finds_texts_and_facts(library, work):
    query = Query(images=(draw(work / "asked.png", "green", 900),))
    assert "green" in found(library, query, "case")[0].text
    assert all(passage.text.startswith("green lesion") for passage in found(library, query, "fact")[:2])


def test_the_whole_search_uses_the_channel(library, work, capsys):
    asked = draw(work / "asked2.png", "red", 901)
    assert main(["search", "--image", str(asked), "-k", "24", "--library", str(library), "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["hits"]
    assert any("aligned" in hit["channels"] for hit in hits)
    assert {hit["kind"] for hit in hits} == {"case", "fact"}


def test_a_library_goes_on_without_the_folder_its_head_came_from(library, sources):
    assert build_library(library, sources, settings_of("gone")).resumed
    with Library.open(library) as opened:
        assert opened.status()["state"] == "complete"


def test_export_import_and_rebuild_carry_the_head(library, tmp_path):
    with Library.open(library) as opened:
        fingerprint = opened.manifest.fingerprint
    moved = shutil.copytree(library, tmp_path / "moved")
    assert main(["index", "export", "--library", str(moved), "--out", str(tmp_path / "export"), "--quiet"]) == 0
    target = tmp_path / "imported"
    assert main(["index", "import", str(tmp_path / "export"), "--library", str(target), "--quiet"]) == 0
    assert main(["index", "rebuild", "--library", str(moved), "--quiet"]) == 0
    for folder in (target, moved):
        with Library.open(folder) as opened:
            assert opened.manifest.fingerprint == fingerprint
        assert load_head(folder / "aligned").card.active
        assert found(folder, Query("a blue lesion"), "case")


def test_another_head_is_another_index(library, head, sources, tmp_path):
    stored = load_head(head)
    save_head(tmp_path / "other", stored.floor, stored.floor, stored.card)
    with pytest.raises(IndexMismatch, match="aligned"):
        build_library(library, sources, settings_of(tmp_path / "other"))
    assert load_head(library / "aligned").content == stored.content


def refused(head, folder, sources, error, message):
    with pytest.raises(error, match=message):
        build_library(folder, sources, settings_of(head))
    assert not (folder / "manifest.json").exists()


def test_heads_that_cannot_be_used_are_refused_before_any_work(head, sources, tmp_path):
    stored, folder = load_head(head), tmp_path / "library"
    refused(None, folder, sources, ConfigError, "needs a head: fit one")
    refused(tmp_path / "absent", folder, sources, UsageError, "no head in .*absent")
    inactive = replace(stored.card, active=False, reason="R@10 is at chance")
    save_head(tmp_path / "inactive", stored.head, stored.floor, inactive)
    refused(tmp_path / "inactive", folder, sources, UsageError, "not active: R@10 is at chance")
    foreign = replace(stored.card, encoders={**stored.card.encoders, "image": "another"})
    save_head(tmp_path / "foreign", stored.head, stored.floor, foreign)
    refused(tmp_path / "foreign", folder, sources, IndexMismatch, "image encoder = another")
