"""Questions and reports through the whole pipeline, worded by a real vLLM server whose tiny model says anything.

What such a model says is worth nothing, so everything around it must hold: replies in form or counted, citations only
of what was shown, answers that say when no model stands behind them, and a server that dies, hangs and comes back.
"""

import json
import logging
import os
import re
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace

import pytest

from pipelines.answering import generator_for, is_degraded
from pipelines.assistant import Assistant
from pipelines.config import load_settings
from pipelines.library import Library
from pipelines.report import Reporter, ReportRequest
from pipelines.vlm import open_chat_model
from rag.chat import ChatError, Prompt, Reply, Wanted
from rag.cli.app import main
from rag.leakage import Guard
from rag.rows import query_from_row, read_rows
from rag.types import Query
from tests.integration.vllm_server import KEY, NEEDS_SERVER, checkpoint, kill, server, settings_for

pytestmark = NEEDS_SERVER
logger = logging.getLogger(__name__)
"""What was measured; shown with --log-cli-level=INFO."""

CONTEXT = 4096
CALL_S = 10.0
"""The deadline of a call where a server fails; the draft's is the same, since a failed call ends it."""
LATE = 1.1
OUTCOMES = {"answered", "degraded", "low_confidence", "no_verified_claim", "no_evidence", "no_consensus"}


class Host:
    """A server that is started when it is needed, and can be killed."""

    def __init__(self, folder, family="qwen2_5_vl"):
        self.model, self.log = checkpoint(family, folder / "model"), folder / "log"
        self.settings = settings_for(family).model_copy(update={"max_tokens": 400, "timeout_s": 180.0})
        self._process, self._stack = None, ExitStack()

    @property
    def process(self):
        """The running server."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._stack.enter_context(server(self.model, self.settings, self.log, CONTEXT))
        return self._process

    def close(self):
        self._stack.close()


@dataclass(frozen=True)
class Said:
    prompt: Prompt
    wanted: Wanted
    reply: Reply


class Overheard:
    """A chat model whose replies are kept. `change` makes another wish of a wish, from the prompt and the turn."""

    def __init__(self, inner, change):
        self.inner, self.change, self.said, self.failed, self.asked = inner, change, [], [], 0

    def reply(self, prompt, wanted, deadline):
        self.asked += 1
        wanted = self.change(prompt, wanted, self.asked)
        try:
            reply = self.inner.reply(prompt, wanted, deadline)
        except ChatError as error:
            self.failed.append(error.kind)
            raise
        self.said.append(Said(prompt, wanted, reply))
        return reply


def wild(_, wanted, turn):
    return replace(wanted, temperature=1.2, seed=turn)


def copying(prompt, wanted, turn):
    """The grammar lets the model say lines of the passages alone: which one, it draws. Not all pairs fit together."""
    if wanted.schema is None:
        return wild(prompt, wanted, turn)
    blocks = re.findall(r"<<(E\d+) \w+>>\n\(.*?\)\n(.*?)\n<<end", prompt.text, re.DOTALL)
    lines = [(label, line.strip()) for label, body in blocks for line in body.splitlines() if len(line.split()) > 4]
    rows = [{"text": line, "evidence": label, "quote": line} for label, line in lines[:24] if "Note:" not in line]
    rows.append({**rows[0], "text": "The lesion has a diameter of 93 mm."})
    rows.append({**rows[0], "quote": "words that stand in no passage at all"})
    items = {"anyOf": [{
        "type": "object", "properties": {key: {"const": value} for key, value in row.items()},
        "required": list(row), "additionalProperties": False} for row in rows]}  # fmt: skip
    properties = {
        name: {"type": "array", "items": items, "minItems": 1, "maxItems": 2} if part.get("type") == "array" else part
        for name, part in wanted.schema["properties"].items()
    } | {"insufficient": {"const": False}}
    return replace(wild(prompt, wanted, turn), schema={**wanted.schema, "properties": properties})


def endless(*_):
    """A reply that cannot end early, whatever the model draws."""
    return Wanted(1500, {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 900, "maxItems": 900})


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("VESALIUS_VLM_API_KEY", KEY)
        made = Host(tmp_path_factory.mktemp("host"))
        yield made
        made.close()


@pytest.fixture(scope="module")
def library(sample_folder, host):
    # The tiny tokenizer takes two or three letters for a token, so a prompt has twice the tokens of a real one.
    named = ["channels.image_views=1", "answer.prompt_tokens=700", "answer.statements=2", "vlm.max_tokens=400",
             "vlm.timeout_s=180", f"vlm.model={host.settings.model}", "vlm.images=2"]  # fmt: skip
    with Library.open(sample_folder, load_settings(overrides=named).settings) as opened:
        yield opened


@pytest.fixture
def model(host):
    assert host.process.poll() is None
    with open_chat_model(host.settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def questions(sample):
    def rows(name, number):
        found = list(read_rows(sample.queries / f"{name}.jsonl"))[:number]
        return [query_from_row(row, sample.queries) for row in found]

    film = sample.cases.parent / "images" / "cxr-005.png"
    closed = Query("Is the trachea lined by ciliated epithelium?", id="closed")
    return [*rows("pages", 3), *rows("facts", 1), *rows("choice", 3), closed, Query("What is shown?", (film,), "film")]


def assistant(library, model, **changed):
    steps = library.parts.steps()
    settings = library.settings.model_copy(update=changed)
    return Assistant(library, replace(steps, generator=generator_for(settings, steps.generator, model=model)))


def fits(value, schema):
    """Whether a value is of a schema, as far as ours go."""
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if schema["type"] == "object":
        named = schema["properties"]
        return set(schema["required"]) <= set(value) <= set(named) and all(fits(value[k], named[k]) for k in value)
    if schema["type"] == "array":
        return schema.get("minItems", 0) <= len(value) <= schema["maxItems"] and all(
            fits(one, schema["items"]) for one in value
        )
    if schema["type"] == "string":
        return isinstance(value, str) and 1 <= len(value) <= schema["maxLength"]
    return isinstance(value, bool)


def in_form(said, *, strict=False):
    """Whether the reply is of the schema. The server's grammar lets bare control characters in, `strict` does not."""
    if said.wanted.choices:
        return said.reply.text in said.wanted.choices
    try:
        return fits(json.loads(said.reply.text, strict=strict), said.wanted.schema)
    except json.JSONDecodeError:
        return False


