"""From the sample sources to cited answers, with the real models, the real engine and the real command line."""

import json
import re
from pathlib import Path

import pytest

from eval.datasets import load_queries
from eval.retrieval import RetrievalOptions, evaluate_retrieval
from eval.statistics import BootstrapOptions
from pipelines.assistant import Assistant
from pipelines.search import JudgedSearch
from rag.cli.app import main
from rag.types import KINDS, Query

pymupdf = pytest.importorskip("pymupdf")


pytestmark = pytest.mark.usefixtures("forwards_once")

PLAIN_QUESTIONS = (
    "What is an air bronchogram?",
    "What is the cardiothoracic ratio?",
    "What is a keloid?",
    "What is arteriovenous nipping?",
    "What is lobar pneumonia?",
    "What is a pericardial effusion?",
)


def squash(text):
    return "".join(re.findall(r"[a-z0-9]+", text.lower()))


@pytest.fixture(scope="module")
def pages(sample):
    with pymupdf.open(sample.handbook) as document:
        return [page.get_text() for page in document]


def judged(library, path, limit=None):
    items = load_queries([path]).items[:limit]
    options = RetrievalOptions(bootstrap=BootstrapOptions(resamples=200))
    report = evaluate_retrieval(JudgedSearch(library.engine()), items, options).as_json()
    return list(report["sets"].values())


def test_library_holds_every_source(sample_library, sample, pages):
    status = sample_library.status()
    assert status["state"] == "complete"
    assert status["counts"]["page"] == len(pages)
    assert status["counts"]["case"] == len(sample.cases.read_text("utf-8").splitlines())
    assert status["counts"]["fact"] == len(sample.facts.read_text("utf-8").splitlines()) - 1
    assert status["counts"]["figure"] >= 34
    assert {row["name"] for row in status["documents"]} == {"handbook", "cases", "triples"}


def test_store_and_journal_agree(sample_library):
    found = sample_library.verify()
    assert found == {"ok": True, "missing": [], "orphaned": [], "altered": []}


def test_page_questions_find_their_pages(sample_library, sample):
    results = judged(sample_library, sample.queries / "pages.jsonl")
    n = sum(result["n"] for result in results)
    assert n >= 40
    assert sum(result["n"] * result["r@5"]["value"] for result in results) / n >= 0.9
    assert sum(result["n"] * result["ndcg@5"]["value"] for result in results) / n >= 0.75


def test_altered_images_find_their_cases(sample_library, sample):
    items = [item for item in load_queries([sample.queries / "cases.jsonl"]).items if item.query.images]
    assert len(items) >= 10
    report = evaluate_retrieval(
        JudgedSearch(sample_library.engine()), items, RetrievalOptions(exclude_leaks=False)
    ).as_json()
    [result] = report["sets"].values()
    assert result["r@1"]["value"] >= 0.8  # one view per image in the tests; six views are measured in docs


def test_fact_questions_find_their_facts(sample_library, sample):
    [result] = judged(sample_library, sample.queries / "facts.jsonl")
    assert result["r@10"]["value"] >= 0.8


def test_every_quote_is_verbatim_on_its_page_and_inside_its_box(sample_library, sample, pages):
    assistant = Assistant(sample_library)
    quoted = 0
    for question in PLAIN_QUESTIONS:
        answer = assistant.ask(question, kinds=("page", "figure"))
        for citation in answer.citations:
            assert citation.quote in citation.passage.text
            if citation.page is not None:
                assert squash(citation.quote) in squash(pages[citation.page - 1])
                assert citation.box is not None
                quoted += 1
    assert quoted >= 5


def test_a_question_about_an_image_cites_cases(sample_library, sample):
    row = json.loads(sample.cases.read_text("utf-8").splitlines()[0])
    answer = Assistant(sample_library).ask("What does this film show?", images=[sample.cases.parent / row["image"]])
    assert not answer.abstained
    assert {citation.passage.kind for citation in answer.citations} & {"case", "page", "figure"}


