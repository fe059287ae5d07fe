"""The client of a model server: what is sent, what a refusal becomes, and that no fault outlives the deadline."""

import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.chat_faults import closed_port, figures, recovery
from rag.chat import ChatError, Deadline, ImagePart, Prompt, PromptTooLong, Wanted
from rag.errors import ConfigError, MissingExtra, QueryError
from rag.generators.breaker import BreakerOptions
from rag.generators.retrying import RetryOptions
from rag.generators.vllm_chat import ChatOptions, Surroundings, VllmChat
from rag.testing.chat_server import ChatServer, Turn

PROMPT = Prompt("Be brief.", ("What is it?",))


def ask(server, prompt=PROMPT, wanted=None, seconds=20.0, **options):
    """One call by a client of its own."""
    with VllmChat(ChatOptions("scripted", server.url, **options)) as model:
        return model.reply(prompt, wanted or Wanted(), Deadline.after(seconds))


def test_what_is_sent_by_default_is_greedy_seeded_and_without_tools():
    with ChatServer() as server:
        ask(server, wanted=Wanted(max_tokens=99))
        [sent] = server.requests
    assert (sent["temperature"], sent["seed"], sent["max_tokens"], sent["model"]) == (0.0, 0, 99, "scripted")
    assert sent.keys() == {"model", "messages", "max_tokens", "temperature", "seed"}


def test_no_call_generates_more_than_the_client_allows():
    with ChatServer() as server:
        ask(server, wanted=Wanted(max_tokens=10**6), max_tokens=50)
        assert server.requests[0]["max_tokens"] == 50


def test_a_schema_and_choices_are_asked_for_as_vllm_wants_them():
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    with ChatServer([Turn("{}"), Turn("B")]) as server:
        ask(server, wanted=Wanted(schema=schema))
        ask(server, wanted=Wanted(choices=("A", "B")))
        first, second = server.requests
    assert first["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "reply", "schema": schema, "strict": True},
    }  # fmt: skip
    assert second["structured_outputs"] == {"choice": ["A", "B"]}
    assert (second["logprobs"], second["top_logprobs"]) == (True, 20)
    assert not any("tools" in sent or "tool_choice" in sent for sent in (first, second))


def test_the_key_is_sent_and_its_absence_is_explained():
    with ChatServer(api_key="secret") as server:
        assert ask(server, api_key="secret").text == "ok"
        with pytest.raises(ChatError, match=r"API key.*vlm\.api_key_env") as caught:
            ask(server, api_key="guess")
    assert caught.value.kind == "refused"
    assert "secret" not in repr(ChatOptions("m", api_key="secret"))


def test_nothing_of_the_environment_is_sent(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, f"private-{name}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    seen = []
    with ChatServer(lambda request: seen.append(request) or Turn()) as server:
        assert ask(server).text == "ok"
        assert "private" not in json.dumps(seen)


@pytest.mark.parametrize("url", ["", "8000", "file:///etc/passwd", "http://", "http://user:word@127.0.0.1:8000/v1"])
def test_a_wrong_address_is_a_configuration_error(url):
    with pytest.raises(ConfigError, match=r"vlm\.url"):
        VllmChat(ChatOptions("m", url))


def test_without_the_client_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"vesalius\[vlm\]"):
        VllmChat(ChatOptions("m"))


def test_no_server_is_said_with_what_to_do():
    url = f"http://127.0.0.1:{closed_port()}/v1"
    with VllmChat(ChatOptions("m", url)) as model, pytest.raises(ChatError, match="vesalius vlm serve") as caught:
        model.reply(PROMPT, Wanted(), Deadline.after(5.0))
    assert (caught.value.kind, caught.value.retryable) == ("down", True)