def squashed(text):
    return "".join(re.findall(r"\w+", text.lower()))


def sound(answer, said):
    """The reply was in form or its fault is counted, and nothing is cited that was not shown."""
    assert all(in_form(one) for one in said if one.reply.finished)
    # A reply that was cut off is saved in part, or not at all; both are counted.
    faults = answer.usage.get("salvaged", 0) + answer.usage.get("unreadable", 0)
    most, least = (sum(not in_form(one, strict=strict) for one in said) for strict in (True, False))
    assert least <= faults <= most, answer.usage
    shown = {hit.passage.id: hit.passage.text for hit in answer.evidence.hits}
    assert all(citation.quote in shown[citation.passage.id] for citation in answer.citations)
    numbers = {citation.n for citation in answer.citations}
    assert all(claim.citations and set(claim.citations) <= numbers for claim in answer.claims)
    assert all(all(claim.checks.values()) for claim in answer.claims)
    assert answer.stop_reason in OUTCOMES
    if is_degraded(answer):
        assert sum(number for name, number in answer.usage.items() if name.startswith("degraded_")) == 1
        assert answer.abstained or answer.stop_reason == "degraded"
    elif said:
        prompt = squashed(said[-1].prompt.text)
        assert all(squashed(citation.quote) in prompt for citation in answer.citations), "the model saw what it cites"
    if answer.abstained:
        assert answer.reason
        assert not answer.claims
    else:
        assert answer.claims


def asked(library, model, change, queries, **changed):
    """The answers to some questions, each sound, and how often each outcome came."""
    answers = []
    for query in queries:
        heard = Overheard(model, change)
        answers.append(assistant(library, heard, **changed).ask(query))
        sound(answers[-1], heard.said)
        assert not heard.failed
        assert heard.said
    outcomes = [answer.stop_reason for answer in answers]
    logger.info("%s %s", {one: outcomes.count(one) for one in set(outcomes)}, [dict(one.usage) for one in answers])
    return answers


