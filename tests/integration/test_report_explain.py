"""Reports, explanations, comparisons and conversations on the sample library: real encoders, scripted models."""

import json
import re
from html.parser import HTMLParser

import pytest

from pipelines.answering import generator_for
from pipelines.assistant import Assistant
from pipelines.compare import Comparer, CompareRequest
from pipelines.conversation import Conversation
from pipelines.expert import ExpertOutput
from pipelines.explain import Explainer, ExplainRequest
from pipelines.report import Reporter, ReportOptions, ReportRequest
from pipelines.writing.consensus import ConsensusOptions
from rag.chat import ChatError, ScriptedModel
from rag.cli.app import main
from rag.errors import QueryError
from rag.leakage import Guard

pytestmark = pytest.mark.usefixtures("forwards_once")

LOOSE = ReportOptions(consensus=ConsensusOptions(agree=0.4, against=0.3))
FIELDS = {
    "id", "answer", "choice", "claims", "citations", "abstained", "reason", "confidence", "disclaimer", "stop_reason",
    "seconds", "usage",
}  # fmt: skip


@pytest.fixture(scope="module")
def films(sample):
    return sample.cases.parent / "images"


def sound(answer):
    shown = {hit.passage.id: hit.passage.text for hit in answer.evidence.hits}
    assert all(citation.quote in shown[citation.passage.id] for citation in answer.citations)
    assert all(claim.citations for claim in answer.claims)
    for claim in answer.claims:
        assert all(claim.checks.values())


def honest(prompt, wanted):
    """Quotes the first line of the first case, or of the first passage, in the first section."""
    sections = [name for name in wanted.schema["properties"] if name not in ("insufficient", "choice")]
    blocks = re.findall(r"<<(E\d+) \w+>>\n\((\w+).*\)\n(?:Note: .*\n)*(.+)", prompt.text)
    label, _, line = next((block for block in blocks if block[1] == "case"), blocks[0])
    quote = re.split(r"(?<=[.])\s", re.sub(r"^Findings: ", "", line))[0]
    row = {"text": quote, "evidence": label, "quote": quote}
    return json.dumps({"insufficient": False, **{name: [row] if name == sections[0] else [] for name in sections}})


def test_a_report_is_composed_of_what_other_patients_films_agree_on(sample_library, films):
    answer = Reporter(sample_library, options=LOOSE, guard=Guard()).report(ReportRequest((films / "cxr-001.png",)))
    sound(answer)
    own = {hit.passage.record for hit in answer.evidence.hits}
    assert "cxr-001" not in own
    consensus = next(event for event in answer.trace if event["step"] == "consensus")
    assert consensus["cases"] >= 5
    assert not answer.abstained
    assert answer.text.startswith("Findings:")
    assert not any(letter.isdigit() for claim in answer.claims for letter in claim.text)
    assert {citation.passage.kind for citation in answer.citations} == {"case"}


def test_a_report_by_a_model_is_checked_and_laid_out(sample_library, films):
    model = ScriptedModel([honest])
    request = ReportRequest(
        (films / "cxr-005.png",), indication="Breathless", expert=(ExpertOutput("cnn", {"Edema": 0.7}),)
    )
    answer = Reporter(sample_library, model=model, guard=Guard()).report(request)
    sound(answer)
    assert answer.text.startswith("Findings:")
    assert answer.stop_reason == "answered"
    prompt = model.prompts[0]
    assert prompt.name.startswith("report-")
    assert "Indication: Breathless" in prompt.parts[-1]
    assert "According to another model, Edema is likely." in prompt.text
    assert [image.path.name for image in prompt.images] == ["cxr-005.png"]


def test_without_its_model_a_report_is_composed_and_says_so(sample_library, films):
    model = ScriptedModel([ChatError("down", kind="down")])
    answer = Reporter(sample_library, options=LOOSE, model=model).report(ReportRequest((films / "cxr-001.png",)))
    sound(answer)
    assert answer.usage["degraded"] == 1
    assert answer.stop_reason in ("degraded", "low_confidence")


def test_a_report_with_an_earlier_study_says_what_was_there(sample_library, films):
    request = ReportRequest(
        (films / "cxr-004.png",), prior_images=(films / "cxr-002.png",),
        prior_report="FINDINGS: Right lower zone consolidation.",
    )  # fmt: skip
    model = ScriptedModel([honest])
    answer = Reporter(sample_library, model=model, guard=Guard()).report(request)
    assert len(model.prompts[0].images) == 2
    assert "Note: Earlier report of this patient" in model.prompts[0].text
    assert next(event for event in answer.trace if event["step"] == "pairs")["n"] >= 1
    composed = Reporter(sample_library, options=LOOSE, guard=Guard()).report(request)
    sound(composed)
    if not composed.abstained:
        assert "Earlier study:\nRight lower zone consolidation." in composed.text