def test_a_wrong_model_name_names_those_that_are_served():
    with (
        ChatServer(model="Lingshu-7B") as server,
        VllmChat(ChatOptions("lingshu", server.url)) as model,
        pytest.raises(ChatError, match="'lingshu'; it serves: Lingshu-7B") as caught,
    ):
        model.reply(PROMPT, Wanted(), Deadline.after(5.0))
    assert caught.value.kind == "refused"


@pytest.mark.parametrize(
    ("turn", "error", "words"),
    [
        (Turn(status=400, message="At most 2 image(s) may be provided in one prompt."), QueryError, "2 images"),
        (Turn(status=400, message="At most 0 image(s) may be provided in one prompt."), QueryError, "no images"),
        (Turn(status=400, message="tiny is not a multimodal model"), QueryError, "no images"),
        (Turn(status=400, message="The prompt is longer than the maximum model length of 8."), PromptTooLong, "fit"),
        (Turn(status=400, message="max_tokens=9 cannot be greater than max_model_len=8."), ChatError, "vlm.max_tokens"),
        (Turn(status=400, message="x" * 9000), ChatError, "refused"),
        (Turn(status=404, message="Not Found"), ChatError, "/v1"),
        (Turn(fault="redirect"), ChatError, "not followed"),
        (Turn(fault="wrong-type"), ChatError, "text/html instead of JSON"),
        (Turn(fault="half-json"), ChatError, "damaged"),
        (Turn(fault="no-choices"), ChatError, "no choices"),
        (Turn(finish="content_filter"), ChatError, "content_filter"),
    ],
)  # fmt: skip
def test_what_a_refusal_or_a_strange_answer_becomes(turn, error, words):
    with ChatServer([turn]) as server, pytest.raises(error, match=words) as caught:
        ask(server)
    assert len(server.requests) == 1, "such an answer is not asked for twice"
    assert len(str(caught.value)) < 500


def test_a_model_without_images_is_not_sent_any(tmp_path):
    Image.new("L", (40, 40)).save(tmp_path / "a.png")
    with ChatServer() as server:
        with pytest.raises(QueryError, match="text only"):
            ask(server, Prompt("", (ImagePart(tmp_path / "a.png"),)), family="text")
        with pytest.raises(QueryError, match="30 images; the model takes 4"):
            ask(server, Prompt("", tuple([ImagePart(tmp_path / "a.png")] * 30)))
        assert server.hits == []
        assert ask(server, Prompt("", tuple([ImagePart(tmp_path / "a.png")] * 6)), images=6).usage["images"] == 6


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/x", "https://127.0.0.1:{port}/x", "HTTP://127.0.0.1:{port}/x",
        "http://[::1]:{port}/x", "http://[::ffff:127.0.0.1]:{port}/x", "http://0:{port}/x", "http://2130706433:{port}/x",
        "http://0177.0.0.1:{port}/x", "http://0x7f.1:{port}/x", "http://localhost:{port}/x",
        "http://me@127.0.0.1:{port}/x", "//127.0.0.1:{port}/x", "127.0.0.1:{port}/x", "ftp://127.0.0.1:{port}/x",
        "file:///etc/passwd", "file:/etc/passwd", "gopher://127.0.0.1:{port}/x", "jar:http://127.0.0.1:{port}!/x",
        "data:image/png;base64,AAAA", "http://169.254.169.254/latest/meta-data", "/dev/zero", "/proc/self/environ",
        "http:\\\\127.0.0.1:{port}\\x", "",
    ],
)  # fmt: skip
def test_addresses_for_images_are_refused_and_never_fetched(address):
    """S3 of the ledger: neither we nor the server ask anybody for an image."""
    with ChatServer() as canary, ChatServer() as server:
        part = ImagePart(Path(address.format(port=canary.port)))
        with pytest.raises(QueryError):
            ask(server, Prompt("", (part, "What is it?")))
        assert canary.hits == []
        assert server.hits == []


