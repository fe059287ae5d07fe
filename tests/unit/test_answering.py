"""Who writes an answer follows from the settings, and an answer says when its model did not. No server is asked."""

import json

import pytest

import pipelines.assistant
from pipelines.answering import Writer, generator_for, is_degraded, vlm_options, writer_for
from pipelines.assistant import Assistant, Steps
from pipelines.checking import answer_judge, policy_for
from pipelines.config import load_settings
from pipelines.gathering import Gathered, GatherOptions
from pipelines.writing.composing import ComparisonComposer, ReportComposer
from rag.chat import ChatError, PromptTooLong, ScriptedModel
from rag.cli.ask import _show, without_model
from rag.errors import ConfigError
from rag.generators.scripted import ScriptedGenerator
from rag.generators.vlm import VlmGenerator
from rag.selection import FixedK
from rag.types import Answer, Draft, Evidence, Hit, PageLocator, Passage


def settings(*overrides):
    return load_settings(overrides=list(overrides)).settings


def test_quotes_alone_are_the_default():
    quotes = ScriptedGenerator()
    assert generator_for(settings(), quotes) is quotes
    composer = ReportComposer()
    assert writer_for(settings(), composer, prompt="report") is composer


def test_a_model_writes_when_it_is_given_or_asked_for():
    model = ScriptedModel(["{}"])
    assert isinstance(generator_for(settings(), ScriptedGenerator(), model=model), VlmGenerator)
    assert isinstance(writer_for(settings(), ReportComposer(), prompt="report", model=model), VlmGenerator)


def test_a_model_without_a_name_is_an_error_that_says_what_to_set():
    with pytest.raises(ConfigError, match=r"vlm\.model"):
        generator_for(settings("answer.generator=vlm"), ScriptedGenerator())


@pytest.mark.parametrize(("model", "images"), [("Lingshu-7B", 8), ("llava-v1.6", 1), ("something", 4)])
def test_the_models_family_says_how_many_images_it_takes(model, images):
    options = vlm_options(settings(f"vlm.model={model}", "answer.evidence_images=2", "answer.prompt_tokens=900"))
    assert options.render.images == images
    assert (options.render.evidence_images, options.render.tokens) == (2, 900)
    assert vlm_options(settings(f"vlm.model={model}", "vlm.images=3")).render.images == 3
    drawn = vlm_options(
        settings(f"vlm.model={model}", "vlm.temperature=0.7", "vlm.seed=5", "vlm.max_tokens=300")
    ).wanted
    assert (drawn.temperature, drawn.seed, drawn.max_tokens) == (0.7, 5, 300)


def test_composers_are_writers_and_degraded_answers_are_known():
    assert isinstance(ReportComposer(), Writer)
    assert isinstance(ComparisonComposer(), Writer)
    answer = Answer("a", "", (), (), Evidence(()), usage={"degraded": 1})
    assert is_degraded(answer)
    assert not is_degraded(Answer("a", "", (), (), Evidence(())))


SENTENCE = "The trachea is lined by ciliated epithelium."
KINDS_OF_FAILURE = ("down", "timeout", "busy", "refused", "broken", "open")


class OnePassage:
    """Gathers one passage, whatever is asked."""

    def gather(self, *_):
        passage = Passage("p1", "page", "handbook", SENTENCE, PageLocator(3))
        return Gathered(Evidence((Hit(passage, 1.0),)), ())


class Shown:
    """Stands for a library: what a question brings is shown as it is."""

    def readable(self, query):
        return query


@pytest.fixture
def assistant_with(monkeypatch):
    """An assistant whose model follows a script, without a library."""
    monkeypatch.setattr(pipelines.assistant, "make_strategy", lambda *_: OnePassage())

    def made(*script, fallback=None):
        generator = generator_for(settings(), fallback or ScriptedGenerator(), model=ScriptedModel(script))
        return Assistant(
            Shown(), Steps(FixedK(1), generator, answer_judge(), policy_for(settings()), GatherOptions(1, per_option=0))
        )

    return made


@pytest.mark.parametrize("kind", KINDS_OF_FAILURE)
def test_an_answer_without_its_model_says_so_and_why(assistant_with, capsys, kind):
    answer = assistant_with(ChatError("no", kind=kind)).ask("What lines the trachea?")
    assert (answer.stop_reason, answer.abstained, answer.citations[0].quote) == ("degraded", False, SENTENCE)
    assert answer.usage["degraded"] == answer.usage[f"degraded_{kind}"] == 1
    _show(answer)
    [said] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("The model did not answer")]
    assert said.endswith("these are quotes from the sources instead.")
    assert said != without_model(assistant_with("no JSON").ask("What lines the trachea?")), "each reason has its words"
    assert "reason not known" not in said


@pytest.mark.parametrize(
    ("turn", "kind", "words"),
    [(PromptTooLong("too long"), "too_long", "does not fit"), ("no JSON", "unusable", "could not be used")],
)
def test_replies_that_cannot_be_used_and_prompts_that_do_not_fit_have_their_line(assistant_with, turn, kind, words):
    answer = assistant_with(turn).ask("What lines the trachea?")
    assert (answer.stop_reason, answer.usage[f"degraded_{kind}"]) == ("degraded", 1)
    assert words in without_model(answer)


def test_an_abstention_without_the_model_keeps_its_reason_and_names_no_quotes(assistant_with):
    silent = ScriptedGenerator(Draft(()))
    answer = assistant_with(ChatError("no", kind="down"), fallback=silent).ask("What lines the trachea?")
    assert (answer.abstained, answer.stop_reason) == (True, "low_confidence")
    assert without_model(answer) == "The model did not answer (no server answers at vlm.url)."


def test_an_answer_by_its_model_has_no_such_line(assistant_with, capsys):
    row = {"text": SENTENCE, "evidence": "E1", "quote": SENTENCE}
    answer = assistant_with(json.dumps({"insufficient": False, "claims": [row]})).ask("What lines the trachea?")
    assert (answer.stop_reason, answer.claims[0].text, without_model(answer)) == ("answered", SENTENCE, "")
    _show(answer)
    assert "did not answer" not in capsys.readouterr().out
