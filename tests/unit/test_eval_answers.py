"""`eval answers`: questions in, rows, figures and a run folder out; errors are rows, and an interruption loses one."""

import json

import pytest
from PIL import Image

from eval.answers import AnswerMeasure, check_answers
from eval.answers_copying import copied_row, other_images
from eval.answers_figures import AnswerReading, read_answers
from eval.answers_intervals import figure
from eval.answers_questions import QuestionOptions, load_questions
from eval.answers_run import RunPlan, run_questions
from eval.items import LoadOptions
from eval.metrics.presets import preset_of
from eval.statistics_tests import wilson_interval
from rag.errors import EnvironmentProblem, QueryError, UsageError
from rag.types import (
    Answer,
    CaseLocator,
    ChannelScore,
    Citation,
    Claim,
    Evidence,
    Hit,
    PageLocator,
    Passage,
)


@pytest.fixture(autouse=True)
def quick_environment(monkeypatch):
    """Listing the installed packages takes longer than everything else here; test_eval_runs.py does it."""
    monkeypatch.setattr("eval.answers_run.describe_environment", lambda library: {"library": library})


PAGE = Passage("p7", "page", "book", "Fat is stored in adipose tissue.", PageLocator(7))


def answer(query, *, choice=None, text="Fat is stored in adipose tissue.", confidence=0.9, hits=None, trace=()):
    found = hits or (Hit(PAGE, 0.5, {"dense": ChannelScore(3, 0.5), "colbert": ChannelScore(2, 9.0)}),)
    return Answer(
        query.id, f"{text} [1]", (Claim(text, (1,), 1.0, {"shown": True}),), (Citation(1, PAGE, text),),
        Evidence(tuple(found)), choice=choice, confidence=confidence, trace=trace, seconds={"retrieve": 0.25},
    )  # fmt: skip


def abstained(query):
    return Answer(query.id, "No answer: none.", (), (), Evidence(()), abstained=True, reason="none")


def questions(tmp_path, *rows, name="mine.jsonl", **options):
    path = tmp_path / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return load_questions([path], QuestionOptions(**options))


def choice(identity, right="B", **fields):
    options = {"A": "tendon", "B": "adipose tissue", "C": "cartilage", "D": "bone"}
    return {"id": identity, "question": "What stores fat?", "options": options, "answer": right, **fields}


def measured(tmp_path, asked, ask, *, out="run", presets=()):
    measure = AnswerMeasure(lambda query, kinds: ask(query), tuple(map(preset_of, presets)))
    return run_questions(measure, asked, RunPlan(tmp_path / out, {"seed": 1}, "print"))


def rows_of(folder):
    return {row["id"]: row for row in map(json.loads, (folder / "samples.jsonl").read_text().splitlines())}


def test_a_run_has_figures_rows_and_every_file(tmp_path):
    asked = questions(
        tmp_path,
        choice("one", gold=[{"source": "page", "book": "book", "page": 7}]),
        choice("two", "D"),
        choice("three", set="other"),
        {"id": "four", "question": "Does fat store energy?", "answer": "yes", "set": "other"},
        {"id": "five", "question": "Where is fat stored?", "answer": "in adipose tissue", "set": "other"},
    )
    given = {"one": "B", "two": "B", "three": None}

    def ask(query):
        if query.id == "three":
            return abstained(query)
        return answer(
            query, choice=given.get(query.id), text="Yes, in adipose tissue." if query.id == "four" else PAGE.text
        )

    document = measured(tmp_path, asked, ask, presets=["llava_med_2023"])
    assert (document["n"], document["answered"], document["abstained"], document["failed"]) == (5, 4, 1, 0)
    interval = wilson_interval(2, 4)
    assert document["accuracy"] == {**interval.as_json(), "n": 4, "left_out": 0}
    assert document["by_set"]["mine"]["accuracy"]["value"] == 0.5
    assert document["by_answer_type"]["open"]["accuracy"]["value"] is None
    assert document["presets"]["strict"]["token_recall"]["value"] == 1.0
    assert "recall" in document["presets"]["llava_med_2023"]
    assert document["selective"]["n"] == 3
    assert document["presets_used"]["strict"]["version"] == 1
    folder = tmp_path / "run"
    assert {path.name for path in folder.iterdir()} == {
        "config.resolved.yaml", "environment.json", "samples.jsonl", "run.trec", "qrels.trec", "metrics.json",
        "report.md", "report.html",
    }  # fmt: skip
    assert json.loads((folder / "metrics.json").read_text()) == document
    row = rows_of(folder)["one"]
    assert row["parsed"] == "B"
    assert row["right"] is True
    assert row["ranks"] == {"evidence": 1, "dense": 3, "colbert": 2}
    assert row["evidence"][0]["unit"] == ["page", "book", "7"]
    assert row["seconds"] == {"retrieve": 0.25}
    assert (folder / "run.trec").read_text().startswith("one Q0 page/book/7 1 1 ")
    assert (folder / "qrels.trec").read_text() == "one 0 page/book/7 1\n"
    with pytest.raises(UsageError, match="never overwritten"):
        measured(tmp_path, asked, ask)