def test_what_a_random_model_says_never_gets_into_an_answer(library, model, questions):
    answers = asked(library, model, wild, questions)
    assert all(is_degraded(answer) or answer.abstained for answer in answers), "it quotes nothing that stands anywhere"
    assert any(answer.stop_reason == "degraded" for answer in answers)


def test_lines_that_the_model_copies_become_cited_answers(library, model, questions):
    answers = asked(library, model, copying, questions)
    written = [answer for answer in answers if answer.stop_reason == "answered"]
    assert len(written) >= 4
    assert all("93 mm" not in answer.text for answer in answers)
    assert any(answer.choice for answer in written), "a choice comes with its letter"


def test_replies_that_are_cut_off_are_saved_in_part_or_counted(library, model, questions):
    short = library.settings.vlm.model_copy(update={"max_tokens": 110})
    answers = asked(library, model, copying, questions[:4], vlm=short)
    assert sum(answer.usage.get("salvaged", 0) + answer.usage.get("unreadable", 0) for answer in answers) >= 1


def test_evidence_that_does_not_fit_the_context_is_left_out_and_counted(library, model, questions):
    long = library.settings.answer.model_copy(update={"prompt_tokens": 6000})
    [answer] = asked(library, model, copying, questions[:1], answer=long)
    assert answer.usage["shortened"] >= 1
    assert answer.usage["passages_left_out"] >= 1


@pytest.mark.parametrize("change", [wild, copying])
def test_reports_are_sound_and_say_who_wrote_them(library, model, sample, change):
    for name in ("cxr-001", "cxr-005"):
        heard = Overheard(model, change)
        request = ReportRequest((sample.cases.parent / "images" / f"{name}.png",), indication="Breathless")
        answer = Reporter(library, model=heard, guard=Guard()).report(request)
        logger.info("%s %s %s", name, answer.stop_reason, dict(answer.usage))
        sound(answer, heard.said)
        assert heard.said
        assert name not in {hit.passage.record for hit in answer.evidence.hits}
        if change is wild:
            assert is_degraded(answer) or answer.abstained