def test_an_address_in_a_text_stays_text():
    with ChatServer() as server:
        ask(server, Prompt("http://127.0.0.1:1/s.png", ("![](http://127.0.0.1:1/a.png)",)))
        assert "image_url" not in json.dumps(server.requests)


class Waits:
    """Sleeps that are only noted."""

    def __init__(self):
        self.seconds = []

    def __call__(self, seconds):
        self.seconds.append(seconds)


def retried(server, waits, calls=1, **options):
    around = Surroundings(sleep=waits, chance=random.Random(0))
    outcomes = []
    with VllmChat(ChatOptions("scripted", server.url, **options), around) as model:
        for _ in range(calls):
            try:
                outcomes.append(model.reply(PROMPT, Wanted(), Deadline.after(20.0)))
            except ChatError as error:
                outcomes.append(error.kind)
        return outcomes, model.usage


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_what_it_says(status):
    waits = Waits()
    with ChatServer([Turn(status=status, headers={"Retry-After": "3"}), Turn(status=status), Turn("now")]) as server:
        [reply], used = retried(server, waits)
    assert reply.text == "now"
    assert (reply.usage["retries"], used["retries"], used["calls"]) == (2, 2, 1)
    assert waits.seconds[0] == 3.0
    assert 0.0 <= waits.seconds[1] <= 0.5


def test_two_retries_are_all():
    waits = Waits()
    with ChatServer([Turn(status=503)]) as server:
        assert retried(server, waits)[0] == ["busy"]
        assert len(server.requests) == 3


def test_a_pause_beyond_the_deadline_is_not_begun():
    waits = Waits()
    with ChatServer([Turn(status=503, headers={"Retry-After": "21"})]) as server:
        assert retried(server, waits)[0] == ["busy"]
        assert (waits.seconds, len(server.requests)) == ([], 1)


@pytest.mark.parametrize("fault", ["status-500", "reset", "half-json"])
def test_what_may_have_reached_the_model_is_not_sent_twice(fault):
    turn = Turn(status=500) if fault == "status-500" else Turn(fault=fault)
    with ChatServer([turn]) as server:
        assert retried(server, Waits())[0] == ["broken"]
        assert len(server.requests) == 1


def test_retries_stay_within_a_tenth_of_all_calls():
    with ChatServer([Turn(status=429)]) as server:
        retried(server, Waits(), calls=100)
        assert 100 < len(server.requests) <= 100 + 2 + 10


def test_after_five_failures_the_server_is_left_alone_and_then_asked_once():
    found = recovery(0.3)
    assert (found["failures"], found["refused"], found["requests"]) == (5, 3, 6)
    assert 0.2 <= found["seconds"] < 5.0


def test_refusals_do_not_open_the_breaker():
    script = [Turn(status=400, message="no"), Turn(status=429), Turn(status=400, message="maximum context length is 8")]
    with ChatServer(script) as server, VllmChat(ChatOptions("scripted", server.url, retry=RetryOptions(0))) as model:
        for _ in range(12):
            with pytest.raises((ChatError, PromptTooLong)):
                model.reply(PROMPT, Wanted(), Deadline.after(5.0))
        assert not model.breaker.is_open


def test_no_call_takes_longer_than_its_own_limit():
    began = time.monotonic()
    with ChatServer([Turn(fault="hang")]) as server, pytest.raises(ChatError) as caught:
        ask(server, seconds=60.0, timeout_s=0.2)
    assert caught.value.kind == "timeout"
    assert time.monotonic() - began < 5.0


def test_calls_that_had_too_little_time_say_nothing_of_the_server():
    with ChatServer([Turn(fault="hang")]) as server, VllmChat(ChatOptions("scripted", server.url)) as model:
        for _ in range(6):
            with pytest.raises(ChatError) as caught:
                model.reply(PROMPT, Wanted(), Deadline.after(0.05))
            assert caught.value.kind == "timeout"
        assert not model.breaker.is_open