def test_an_explanation_cites_cases_facts_and_pages(sample_library, films):
    request = ExplainRequest(films / "cxr-005.png", "pleural effusion")
    answer = Explainer(sample_library, guard=Guard()).explain(request)
    sound(answer)
    assert {"case", "fact"} <= {citation.passage.kind for citation in answer.citations}
    assert all("effusion" in claim.text.lower() for claim in answer.claims)


def test_an_explanation_by_a_model_and_one_of_nothing(sample_library, films):
    answer = Explainer(sample_library, model=ScriptedModel([honest])).explain(
        ExplainRequest(films / "cxr-005.png", "pleural effusion")
    )
    sound(answer)
    nothing = Explainer(sample_library).explain(ExplainRequest(films / "cxr-005.png", "unicorn syndrome"))
    assert nothing.abstained
    with pytest.raises(QueryError):
        ExplainRequest(films / "cxr-005.png", " ")


def test_a_comparison_of_two_reports_and_of_two_films(sample_library, films):
    answer = Comparer(sample_library).compare(
        CompareRequest(report="Findings: No pneumothorax.", prior_report="Findings: Right pneumothorax.")
    )
    sound(answer)
    assert answer.text == "Earlier study:\nRight pneumothorax. [1]\nChange:\nNo pneumothorax. [2]"
    films_only = CompareRequest((films / "cxr-008.png",), (films / "cxr-007.png",), patient="P04", before_day=3)
    model = ScriptedModel([honest])
    judged = Comparer(sample_library, model=model).compare(films_only)
    sound(judged)
    assert "Earlier report, record cxr-007, day 0, 3 days before now" in model.prompts[0].text
    assert model.prompts[0].name.startswith("comparison-")
    with pytest.raises(QueryError):
        CompareRequest((films / "cxr-008.png",))


def test_a_question_is_answered_by_a_scripted_model_through_the_assistant(sample_library):
    from dataclasses import replace

    model = ScriptedModel([honest])
    steps = sample_library.parts.steps()
    generator = generator_for(sample_library.settings, steps.generator, model=model)
    answer = Assistant(sample_library, replace(steps, generator=generator)).ask("What is an air bronchogram?")
    sound(answer)
    assert model.prompts[0].name == "vqa-open-1"
    assert answer.usage["passages_shown"] >= 1


def test_a_conversation_keeps_its_evidence(sample_library):
    talk = Conversation(sample_library)
    first = talk.ask("What is a pleural effusion?")
    second = talk.ask("And what are its signs on a film?")
    assert talk.turns[1].understood.endswith("(pleural effusion)")
    assert {hit.passage.id for hit in second.evidence.hits} >= {one.passage.id for one in first.citations}
    sound(second)


class Tags(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags = set()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


def test_the_commands_print_the_documented_json(sample_folder, films, tmp_path, capsys):
    image = str(films / "cxr-001.png")
    prior = tmp_path / "prior.txt"
    prior.write_text("FINDINGS: Small left pleural effusion.", "utf-8")
    page, trace = tmp_path / "report.html", tmp_path / "trace.jsonl"
    common = ["--library", str(sample_folder), "--json", "--quiet", "--image", image]
    args = [
        "report",
        *common,
        "--prior-report",
        str(prior),
        "--indication",
        "cough",
        "--html",
        str(page),
        "--trace",
        str(trace),
    ]
    assert main(args) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed.keys() >= FIELDS
    assert "sections" in printed
    assert Tags(page.read_text("utf-8")).tags.isdisjoint({"script", "iframe", "object"})
    steps = [json.loads(line)["step"] for line in trace.read_text("utf-8").splitlines()]
    assert {"guard", "consensus", "stop"} <= set(steps)
    assert main(["explain", *common, "--finding", "pneumothorax"]) == 0
    assert json.loads(capsys.readouterr().out).keys() >= FIELDS


def test_the_commands_speak_to_a_person_and_name_what_is_wrong(sample_folder, films, tmp_path, capsys):
    common = ["--library", str(sample_folder), "--image", str(films / "cxr-005.png"), "--quiet"]
    assert main(["explain", *common, "--finding", "pleural effusion", "--guard"]) == 0
    assert "Not a medical device" in capsys.readouterr().out
    assert main(["report", *common, "--prior-report", str(tmp_path / "no.txt")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main(["report", *common, "--before-day", "3"]) == 2
    assert main(["report", "--library", str(sample_folder), "--image", str(tmp_path / "no.png")]) == 2
    bad = tmp_path / "expert.json"
    bad.write_text('{"Edema": 7}', "utf-8")
    assert main(["report", *common, "--expert", str(bad)]) == 2
    assert "no probability" in capsys.readouterr().err
