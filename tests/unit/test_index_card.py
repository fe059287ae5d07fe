"""The index card on a small library whose vectors say what must come out."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from eval.datasets import QueryItem
from eval.index_card import EXACT, CardOptions, CardRow, make_card, recommend, recommend_stage
from eval.index_card_queries import CardPages, encode_items, judged_items, read_pages, sentence_items, spaced
from eval.index_card_report import card_chart, card_document, rule, text_table, write_card
from eval.index_card_store import FULL, Scratch, Setup, resident_bytes
from eval.statistics import UNDEFINED, BootstrapOptions, Estimate
from indexers.encoders.hashing import HashEncoder
from indexers.stores.memory import MemoryStore
from rag.cli import index_card
from rag.errors import ConfigError, QueryError, UsageError
from rag.types import PageLocator, Passage, Point, Query, VectorSpec

WORDS = [f"{stem}{ending}" for stem in ("cardi", "derm", "nephr", "pulmo", "hepat") for ending in ("al", "ic", "oid")]
ENCODER = HashEncoder("late", 16, "multi")
QUICK = BootstrapOptions(resamples=200)
OPTIONS = CardOptions(("f32", "f16"), (1, 2), (2,), ("similar",), (5,), bootstrap=QUICK)


def page(number, text, document="atlas"):
    return Passage(str(UUID(int=number)), "page", document, text, PageLocator(number))


def library(n=24):
    """Pages of 14 words, of which the first four are a page's own."""
    rng = np.random.default_rng(7)
    return [
        page(number, " ".join([*(f"own{number}x{place}" for place in range(4)), *rng.choice(WORDS, 10)]))
        for number in range(1, n + 1)
    ]


def item(number, text, gold=True, name="own"):
    found = frozenset({("page", "atlas", str(number))}) if gold else frozenset()
    return QueryItem(Query(text, id=f"q{number}"), name, found)


def items(n=24, *, gold=True):
    return [item(number, f"own{number}x1 own{number}x2", gold=gold) for number in range(1, n + 1, 2)]


def stored(passages, channel="late"):
    store = MemoryStore({"page": (VectorSpec(channel, "multi", 16),)})
    rows = ENCODER.encode_passages(passages)
    store.upsert(
        [Point(one, {channel: matrix} if len(one.text) > 1 else {}) for one, matrix in zip(passages, rows, strict=True)]
    )
    return store


def pages(n=24):
    return read_pages(stored(library(n)), "late", [], 1000)


@pytest.fixture(scope="module")
def judged_card():
    told = []
    card = make_card(pages(), encode_items(ENCODER, items()), OPTIONS, told.append)
    return card, told


class TestCard:
    def test_every_setup_is_measured_once_the_exact_one_first(self, judged_card):
        card, told = judged_card
        assert [row.setup for row in card.rows] == [EXACT, Setup("f32", 2), Setup("f16"), Setup("f16", 2)]
        assert len(told) == len(card.rows) + len(card.staged)
        assert "f16, pool 2" in told[3]

    def test_own_words_find_their_page(self, judged_card):
        card, _ = judged_card
        assert card.rows[0].ndcg.value == 1.0
        assert card.rows[0].agreement.value == 1.0
        assert card.rows[0].difference.value == 0.0

    def test_half_the_bits_and_half_the_rows_take_half_the_bytes(self, judged_card):
        exact, pooled, half, quarter = judged_card[0].rows
        # 24 pages of 14 rows of 16 numbers; blocks of the file system round up.
        assert exact.disk >= 14 * 16 * 4
        assert half.disk <= exact.disk
        assert quarter.disk <= pooled.disk <= exact.disk

    def test_a_depth_short_of_the_pages_is_a_first_stage(self, judged_card):
        card, _ = judged_card
        [row] = card.staged
        assert (row.setup.coarse, row.setup.depth) == (2, 5)
        assert row.setup.storage == card.recommended.setup.storage
        assert row.disk > card.recommended.disk
        assert 0 <= row.agreement.value <= 1

    def test_without_gold_the_agreement_decides(self):
        asked = encode_items(ENCODER, items(gold=False))
        card = make_card(pages(), asked, replace(OPTIONS, coarse=()))
        assert card.judged == 0
        assert card.rows[0].ndcg == UNDEFINED
        assert card.staged == ()
        assert card.recommended.agreement.value >= OPTIONS.agreement
        assert "nothing here says how often the right page is found" in rule(card)

    def test_the_same_call_gives_the_same_quality(self, judged_card):
        again = make_card(pages(), encode_items(ENCODER, items()), OPTIONS)
        assert [row.ndcg for row in again.rows] == [row.ndcg for row in judged_card[0].rows]

    def test_filters_of_a_query_hold(self):
        asked = encode_items(ENCODER, [replace(items()[0], query=Query("own1x1", filters={"document": ("other",)}))])
        card = make_card(pages(), asked, replace(OPTIONS, coarse=()))
        assert card.rows[0].ndcg.value == 0.0
        assert card.rows[0].agreement.value == 1.0  # both lists are empty