def test_options_of_other_letters_are_scored_by_the_item_s_letters(tmp_path):
    asked = questions(
        tmp_path, {"id": "one", "question": "What?", "options": {"1": "a bone", "2": "fat"}, "answer": "2"}
    )
    document = measured(tmp_path, asked, lambda query: answer(query, choice="B"))
    assert document["accuracy"]["value"] == 1.0
    assert rows_of(tmp_path / "run")["one"]["parsed"] == "2"


def test_baselines_have_their_closed_forms(tmp_path):
    asked = questions(
        tmp_path, choice("one", "A"), choice("two", "A"), choice("three", "C"),
        {"id": "four", "question": "So?", "answer": "no", "set": "yes or no"},
        {"id": "five", "question": "So, too?", "answer": "maybe", "answer_type": "yesno", "set": "yes or no"},
    )  # fmt: skip
    document = measured(tmp_path, asked, lambda query: answer(query, choice="A"))
    assert document["by_set"]["mine"]["baselines"]["most_frequent"]["value"] == pytest.approx(2 / 3, abs=1e-6)
    assert document["baselines"]["most_frequent"] == {"value": 0.6, "n": 5, "left_out": 0}
    assert document["baselines"]["chance"]["value"] == pytest.approx((3 / 4 + 2 / 3) / 5, abs=1e-6)


def test_pairs_and_subgroups_have_figures_of_their_own(tmp_path):
    both = {"question": "Is it left?", "options": {"A": "left", "B": "right"}}
    asked = questions(
        tmp_path,
        {"id": "1a", **both, "answer": "A", "pair_id": "1", "groups": {"organ": "lung"}},
        {"id": "1b", **both, "answer": "B", "pair_id": "1", "groups": {"organ": "lung"}},
        {"id": "2a", **both, "answer": "A", "pair_id": "2", "groups": {"organ": "heart"}},
        {"id": "2b", **both, "answer": "B", "pair_id": "2", "groups": {"organ": "heart"}},
    )
    document = measured(tmp_path, asked, lambda query: answer(query, choice="A" if query.id != "1b" else "B"))
    assert document["pairs"]["set_accuracy"]["value"] == 0.5
    assert document["pairs"]["confusion"]["value"] == 0.5
    by_organ = document["by_group"]["organ"]
    assert {name: (one["value"], one["n"]) for name, one in by_organ.items()} == {"heart": (0.5, 2), "lung": (1.0, 2)}
    assert "Accuracy by organ" in (tmp_path / "run" / "report.md").read_text()


def test_what_fails_becomes_a_row_and_counts_as_wrong(tmp_path):
    asked = questions(
        tmp_path, choice("one"), choice("two"), choice("three", image="gone.png"), '{"id": "four", broken',
        {"id": "five", "question": "What?", "options": ["a", "b"], "answer": "z"},
    )  # fmt: skip
    assert asked.missing == ("gone.png",)
    assert len(asked.unreadable) == 2

    def ask(query):
        if query.id == "two":
            raise QueryError("the question cannot be read")
        return answer(query, choice="B")

    document = measured(tmp_path, asked, ask)
    assert (document["n"], document["answered"], document["failed"]) == (5, 1, 4)
    assert document["accuracy"]["value"] == 0.5
    assert document["accuracy"]["n"] == 2
    rows = rows_of(tmp_path / "run")
    assert rows["two"]["error"] == "the question cannot be read"
    assert rows["two"]["right"] is False
    assert rows["three"]["error"] == "image gone.png is missing"
    assert [one["id"] for one in document["errors"]] == ["two", "three", "mine.jsonl:4", "mine.jsonl:5"]
    assert "mine.jsonl:4" in rows
    with pytest.raises(QueryError, match=r"gone\.png"):
        questions(tmp_path, choice("one", image="gone.png"), load=LoadOptions(stop_on_missing_images=True))


