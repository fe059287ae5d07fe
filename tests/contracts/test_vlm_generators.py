"""The generator contract, played by a chat model that does as it is told."""

import json
import re

import pytest

from rag.chat import ChatError, Prompt, ScriptedModel, Wanted
from rag.generators.extractive import LEXICAL_OPTIONS, ExtractiveGenerator
from rag.generators.scoring import LexicalScorer
from rag.generators.vlm import VlmGenerator
from rag.protocols import Generator
from rag.testing.generator import GeneratorContract


def honest(prompt: Prompt, wanted: Wanted) -> str:
    """Quotes the first line of the first passage it is shown."""
    if wanted.choices:
        return wanted.choices[0]
    properties = wanted.schema["properties"]
    label = properties["claims"]["items"]["properties"]["evidence"]["enum"][0]
    block = re.search(rf"<<{label} \w+>>\n\(.*\)\n(.*)", prompt.text)
    claims = [{"text": block.group(1), "evidence": label, "quote": block.group(1)}]
    letters = properties.get("choice", {}).get("enum", [])
    return json.dumps({"insufficient": False, **({"choice": letters[0]} if letters else {}), "claims": claims})


def quoting():
    return ExtractiveGenerator(LexicalScorer(), LEXICAL_OPTIONS)


class TestVlm(GeneratorContract):
    @pytest.fixture
    def generator(self) -> Generator:
        return VlmGenerator(ScriptedModel([honest]), quoting())


class TestVlmWithoutServer(GeneratorContract):
    """A server that is down leaves a generator that keeps every promise."""

    @pytest.fixture
    def generator(self) -> Generator:
        return VlmGenerator(ScriptedModel([ChatError("down", kind="down")]), quoting())