def test_off_topic_questions_get_no_answer(sample_library):
    assistant = Assistant(sample_library)
    for question in ("Who won the football world cup in 1998?", "How do I repair a bicycle chain?"):
        answer = assistant.ask(question)
        assert answer.abstained, answer.text
        assert answer.citations == ()
        assert answer.reason


def test_multiple_choice_beats_chance_and_is_cited(sample_library, sample):
    items = [item for item in load_queries([sample.queries / "choice.jsonl"]).items if not item.query.images][:8]
    assistant = Assistant(sample_library)
    answers = [assistant.ask(item.query) for item in items]
    right = sum(answer.choice == item.answer for answer, item in zip(answers, items, strict=True))
    chance = sum(1 / len(item.query.options) for item in items)
    assert right >= 1.9 * chance
    assert all(answer.citations for answer in answers if not answer.abstained)


def test_ask_writes_one_self_contained_page(sample_folder, tmp_path, capsys):
    page = tmp_path / "answer.html"
    ask = ["ask", "What is an air bronchogram?", "--in", "pages"]
    code = main([*ask, "--library", str(sample_folder), "--html", str(page), "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert answer["citations"][0]["document"] == "handbook"
    assert answer["disclaimer"]
    html = page.read_text("utf-8")
    assert "data:image/jpeg;base64," in html
    assert not re.search(r"(src|href)=\"(https?:|/|file:)", html)


def test_batches_write_a_row_for_every_question(sample_folder, tmp_path, capsys):
    questions = tmp_path / "questions.jsonl"
    rows = [{"id": "a", "question": "What is consolidation?"}, {"id": "b", "question": " "}]
    questions.write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    out = tmp_path / "answers.jsonl"
    code = main(["ask", "--library", str(sample_folder), "--questions", str(questions), "--out", str(out), "--quiet"])
    answers = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert code == 1
    assert [row["id"] for row in answers] == ["a", "b"]
    assert "neither" in answers[1]["error"]
    assert answers[0]["citations"]


def test_eval_retrieval_writes_a_run_folder(sample_folder, sample, tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["eval", "retrieval", "--library", str(sample_folder), "--baseline", "bm25", "--json", "--quiet"]
    code = main([*arguments, "--queries", str(sample.queries / "facts.jsonl"), "--out", str(out)])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    [result] = document["sets"].values()
    assert set(result) >= {"n", "missing", "ndcg@5", "r@1", "r@5", "r@10", "mrr@10"}
    assert {path.name for path in out.iterdir()} >= {
        "config.resolved.yaml", "environment.json", "samples.jsonl", "run.trec", "metrics.json", "report.md",
        "report.html",
    }  # fmt: skip


def test_removing_a_document_takes_exactly_its_passages(sample_copy, capsys):
    assert main(["index", "remove", "handbook", "--library", str(sample_copy), "--json"]) == 0
    removed = json.loads(capsys.readouterr().out)["removed"]
    assert removed["page"] >= 26
    assert removed["case"] == removed["fact"] == 0
    assert main(["index", "verify", "--library", str(sample_copy), "--json"]) == 0
    assert main(["search", "pleural effusion", "--library", str(sample_copy), "-k", "20", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out.split("\n}\n", 1)[1])["hits"]
    assert hits
    assert all(hit["document"] != "handbook" for hit in hits)


def test_a_second_build_finds_nothing_to_do(sample_copy, sample, capsys):
    arguments = ["--library", str(sample_copy), "--pages", str(sample.handbook), "--cases", str(sample.cases), "--json"]
    assert main(["index", "plan", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["units_to_do"] == 0
    assert main(["index", "build", *arguments, "--quiet"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["resumed"]
    assert report["stages"]["forward"] == 0


def test_search_takes_text_and_image_together(sample_library, sample):
    row = json.loads(sample.cases.read_text("utf-8").splitlines()[0])
    query = Query(text="chest film", images=(Path(sample.cases.parent / row["image"]),))
    hits = sample_library.search(query, k=5, kinds=("case",))
    assert hits[0].passage.record == row["id"]
    assert {"image", "dense", "bm25"} <= set(hits[0].channels)
    assert len(sample_library.search(query, k=10_000, kinds=KINDS)) <= sum(sample_library.status()["counts"].values())