def row(name, disk, low, agreement=1.0, loss=0.0):
    storage, pool = name
    figure = Estimate(low + 0.005, low, low + 0.01) if low is not None else UNDEFINED
    return CardRow(Setup(storage, pool), disk, None, 1.0, UNDEFINED, figure, Estimate(agreement, 0, 1), {}, {"s": loss})


class TestRecommend:
    EXACT = row(("f32", 1), 400, 0.0)

    def test_the_fewest_bytes_within_the_margin(self):
        rows = [self.EXACT, row(("f16", 1), 200, -0.002), row(("int8", 1), 100, -0.01), row(("binary", 1), 10, -0.011)]
        assert recommend(rows, CardOptions()).setup.storage == "int8"
        assert recommend(rows, CardOptions(margin=0.001)).setup.storage == "f32"
        assert recommend(rows, CardOptions(margin=0.02)).setup.storage == "binary"

    def test_one_set_that_suffers_is_enough_to_refuse(self):
        rows = [self.EXACT, row(("f16", 1), 200, 0.0, loss=0.021)]
        assert recommend(rows, CardOptions()).setup.storage == "f32"

    def test_unjudged_by_agreement(self):
        rows = [row(("f32", 1), 400, None), row(("f16", 1), 200, None, 0.96), row(("int8", 1), 100, None, 0.94)]
        assert recommend(rows, CardOptions()).setup.storage == "f16"

    def test_a_first_stage_of_least_depth(self):
        rows = [
            replace(row(("f16", 1), 1, None, agreement), setup=Setup("f16", 1, coarse, "similar", depth))
            for agreement, coarse, depth in [(0.9, 8, 20), (1.0, 32, 50), (0.99, 16, 50), (1.0, 8, 100)]
        ]
        assert recommend_stage(rows, CardOptions()).setup == Setup("f16", 1, 16, "similar", 50)
        assert recommend_stage(rows[:1], CardOptions()) is None


class TestPagesAndQueries:
    def test_pages_without_rows_are_counted(self):
        found = read_pages(stored([*library(4), page(9, ".")]), "late", [], 100)
        assert (len(found.rows), found.rowless, found.held, found.sampled) == (4, 1, 5, False)

    def test_a_sample_holds_the_pages_asked_for(self):
        found = read_pages(stored(library(24)), "late", [item(17, "own17x1"), item(3, "own3x1")], 6)
        assert len(found.rows) == 6
        assert found.sampled
        assert {3, 17} <= {passage.page for passage in found.passages}

    def test_no_page_with_rows(self):
        with pytest.raises(QueryError, match="--channel"):
            read_pages(stored(library(3)), "visual", [], 10)

    def test_judged_items_are_spaced_per_set(self):
        rows = [*items(24), *[item(number, "x", name="other") for number in range(3)], item(5, "y", gold=False)]
        kept = judged_items(rows, 4)
        assert [one.set_name for one in kept] == ["own"] * 4 + ["other"] * 3
        with pytest.raises(QueryError, match="gold"):
            judged_items([item(1, "x", gold=False)], 4)

    def test_sentences_of_a_querys_length_from_the_middle(self):
        middle = "The goblet cells of the trachea secrete mucus that traps the dust of the air."
        text = f"A short one. Another short sentence here. {middle} The last one is short too."
        [made] = sentence_items([page(1, text)], 10)
        assert made.query.text == middle
        assert not made.gold
        with pytest.raises(QueryError, match="no text"):
            sentence_items([page(1, "Only a heading")], 10)

    def test_an_encoder_that_reads_nothing(self):
        with pytest.raises(QueryError, match="none of the queries"):
            encode_items(ENCODER, [item(1, "?!")])

    @pytest.mark.parametrize(("n", "expected"), [(1, [0]), (2, [0, 5]), (3, [0, 3, 6]), (10, list(range(10)))])
    def test_spaced(self, n, expected):
        assert spaced(range(10), n) == expected

    @pytest.mark.parametrize(
        "change",
        [{"storages": ("u8",)}, {"storages": ()}, {"pools": ()}, {"pools": (0,)}, {"depths": (0,)}, {"margin": -1.0}],
    )
    def test_impossible_options(self, change):
        with pytest.raises(ConfigError):
            CardOptions(**change)


