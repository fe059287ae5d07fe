"""Queries made of reports alone: who belongs together, who is left out, what is written."""

import json

import pytest

from eval.datasets import load_queries
from eval.relevance import judge_reports, write_rows
from rag.errors import UsageError
from rag.fingerprint import passage_id
from rag.types import CaseLocator, Passage

EFFUSION = "Findings: There is a small left pleural effusion. No pneumothorax."
ALSO = "A small pleural effusion is seen on the left. There is no pneumothorax."


@pytest.fixture
def case(tmp_path):
    def made(name, text, patient=None, image=True):
        picture = tmp_path / "images" / f"{name}.png"
        picture.parent.mkdir(exist_ok=True)
        picture.write_bytes(b"x")
        key = passage_id("e" * 64, "case", name)
        return Passage(key, "case", "films", text, CaseLocator(name, patient), (picture,) if image else ())

    return made


def test_reports_that_find_the_same_are_right_for_each_other(tmp_path, case):
    corpus = [
        case("a", EFFUSION, "p1"), case("b", ALSO, "p2"), case("c", "Cardiomegaly.", "p3"),
        case("d", "The film was taken at noon.", "p4"), case("e", ALSO, "p1"), case("f", ALSO, "p5", image=False),
    ]  # fmt: skip
    found = judge_reports(corpus, tmp_path)
    gold = {row["id"]: [one["id"] for one in row["gold"]] for row in found.rows}
    assert gold == {"a": ["b", "f"], "b": ["a", "e", "f"], "e": ["b", "f"]}
    assert (found.cases, found.silent, found.alone, found.pairs) == (6, 1, 1, 7)
    write_rows(tmp_path / "queries.jsonl", found.rows)
    rows = [json.loads(line) for line in (tmp_path / "queries.jsonl").read_text().splitlines()]
    assert rows[0]["exclude"] == [{"source": "report", "id": "a"}]
    assert (rows[0]["image"], rows[0]["patient_id"], rows[0]["set"]) == ("images/a.png", "p1", "films")
    assert [item.query.id for item in load_queries([tmp_path / "queries.jsonl"]).items] == ["a", "b", "e"]


def test_without_a_known_patient_every_other_report_may_be_right(tmp_path, case):
    assert [row["id"] for row in judge_reports([case("a", EFFUSION), case("b", ALSO)], tmp_path).rows] == ["a", "b"]


def test_rows_that_could_not_name_their_images_are_refused(tmp_path, case):
    corpus = [case("a", EFFUSION), case("b", ALSO)]
    with pytest.raises(UsageError, match=r"neither in .* nor in its parent"):
        judge_reports(corpus, tmp_path / "far" / "away")