def test_a_scoring_rule_that_fails_costs_one_row(tmp_path, monkeypatch):
    asked = questions(tmp_path, choice("one"), choice("two"))
    calls = []

    def rule(item, reply):
        calls.append(item.id)
        if calls == ["one"]:
            raise ZeroDivisionError("division by zero")
        return {"accuracy": 1.0}

    monkeypatch.setitem(preset_of("strict").answered, "choice", rule)
    document = measured(tmp_path, asked, lambda query: answer(query, choice="B"))
    assert rows_of(tmp_path / "run")["one"]["error"] == "division by zero"
    assert (document["answered"], document["failed"]) == (1, 1)


def test_an_interruption_loses_one_question(tmp_path):
    asked = questions(tmp_path, *(choice(f"q{number}") for number in range(4)))
    calls = []

    def ask(query):
        calls.append(query.id)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return answer(query, choice="B")

    with pytest.raises(KeyboardInterrupt):
        measured(tmp_path, asked, ask)
    assert not (tmp_path / "run").exists()
    with (tmp_path / "run.partial" / "samples.jsonl").open("a") as stream:
        stream.write('{"id": "q2", "cut')
    document = measured(tmp_path, asked, ask)
    assert calls == ["q0", "q1", "q2", "q2", "q3"]
    assert document["seconds"]["taken_up"] == 2
    assert document["accuracy"]["n"] == 4
    assert list(rows_of(tmp_path / "run")) == ["q0", "q1", "q2", "q3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.jsonl", "run"]
    again = measured(tmp_path, asked, ask, out="whole")
    strip = {"seconds", "run", "latency"}
    assert {k: v for k, v in again.items() if k not in strip} == {k: v for k, v in document.items() if k not in strip}


def test_rows_of_another_configuration_are_not_taken_up(tmp_path):
    asked = questions(tmp_path, choice("one"), choice("two"))

    def broken(query):
        if query.id == "two":
            raise EnvironmentProblem("the server is down")
        return answer(query, choice="A")

    with pytest.raises(EnvironmentProblem):
        measured(tmp_path, asked, broken)
    other = questions(tmp_path, choice("one", "A"), choice("two", "A"))
    document = measured(tmp_path, other, lambda query: answer(query, choice="A"))
    assert document["seconds"]["taken_up"] == 0
    assert (tmp_path / "run.partial").exists()


def test_declining_what_nobody_can_answer_is_right(tmp_path):
    asked = questions(tmp_path, choice("one"), {"id": "two", "question": "Who am I?", "answerable": False})
    document = measured(
        tmp_path, asked, lambda query: abstained(query) if query.id == "two" else answer(query, choice="B")
    )
    assert document["abstention"]["f1"]["value"] == 1.0
    assert document["abstention"]["false_answers"] == {"value": 0.0, "n": 1, "left_out": 0}
    assert document["accuracy"]["n"] == 1


def test_rows_without_any_answer_measure_nothing(tmp_path):
    with pytest.raises(QueryError, match="none of the 1 rows has a right answer"):
        check_answers(questions(tmp_path, {"id": "one", "question": "What?"}))


def test_guard_counts_and_own_evidence_are_told(tmp_path):
    own = Hit(Passage("c1", "case", "cxr", "clear", CaseLocator("r1", "p1", "s1")), 0.4)
    asked = questions(tmp_path, choice("one", patient_id="p1"), choice("two", study_id="s1"), choice("three"))
    trace = ({"step": "guard", "on": True, "withheld": {"same image": 2}},)
    document = measured(tmp_path, asked, lambda query: answer(query, choice="B", hits=[own], trace=trace))
    assert document["guard"] == {
        "on": True, "withheld": 6, "by_reason": {"same image": 6}, "questions": 3, "own_evidence_left": 2,
    }  # fmt: skip
    assert "same image: 6" in (tmp_path / "run" / "report.md").read_text()