def test_a_scratch_store_answers_as_its_pages_would(tmp_path):
    asked = encode_items(ENCODER, items(6))
    scratch = Scratch(pages(8), asked, tmp_path)
    [found] = scratch.search([Setup("f32")])
    reference = stored(library(8))
    for hits, one in zip(found.hits, asked, strict=True):
        expected = reference.search("page", "late", one.vector, 10, {})
        assert [hit.passage.id for hit in hits] == [hit.passage.id for hit in expected]
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in expected], abs=1e-5)
        assert all(hit.channels[FULL].rank for hit in hits)
    assert list(tmp_path.iterdir()) == []


def test_memory_is_none_where_the_system_does_not_tell(tmp_path):
    assert resident_bytes(tmp_path / "absent") is None
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmRSS:\t  1024 kB\n")
    assert resident_bytes(status) == 1024 * 1024


class TestReport:
    def test_table_marks_what_is_recommended(self, judged_card):
        card, _ = judged_card
        lines = text_table(card).splitlines()
        [marked] = [line for line in lines if line.startswith("* ") and "rows" not in line]
        assert card.recommended.setup.name in marked
        assert lines[0].startswith("24 pages, 14 rows x 16 each; 12 judged queries")

    def test_document_is_json(self, judged_card):
        card, _ = judged_card
        document = json.loads(json.dumps(card_document(card)))
        assert document["recommended"] == card.recommended.setup.name
        assert [one["name"] for one in document["rows"]] == [one.setup.name for one in card.rows]
        assert document["rows"][0]["ndcg@5"]["value"] == 1.0

    def test_files(self, judged_card, tmp_path):
        card, _ = judged_card
        write_card(card, tmp_path)
        report = (tmp_path / "report.md").read_text()
        assert "quality.svg" in report
        assert f"| **{card.recommended.setup.name}** |" in report
        assert (tmp_path / "quality.svg").read_text() == card_chart(card)
        assert card_chart(card).count("<circle") == len(card.rows)

    def test_a_sample_says_so(self, judged_card):
        card, _ = judged_card
        sampled = replace(card, pages=CardPages(card.pages.passages, card.pages.rows, 900, 2))
        assert "of 900 (a sample" in text_table(sampled)
        assert "2 more without rows" in text_table(sampled)


class TestCommand:
    def run(self, *arguments):
        top = argparse.ArgumentParser()
        index_card.add(top.add_subparsers())
        args = top.parse_args(["card", *map(str, arguments)])
        return args.run(args)

    def test_on_the_sample_library(self, sample_folder, tmp_path, capsys):
        out = tmp_path / "card"
        options = ["--storage", "f32,f16", "--pool", "1", "--coarse", "0", "-n", "3", "--quiet"]
        assert self.run("--library", sample_folder, *options, "--out", out, "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert document["judged"] == 0
        assert document["queries"] >= 1
        assert json.loads((out / "card.json").read_text()) == document
        assert sorted(file.name for file in out.iterdir()) == ["card.json", "quality.svg", "report.md"]

    @pytest.mark.parametrize(
        ("flags", "message"),
        [
            (["--pool", "1,x"], "whole numbers"),
            (["-n", "0"], "1 or more"),
            (["--storage", "f8"], "unknown"),
            (["--channel", "visual"], "no page channel visual"),
        ],
    )
    def test_bad_flags(self, sample_folder, flags, message):
        with pytest.raises((UsageError, ConfigError), match=message):
            self.run("--library", sample_folder, "--quiet", *flags)