def test_a_server_that_hangs_opens_the_breaker():
    options = {"fair_s": 0.05, "breaker": BreakerOptions(2, 30.0, 30.0)}
    with ChatServer([Turn(fault="hang")]) as server, VllmChat(ChatOptions("scripted", server.url, **options)) as model:
        kinds = []
        for _ in range(3):
            with pytest.raises(ChatError) as caught:
                model.reply(PROMPT, Wanted(), Deadline.after(0.5))
            kinds.append(caught.value.kind)
    assert kinds == ["timeout", "timeout", "open"]


def test_a_full_queue_says_so_at_once():
    with (
        ChatServer([Turn(fault="hang")]) as server,
        VllmChat(ChatOptions("scripted", server.url, concurrency=1, queue=1)) as model,
        ThreadPoolExecutor(2) as pool,
    ):
        waiting = [pool.submit(model.reply, PROMPT, Wanted(), Deadline.after(2.0)) for _ in range(2)]
        until = time.monotonic() + 2.0
        caught = None
        while caught is None and time.monotonic() < until:
            began = time.monotonic()
            try:
                model.reply(PROMPT, Wanted(), Deadline.after(0.02))
            except ChatError as error:
                caught = error if error.kind == "busy" else None
        assert caught is not None
        assert time.monotonic() - began < 0.5
        assert "vlm.concurrency" in str(caught)
        assert [type(future.exception()) for future in waiting] == [ChatError, ChatError]


def test_sixty_four_callers_on_four_slots_are_answered_or_told_at_once():
    """R7 of the ledger, the short form."""
    begin = threading.Barrier(64)

    def one(number):
        begin.wait()
        began = time.monotonic()
        try:
            return model.reply(Prompt("", (f"{number}",)), Wanted(), Deadline.after(10.0)).text == f"{number}", 0.0
        except ChatError as error:
            return error.kind, time.monotonic() - began

    def repeated(request):
        return Turn(request["messages"][-1]["content"][0]["text"], wait_s=0.05)

    with (
        ChatServer(repeated) as server,
        VllmChat(ChatOptions("scripted", server.url, concurrency=4, queue=16)) as model,
        ThreadPoolExecutor(64) as pool,
    ):
        outcomes = list(pool.map(one, range(64)))
    kinds = [kind for kind, _ in outcomes]
    assert set(kinds) == {True, "busy"}
    assert kinds.count(True) >= 20
    assert max(seconds for _, seconds in outcomes) < 5.0  # half of what a caller may wait


def test_connections_are_used_again_and_all_closed():
    before = threading.active_count()
    with ChatServer() as server, VllmChat(ChatOptions("scripted", server.url)) as model:
        for _ in range(5):
            model.reply(PROMPT, Wanted(), Deadline.after(5.0))
        assert threading.active_count() <= before + 2, "one connection, one thread of the server"
    assert threading.active_count() <= before + 1


def test_no_fault_outlives_the_deadline_and_nothing_leaks():
    """R6 of the ledger, the short form of benchmarks/chat_faults.py."""
    found = figures(calls=90, deadline_s=1.5)  # long enough for a busy machine to try a call again
    assert found["seconds"]["p99"] <= 1.5 * 1.1 + 0.1, found["seconds"]  # a tenth of a second for a loaded machine
    assert found["threads"][1] <= found["threads"][0]
    assert found["sockets"][1] <= found["sockets"][0]
    outcomes = found["outcomes"]
    assert outcomes["good"].keys() == outcomes["slow"].keys() == {"answered"}
    for name in ("hang", "drip", "drip-headers"):
        assert outcomes[name].keys() == {"timeout"}, name
    for name in ("reset", "reset-midway", "half-json", "wrong-type", "no-choices", "no-message", "status-500"):
        assert outcomes[name].keys() == {"broken"}, name
    assert outcomes["nobody-listens"].keys() == {"down"}
    assert outcomes["too-long"].keys() == {"too long"}
