"""`eval citations` and `eval reports`: worked values through whole runs, with systems and judges that are scripted."""

import json
from types import SimpleNamespace

import pytest
from PIL import Image

from eval.answers_questions import load_questions
from eval.answers_run import RunPlan, run_questions
from eval.citations import CitationMeasure, gold_statements
from eval.metrics.overlap import corpus_bleu, report_words, rouge_l
from eval.reports import ReportMeasure, check_references, draft_text, reference_of
from eval.reports_figures import pooled_f1
from rag.errors import QueryError
from rag.types import Answer, CaseLocator, Citation, Claim, Evidence, Hit, PageLocator, Passage


@pytest.fixture(autouse=True)
def quick_environment(monkeypatch):
    """Listing the installed packages takes longer than everything else here; test_eval_runs.py does it."""
    monkeypatch.setattr("eval.answers_run.describe_environment", lambda library: {"library": library})


def page(number, text):
    return Passage(f"p{number}", "page", "book", text, PageLocator(number))


def case(record, text, patient=None):
    return Passage(record, "case", "cxr", text, CaseLocator(record, patient))


def asked(tmp_path, *rows):
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_questions([path])


class Table:
    """A judge that supports what it was told to, by words that premise and claim hold."""

    def __init__(self, *pairs):
        self.pairs = pairs

    def support(self, claim, quote):
        return float(any(a in quote and b in claim for a, b in self.pairs))


def citations(tmp_path, questions, ask, judge):
    measure = CitationMeasure(lambda query, kinds: ask(query), judge)
    return run_questions(measure, questions, RunPlan(tmp_path / "run", {}, "print"))


