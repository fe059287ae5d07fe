"""What a dry run says, over a small library of facts and a page image."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from indexers.build import Source
from indexers.devices import Prepared, encode_in_turn
from indexers.encoders.hashing import HashEncoder
from indexers.stores.checks import MULTI_LIMIT
from pipelines import planning
from pipelines.config import load_settings
from pipelines.costs import NUMBER_BYTES, ChannelCost, CostMeter, SourceCost, sampled_units
from pipelines.ingest import Sources
from pipelines.library import build_library
from pipelines.limits import expected_page_rows, require_rows
from pipelines.measures import BuildRate, folder_bytes, read_rates, recent_rate
from pipelines.planning import plan_library
from rag.cli.app import main
from rag.errors import ConfigError, SourceError
from rag.fingerprint import passage_id
from rag.retrievers import Channel
from rag.types import Document, PageLocator, Passage, Unit, VectorSpec

WORDS = ["channels.pages=[bm25]", "channels.figures=[bm25]", "channels.cases=[bm25]", "channels.facts=[bm25]"]
SETTINGS = load_settings(overrides=WORDS).settings


def write_facts(path: Path, n: int) -> Path:
    rows = "".join(f"sign {i}\tsuggests\tdisease {i % 7}\n" for i in range(n))
    path.write_text("head\trelation\ttail\n" + rows, "utf-8")
    return path


@pytest.fixture
def facts(tmp_path):
    return write_facts(tmp_path / "signs.tsv", 600)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "leaf.png"
    Image.new("RGB", (300, 400), "white").save(path)
    return path


@pytest.fixture
def built(models, tmp_path, facts):
    folder = tmp_path / "library"
    build_library(folder, Sources(facts=(facts,)), SETTINGS)
    return folder


def test_a_new_library_is_measured_and_nothing_is_written(tmp_path, facts, page):
    folder = tmp_path / "library"
    plan = plan_library(folder, Sources((page,), (), (facts,)), SETTINGS)
    assert not folder.exists()
    assert [(row.document, row.units, row.done, row.state) for row in plan.documents] == [
        ("leaf", 1, 0, "new"),
        ("signs", 3, 0, "new"),
    ]
    assert plan.units_to_do() == 4
    assert plan.rebuild is None
    assert plan.bytes_by_part["images"] > 500
    # Three units of 256 facts (the sampled one is full): eight bytes for each of about three terms and 60 of text.
    assert 768 * 8 * 2 < plan.bytes_by_part["fact.bm25"] < 768 * 8 * 6
    assert plan.bytes_by_part["payload"] > 600 * 60
    assert 0 < plan.seconds < 60
    assert plan.device_hours == 0
    assert plan.devices == ()
    assert plan.disk.need == pytest.approx(1.5 * sum(plan.bytes_by_part.values()), rel=1e-3)
    assert all("measured now" in rate.origin for rate in plan.rates.values())


def test_the_estimate_of_vectors_and_text_is_near_what_a_build_writes(built, tmp_path, facts):
    plan = plan_library(tmp_path / "other", Sources(facts=(facts,)), SETTINGS)
    estimated = sum(plan.bytes_by_part.values())
    assert 0.2 * folder_bytes(built)["store"] < estimated < 3 * folder_bytes(built)["store"]


def test_a_finished_library_has_nothing_to_do_and_names_what_is_not_among_the_sources(built, facts, page):
    same = plan_library(built, Sources(facts=(facts,)), SETTINGS)
    assert same.units_to_do() == 0
    assert same.documents[0].state == "complete"
    assert same.seconds == 0
    assert same.absent == ()
    other = plan_library(built, Sources(pages=(page,)), SETTINGS)
    assert other.units_to_do() == 1
    assert other.absent == ("signs",)


def test_an_interrupted_build_is_partial(models, tmp_path, facts):
    from pipelines.ingest import BuildOptions

    folder = tmp_path / "library"
    build_library(folder, Sources(facts=(facts,)), SETTINGS, BuildOptions(limit=1))
    [row] = plan_library(folder, Sources(facts=(facts,)), SETTINGS).documents
    assert (row.state, row.done, row.units) == ("partial", 1, 3)


def test_a_changed_file_is_made_again_and_both_hashes_are_named(built, facts):
    before = plan_library(built, Sources(facts=(facts,)), SETTINGS)
    assert before.documents[0].why == ""
    write_facts(facts, 300)
    plan = plan_library(built, Sources(facts=(facts,)), SETTINGS)
    [row] = plan.documents
    assert (row.state, row.done, row.units) == ("changed", 0, 2)
    assert "when built" in row.why
    assert "now" in row.why
    assert plan.units_to_do() == 2


def test_another_configuration_says_what_differs_and_what_to_do_instead_of_failing(built, facts, capsys):
    changed = ["--set", "channels.facts=[dense,bm25]"]
    code = main(["index", "plan", "--library", str(built), "--facts", str(facts), *changed, "--no-measure", "--json"])
    plan = json.loads(capsys.readouterr().out)
    assert code == 0
    assert plan["rebuild"]["settings"] == [
        {"field": "channels.facts", "stored": "['bm25']", "wanted": "['dense', 'bm25']"}
    ]
    [reason] = plan["rebuild"]["reasons"]
    assert reason["field"] == "channel fact.dense"
    assert reason["stored"] == "absent"
    assert "--fresh" in plan["rebuild"]["remedy"]
    assert "index rebuild" in plan["rebuild"]["remedy"]
    assert plan["units_to_do"] == 3


def test_the_command_prints_a_table_and_the_json_keeps_its_keys(built, facts, page, capsys):
    arguments = ["index", "plan", "--library", str(built), "--facts", str(facts), "--pages", str(page)]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["source", "document", "units", "done", "state"]
    assert lines[1].split() == ["pages", "leaf", "1", "0", "new"]
    assert lines[2].split() == ["facts", "signs", "3", "3", "complete"]
    assert any(line.startswith("disk: ") for line in lines)
    assert main([*arguments, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert set(plan) == {
        "library", "documents", "units_to_do", "skipped", "rebuild", "absent", "bytes", "seconds", "rates",
        "device_hours", "devices", "disk", "warnings",
    }  # fmt: skip
    assert plan["bytes"]["total"] == sum(size for name, size in plan["bytes"].items() if name != "total")


def test_a_build_is_recorded_and_the_next_plan_uses_its_rate(built, tmp_path):
    [build] = read_rates(built)
    assert build.units == {"facts": 3}
    more = write_facts(tmp_path / "more.tsv", 1000)
    plan = plan_library(built, Sources(facts=(more,)), SETTINGS)
    assert plan.rates["facts"].origin == f"this library's build of {build.ended}"
    assert plan.rates["facts"].seconds == pytest.approx(build.seconds / 3)
    assert plan.seconds == pytest.approx(4 * build.seconds / 3)


def test_rates_of_builds_with_several_source_kinds_are_not_taken_apart():
    alone, mixed = BuildRate({"facts": 2}, 4.0, "t1"), BuildRate({"facts": 2, "pages": 1}, 9.0, "t2")
    assert recent_rate([alone, mixed], "facts") == alone
    assert recent_rate([mixed], "facts") is None


def test_a_damaged_record_of_rates_counts_as_none(tmp_path):
    (tmp_path / "rates.json").write_text('[{"units": 3}]')
    assert read_rates(tmp_path) == []


def test_a_full_disk_is_a_warning(tmp_path, facts, monkeypatch):
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    plan = plan_library(tmp_path / "library", Sources(facts=(facts,)), SETTINGS)
    assert not plan.disk.enough
    [warning] = plan.warnings
    assert "10 bytes free" in warning


def test_without_measuring_the_assumption_is_stated(tmp_path, facts):
    plan = plan_library(tmp_path / "library", Sources(facts=(facts,)), SETTINGS, measure=False)
    assert plan.rates["facts"].origin.startswith("assumed")
    assert plan.seconds == pytest.approx(3.0)


BOOK = Document("book", Path("book.pdf"), "a" * 64, "pages", 100)


class Book:
    """A parser of a hundred pages that notes which of them it was asked for."""

    def __init__(self, units=100):
        self.read, self.units = [], units

    def open(self, path):
        return BOOK

    def parse(self, document, done):
        for number in range(1, self.units + 1):
            if f"p{number}" not in done:
                self.read.append(number)
                page_id = passage_id("a" * 64, "page", f"p{number}")
                yield Unit(f"p{number}", (Passage(page_id, "page", "book", "three plain words", PageLocator(number)),))


def test_sampled_pages_are_spread_over_the_book():
    book = Book()
    assert len(list(sampled_units([Source(BOOK, book)]))) == 4
    assert book.read == [13, 38, 63, 88]


def test_sampling_spreads_over_books_and_survives_one_that_breaks():
    class Broken(Book):
        def parse(self, document, done):
            raise SourceError("torn")
            yield

    books = [Book(), Broken(), Book()]
    units = list(sampled_units([Source(BOOK, book) for book in books]))
    assert len(units) == 2
    assert books[0].read == books[2].read == [51]


def test_bytes_follow_rows_dimensions_and_storage(tmp_path):
    encoder = HashEncoder("words", 16, "multi")
    meter = CostMeter([Channel("page", encoder.spec, encoder)], tmp_path)
    cost = meter.measure([Source(BOOK, Book())], "pages")
    [channel] = cost.channels
    assert channel.rows == 3
    assert channel.unit_bytes == 3 * 16 * 4
    assert cost.device_s == 0
    assert meter.measure([], "pages") is None


@pytest.mark.parametrize(("storage", "size"), NUMBER_BYTES.items())
def test_every_storage_type_has_a_size(storage, size):
    assert ChannelCost("page", VectorSpec("late", "multi", 100, storage), 10).unit_bytes == pytest.approx(1000 * size)


class FakeDevices:
    """A device encoder with a first stage: ten rows of a page, two pooled ones."""

    spec = VectorSpec("visual", "multi", 8, "f16")
    specs = (spec, VectorSpec("visual-coarse", "multi", 8, "f16", graph=True))
    fingerprint = "fake"
    devices = ("cuda:0", "cuda:1")

    def prepare(self, passage):
        return Prepared(passage.id, 10, None)

    def free_bytes(self, device):
        return None

    def patch_bytes(self):
        return 1

    def forward(self, device, batch):
        return [{"visual": np.ones((10, 8), np.float32), "visual-coarse": np.ones((2, 8), np.float32)} for _ in batch]

    def encode_passages(self, passages):
        return encode_in_turn(self, passages, self.spec.name)

    def encode_queries(self, queries):
        return [None for _ in queries]


def test_work_on_devices_is_told_apart_and_both_stages_are_counted(tmp_path):
    encoder = FakeDevices()
    channel = Channel("page", encoder.spec, encoder, encoder.specs[1:])
    cost = CostMeter([channel], tmp_path).measure([Source(BOOK, Book())], "pages")
    assert {item.spec.name: item.rows for item in cost.channels} == {"visual": 10, "visual-coarse": 2}
    assert cost.host_s == 0
    assert cost.device_s > 0


def test_devices_share_their_part_and_reading_goes_on_beside():
    cost = SourceCost("pages", parse_s=0.1, host_s=0.2, device_s=4.0)
    assert cost.wall_s(1) == pytest.approx(4.2)
    assert cost.wall_s(8) == pytest.approx(0.7)
    assert SourceCost("pages", parse_s=9.0, device_s=1.0).wall_s(4) == 9.0


def visual(dim):
    return Channel("page", VectorSpec("visual", "multi", dim, "f16"), FakeDevices())


def test_a_page_that_exceeds_the_engine_is_refused_with_the_pooling_that_fits():
    require_rows(visual(320), 3276)
    with pytest.raises(ConfigError, match=r"set visual\.pool_factor=2 ") as caught:
        require_rows(visual(320), 4096)
    assert f"{MULTI_LIMIT:,}" in str(caught.value)
    assert "1,310,720" in str(caught.value)
    assert caught.value.exit_code == 2


@given(rows=st.integers(1, 60_000), dim=st.sampled_from([96, 128, 320, 768]), pool_factor=st.integers(1, 5))
def test_the_pooling_that_is_advised_fits(rows, dim, pool_factor):
    pooled = max(1, rows // pool_factor)
    try:
        require_rows(visual(dim), pooled, pool_factor)
    except ConfigError as error:
        advised = int(str(error).split("pool_factor=")[1].split()[0])
        assert pooled * dim > MULTI_LIMIT
        assert max(1, rows // advised) * dim <= MULTI_LIMIT
    else:
        assert pooled * dim <= MULTI_LIMIT


def test_without_page_images_no_forecast_is_made():
    assert expected_page_rows(SETTINGS) is None