def test_the_command_line_asks_the_server_and_says_what_became_of_it(sample_copy, host, model, capsys):
    vlm = host.settings
    flags = [f"vlm.{name}={getattr(vlm, name)}" for name in ("url", "model", "family", "images", "max_tokens")]
    flags += ["answer.generator=vlm", "answer.prompt_tokens=700", "vlm.timeout_s=180"]
    command = ["ask", "What is an air bronchogram?", "--library", str(sample_copy)]
    command += [part for flag in flags for part in ("--set", flag)]
    assert main([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["usage"]["completion_tokens"] >= 1, "a model was asked"
    assert answer["stop_reason"] in OUTCOMES
    assert main(command) == 0
    said = "The model did not answer (what it said could not be used)" in capsys.readouterr().out
    assert said == bool(answer["usage"].get("degraded"))


def test_a_model_may_plan_the_searches_too(sample_copy, host, model, tmp_path, capsys):
    """Whatever it plans, the loop ends within its budget, and the answer rests on what was found."""
    vlm, trace = host.settings, tmp_path / "trace.jsonl"
    flags = [f"vlm.{name}={getattr(vlm, name)}" for name in ("url", "model", "family", "images", "max_tokens")]
    flags += ["agent.strategy=agent", "agent.planner=vlm", "agent.seconds=60", "agent.model_calls=4"]
    question = "What is an effusion? Which cells line the trachea, and what is a zanthorp?"
    command = ["ask", question, "--library", str(sample_copy), "--json", "--trace", str(trace)]
    assert main([*command, *(part for flag in flags for part in ("--set", flag))]) == 0
    answer = json.loads(capsys.readouterr().out)
    events = [json.loads(line) for line in trace.read_text("utf-8").splitlines()]
    [stopped] = [event for event in events if event["step"] == "agent.stop"]
    logger.info(
        "%s %s", answer["stop_reason"], {name: stopped[name] for name in ("model_calls", "branches", "searches")}
    )
    assert 1 <= stopped["model_calls"] <= 4
    assert answer["seconds"]["retrieve"] <= LATE * 60
    assert answer["abstained"] or answer["citations"]


def timed(library, model, query):
    """An answer, and the seconds of its draft: what came before was not the server's."""
    answer = assistant(library, model).ask(query)
    logger.info("%s %s %s", answer.stop_reason, dict(answer.seconds), dict(answer.usage))
    return answer, answer.seconds["generate"]


def unworded(answer, *kinds):
    sound(answer, [])
    assert (answer.stop_reason, answer.usage["degraded"]) == ("degraded", 1)
    assert sum(answer.usage.get(f"degraded_{kind}", 0) for kind in kinds) == 1, answer.usage
    assert answer.citations


QUESTION = Query("What is an air bronchogram?")


def test_a_server_killed_in_the_middle_costs_the_words_and_not_the_answer(library, host):
    """It dies, is left alone, is started again and answers: one process of ours, one client, all the while."""
    running, quick = host.process, host.settings.model_copy(update={"timeout_s": CALL_S, "max_tokens": 1500})
    with open_chat_model(host.settings) as patient:
        asked(library, patient, copying, [QUESTION])
    with open_chat_model(quick) as model:
        killer = []

        def deadly(prompt, wanted, turn):
            killer.append(subprocess.Popen(["sh", "-c", f"sleep 1; kill -9 -{running.pid}"]))
            return endless(prompt, wanted, turn)

        answer, took = timed(library, Overheard(model, deadly), QUESTION)
        assert [process.wait() for process in killer] == [0]
        unworded(answer, "broken")
        assert 0.9 < took <= LATE * CALL_S, "the call was under way when the server died"
        while not model.breaker.is_open:
            answer, took = timed(library, model, QUESTION)
            unworded(answer, "down", "open")
            assert took <= LATE * CALL_S
        answer, took = timed(library, model, QUESTION)
        unworded(answer, "open")
        rested = time.monotonic() + model.breaker.options.rest_s
        assert host.process.pid != running.pid
        time.sleep(max(0.0, rested - time.monotonic()))
        assert not model.breaker.is_open, "half-open: the next call is let through"
        # A server that has just started may take longer than CALL_S for its first reply, so it is asked patiently.
        model.options = replace(model.options, timeout_s=180.0)
        [answer] = asked(library, model, copying, [QUESTION])
        assert not answer.usage.get("degraded_open")
        assert not model.breaker.is_open


def test_a_server_that_hangs_is_waited_for_until_the_deadline(library, host):
    running = host.process
    with open_chat_model(host.settings.model_copy(update={"timeout_s": CALL_S})) as model:
        os.killpg(running.pid, signal.SIGSTOP)
        try:
            answer, took = timed(library, model, QUESTION)
        finally:
            os.killpg(running.pid, signal.SIGCONT)
        unworded(answer, "timeout")
        assert CALL_S <= took <= LATE * CALL_S
    with open_chat_model(host.settings) as patient:
        asked(library, patient, copying, [QUESTION])
    kill(running)


@pytest.fixture(scope="module")
def gemma(host, tmp_path_factory):
    host.close()  # two servers at once would share the cores; this one starts again when it is needed
    made = Host(tmp_path_factory.mktemp("gemma"), "gemma3")
    yield made
    made.close()


def test_gemma3_answers_and_reports_by_the_same_pipeline(library, gemma, questions, sample):
    assert gemma.process.poll() is None
    chosen = [questions[0], questions[4], questions[-1]]
    with open_chat_model(gemma.settings) as model:
        answers = asked(library, model, copying, chosen, vlm=gemma.settings)
        assert any(answer.stop_reason == "answered" for answer in answers)
        wilder = asked(library, model, wild, chosen, vlm=gemma.settings)
        assert all(is_degraded(answer) or answer.abstained for answer in wilder)
        heard = Overheard(model, copying)
        request = ReportRequest((sample.cases.parent / "images" / "cxr-001.png",), indication="Breathless")
        report = Reporter(library, model=heard, guard=Guard()).report(request)
        sound(report, heard.said)
        assert heard.said