def test_own_rows_keep_what_only_they_can_say(tmp_path):
    [one, two] = questions(
        tmp_path, choice("one", **{"in": "cases,facts"}, before_day=3, patient_id="p"), choice("two"), limit=2
    ).questions
    assert one.kinds == ("case", "fact")
    assert one.query().before_day == 3.0
    assert one.set_name == "mine"
    assert two.kinds == ()
    bad = questions(tmp_path, choice("one", **{"in": "books"}), choice("one"), choice("two"))
    assert [one.id for one in bad.questions] == ["two"]
    assert "books" in " ".join(bad.unreadable)


def test_two_files_with_one_id_are_told_apart(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(json.dumps(choice("same")) + "\n")
    asked = load_questions([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])
    assert len(asked.questions) == 1
    assert "used before" in asked.unreadable[0]


def test_answers_that_stay_with_another_image_were_copied(tmp_path):
    for name, shade in (("a", 40), ("b", 200)):
        Image.new("L", (8, 8), shade).save(tmp_path / f"{name}.png")
    asked = questions(tmp_path, choice("one", image="a.png"), choice("two", image="b.png"), choice("three"))
    others = other_images(asked.questions)
    assert {name: [path.name for path in paths] for name, paths in others.items()} == {
        "one": ["b.png"],
        "two": ["a.png"],
    }
    report = Hit(Passage("c1", "case", "cxr", "clear lungs", CaseLocator("r1")), 0.4)
    query = asked.questions[0].query()
    first = answer(query, choice="B", hits=[report])
    seen = []

    def redraft(query, evidence):
        seen.append((query.images, evidence))
        return answer(query, choice="A")

    assert copied_row(query, first, others["one"], redraft) == {"images": ["b.png"], "same": False}
    assert seen == [(others["one"], first.evidence)]
    assert copied_row(query, answer(query, choice="B"), others["one"], redraft) is None
    rows = [
        {"id": "x", "set": "s", "asked": True, "answer_type": "choice", "answerable": True, "cluster": "x",
         "images": [], "groups": {}, "right": right,
         "options": {"A": "a"}, "answers": ["A"], "confidence": 0.5, "copied": {"same": same}}
        for right, same in ((True, True), (True, False), (False, True))
    ]  # fmt: skip
    assert read_answers(rows, AnswerReading(("strict",))).whole.copied.as_json() == {
        "value": 0.5,
        "n": 2,
        "left_out": 0,
    }


def test_intervals_know_clusters():
    independent = figure([(1.0, "a"), (0.0, "b"), (None, "c")])
    assert (independent.n, independent.left_out) == (2, 1)
    assert independent.estimate == wilson_interval(1, 2)
    values = [float(number % 2) for number in range(40)]
    shared = figure([(value, f"patient {number // 20}") for number, value in enumerate(values)])
    assert shared.value == 0.5
    assert (shared.estimate.low, shared.estimate.high) == (0.5, 0.5)
    alike = figure([(0.0, f"patient {number // 20}") for number in range(40)])
    assert (alike.n, alike.estimate) == (40, wilson_interval(0, 2))


def test_a_page_shows_text_as_text(tmp_path):
    asked = questions(tmp_path, choice("<script>alert(1)</script>"))
    measured(tmp_path, asked, lambda query: answer(query, choice="B", text="<img src=x onerror=alert(1)>"))
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img src=x" in page


def test_yes_or_no_questions_are_asked_as_such_and_scored_by_the_verdict(tmp_path):
    rows = [
        {"id": f"q{n}", "question": "Is fat stored in bone?", "answer": gold} for n, gold in enumerate(["no", "Yes"])
    ]
    asked = questions(tmp_path, *rows, {"id": "open", "question": "What stores fat?", "answer": "adipose tissue"})
    seen = {}

    def ask(query, kinds):
        seen[query.id] = query.options
        return answer(query, choice="B" if query.options else None)

    run = RunPlan(tmp_path / "run", {}, "abc")
    document = run_questions(AnswerMeasure(ask, (preset_of("llava_med_2023"),)), asked, run)
    assert seen == {"q0": ("yes", "no"), "q1": ("yes", "no"), "open": ()}
    told = {row["id"]: row for row in map(json.loads, (tmp_path / "run" / "samples.jsonl").read_text().splitlines())}
    assert (told["q0"]["parsed"], told["q0"]["right"], told["q1"]["right"]) == ("no", True, False)
    assert told["q0"]["values"]["llava_med_2023"]["accuracy"] == 1.0
    assert document["accuracy"]["value"] == 0.5