def test_alce_s_toy_example_comes_out_of_a_run(tmp_path):
    """S1 [1] supported; S2 [1][2] supported by [1] alone; S3 uncited: recall 2/3, precision 2/3."""
    one, two = page(1, "alpha beta"), page(2, "gamma")
    claims = (
        Claim("first", (1,), 1.0, {}), Claim("second", (1, 2), 1.0, {}), Claim("third", (), 1.0, {}),
    )  # fmt: skip
    given = (Citation(1, one, "alpha beta"), Citation(2, two, "not there"))
    hits = (Hit(one, 1.0), Hit(two, 0.5))
    trace = ({"step": "ground", "claim": 3, "kept": False, "failed": ["shown"]},)
    questions = asked(
        tmp_path, {"id": "q", "question": "What?", "gold": [{"source": "page", "book": "book", "page": 2}]}
    )
    judge = Table(("alpha", "first"), ("alpha", "second"))
    document = citations(
        tmp_path, questions, lambda query: Answer(query.id, "...", claims, given, Evidence(hits), trace=trace), judge
    )
    found = document["citations"]
    assert found["recall"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["precision"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["uncited"]["value"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["cites_gold"]["value"] == 1.0
    assert found["gold_share"]["value"] == 0.5
    assert document["invalid_citation_rate"] == {"value": 0.0, "n": 3, "left_out": 0}
    assert document["quote_verbatim_rate"] == {"value": 0.5, "n": 2, "left_out": 0}
    assert document["dropped"] == {"value": 1, "by_check": {"shown": 1}}
    assert document["judge"] == {"name": "rules", "threshold": 0.5}


def test_a_number_without_a_passage_is_an_invalid_citation(tmp_path):
    one = page(1, "alpha")
    claims = (Claim("first", (1, 4), 1.0, {}),)
    document = citations(
        tmp_path,
        asked(tmp_path, {"id": "q", "question": "What?"}),
        lambda query: Answer(query.id, "...", claims, (Citation(1, one, "alpha"),), Evidence((Hit(one, 1.0),))),
        Table(("alpha", "first")),
    )
    assert document["invalid_citation_rate"]["value"] == 0.5
    assert document["citations"]["recall"]["value"] == 0.0
    assert document["claims"].keys() == {"faithfulness"}


def test_claims_are_held_against_a_reference_and_the_evidence(tmp_path):
    useful, useless = page(1, "useful evidence"), page(2, "useless evidence")
    claims = (Claim("right claim", (1,), 1.0, {}), Claim("wrong claim", (1,), 1.0, {}))
    row = {"id": "q", "question": "What?", "answer": "x", "report": "Gold one. Gold two."}
    document = citations(
        tmp_path,
        asked(tmp_path, row, {"id": "r", "question": "What?"}),
        lambda query: (
            Answer(query.id, "No answer.", (), (), Evidence(()), abstained=True)
            if query.id == "r"
            else Answer(
                query.id,
                "...",
                claims,
                (Citation(1, useful, "useful"),),
                Evidence((Hit(useful, 1.0), Hit(useless, 0.5))),
            )
        ),
        Table(("Gold", "right"), ("right", "one"), ("useful", "one"), ("useful", "right"), ("useless", "wrong")),
    )
    values = {name: figure["value"] for name, figure in document["claims"].items()}
    assert (values["precision"], values["recall"], values["claim_recall"]) == (0.5, 0.5, 0.5)
    assert (values["context_precision"], values["context_utilisation"]) == (0.5, 1.0)
    assert (values["noise_irrelevant"], values["hallucination"], values["faithfulness"]) == (0.5, 0.0, 1.0)
    assert (document["answered"], document["abstained"]) == (1, 1)


def test_gold_statements_are_sentences_or_options(tmp_path):
    questions = asked(
        tmp_path,
        {"id": "a", "question": "What?", "options": ["fat", "bone"], "answer": "B"},
        {"id": "b", "question": "Is it?", "answer": "yes"},
        {"id": "c", "question": "What?", "findings": "Clear lungs. No effusion.", "impression": "Normal."},
    ).questions
    assert [gold_statements(one) for one in questions[:2]] == [("bone",), ()]
    assert any("No effusion." in text for text in gold_statements(questions[2]))


@pytest.fixture
def films(tmp_path):
    for name, shade in (("a", 40), ("b", 120), ("c", 200)):
        Image.new("L", (8, 8), shade).save(tmp_path / f"{name}.png")
    return asked(
        tmp_path,
        {
            "id": "a",
            "image": "a.png",
            "patient_id": "p1",
            "findings": "Large left pleural effusion.",
            "impression": "Effusion.",
        },
        {"id": "b", "image": "b.png", "patient_id": "p2", "report": "The lungs are clear. No pneumothorax."},
        {"id": "c", "image": "c.png", "patient_id": "p3", "report": "Right lower lobe consolidation."},
        {"id": "d", "image": "a.png", "labels": ["x"], "gold": []},
    )


def drafted(request, text, nearest="Left pleural effusion."):
    claim = Claim(text, (1,), 1.0, {})
    near = case("r9", nearest, "p9")
    trace = ({"step": "sections", "of": {"findings": [0]}}, {"step": "guard", "withheld": {"same patient": 1}})
    return Answer(
        request.id, text, (claim,), (Citation(1, near, nearest),), Evidence((Hit(near, 1.0),)), trace=trace,
        seconds={"retrieve": 0.1},
    )  # fmt: skip


def test_drafts_are_compared_with_references_and_baselines(films, tmp_path):
    requests = []

    def draft(request):
        requests.append(request)
        if request.id == "c":
            raise QueryError("the image cannot be read")
        return drafted(request, "Left pleural effusion." if request.id == "a" else "The lungs are clear.")

    document = run_questions(ReportMeasure(draft), films, RunPlan(tmp_path / "run", {}, "print"))
    assert [request.id for request in requests] == ["a", "b", "c"]
    assert requests[0].patient == "p1"
    counts = {name: document[name] for name in ("n", "compared", "drafted", "abstained", "failed", "left_out")}
    assert counts == {"n": 4, "compared": 3, "drafted": 2, "abstained": 0, "failed": 1, "left_out": 1}
    references = [reference_of(one) for one in films.questions[:3]]
    texts = ["Left pleural effusion.", "The lungs are clear.", ""]
    expected = [rouge_l(report_words(a), [report_words(b)]) for a, b in zip(texts, references, strict=True)]
    assert document["draft"]["rouge_l"]["value"] == pytest.approx(sum(expected) / 3, abs=1e-6)
    bleu = corpus_bleu([report_words(text) for text in texts], [[report_words(text)] for text in references])
    assert list(document["draft"]["corpus_bleu"].values()) == pytest.approx(bleu, abs=1e-6)
    # In both: the effusion, and that the second case has none; the failed case leaves its consolidation out.
    assert document["findings"]["micro_14"]["value"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert document["draft"]["pooled_finding_f1"]["value"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert document["nearest"]["finding_f1_rules"]["value"] < document["draft"]["finding_f1_rules"]["value"]
    assert document["shuffled"]["rouge_l"]["value"] < document["draft"]["rouge_l"]["value"]
    assert document["guard"]["withheld"] == 2
    assert document["writer"] == "composed"
    shown = (tmp_path / "run" / "report.md").read_text()
    assert "Pleural Effusion" in shown
    assert "| mine |" not in shown  # one set needs no row beside "all"


def test_pooled_f1_is_a_ratio_of_sums():
    rows = [
        {"cluster": f"p{number}", "findings": {"both": 1, "extra": number % 2, "omitted": 1}} for number in range(30)
    ]
    found = pooled_f1(rows, "findings")
    assert found.value == pytest.approx(60 / (60 + 15 + 30))
    assert found.low < found.value < found.high


def test_a_draft_is_what_is_said_of_these_images():
    claims = tuple(Claim(text, (1,), 1.0, {}) for text in ("Before.", "Clear lungs.", "Normal.", "A model says 0.9."))
    trace = ({"step": "sections", "of": {"prior": [0], "findings": [1], "impression": [2], "expert": [3]}},)
    answer = Answer("x", "...", claims, (), Evidence(()), trace=trace)
    assert draft_text(answer) == "Clear lungs. Normal."
    assert draft_text(Answer("x", "No answer.", (), (), Evidence(()), abstained=True)) == ""


def test_rows_without_references_measure_nothing(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(QueryError, match="none of the 2 rows has an image and a reference report"):
        check_references(
            asked(tmp_path, {"id": "a", "image": "a.png"}, {"id": "b", "question": "?", "report": "Clear."})
        )


def test_metrics_of_another_package_join_the_drafts(films, tmp_path):
    score = SimpleNamespace(score=lambda drafts, golds: {"radeval:toy": [float(bool(text)) for text in drafts]})
    measure = ReportMeasure(lambda request: drafted(request, "Clear."), radeval=(score,))
    document = run_questions(measure, films, RunPlan(tmp_path / "run", {}, "print"))
    assert document["draft"]["radeval:toy"]["value"] == 1.0
    assert "radeval:toy" not in document["nearest"]
