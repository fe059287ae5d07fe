"""Who writes an answer follows from the settings. No server is asked."""

import pytest

from pipelines.answering import Writer, generator_for, is_degraded, vlm_options, writer_for
from pipelines.config import load_settings
from pipelines.writing.composing import ComparisonComposer, ReportComposer
from rag.chat import ScriptedModel
from rag.errors import ConfigError
from rag.generators.scripted import ScriptedGenerator
from rag.generators.vlm import VlmGenerator
from rag.types import Answer, Evidence


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


def test_composers_are_writers_and_degraded_answers_are_known():
    assert isinstance(ReportComposer(), Writer)
    assert isinstance(ComparisonComposer(), Writer)
    answer = Answer("a", "", (), (), Evidence(()), usage={"degraded": 1})
    assert is_degraded(answer)
    assert not is_degraded(Answer("a", "", (), (), Evidence(())))
