"""A chat model on a server with the OpenAI-compatible API of vLLM: deadlines kept, faults contained, powers none.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server/
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rag.chat import ChatError, Clock, Deadline, Prompt, PromptTooLong, Reply, Wanted
from rag.errors import ConfigError, MissingExtra, QueryError
from rag.generators.breaker import BreakerOptions, CircuitBreaker
from rag.generators.retrying import Retrying, RetryOptions
from rag.generators.slots import Slots
from rag.generators.vllm_errors import NoSuchModel, Overloaded, refusal
from rag.generators.vllm_messages import request_body
from rag.generators.vllm_models import Family, family_of
from rag.generators.vllm_reply import read_json, read_reply

if TYPE_CHECKING:
    import httpx

_NAMING_S = 2.0
"""How long the list of served models may take, when it only makes an error clearer."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """Where the model is, and how it is asked.

    url: the API's root, which ends in /v1. family: "auto" tells it by the model's name. images: most images of one
    prompt; 0 for what the family takes. concurrency: calls at once; `queue` more wait. max_tokens: the most that any
    call may generate. timeout_s: the most that one call may take of its deadline. fair_s: a call that had less time
    says nothing about the server's health when it runs out.
    """

    model: str
    url: str = "http://127.0.0.1:8000/v1"
    api_key: str = field(default="", repr=False)
    family: str = "auto"
    images: int = 0
    concurrency: int = 4
    queue: int = 16
    max_tokens: int = 4096
    timeout_s: float = 300.0
    connect_s: float = 2.0
    fair_s: float = 1.0
    retry: RetryOptions = field(default_factory=RetryOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a client takes from the process around it; tests give their own."""

    clock: Clock = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    chance: random.Random = field(default_factory=random.Random)


class VllmChat:
    """A ChatModel. Thread-safe; close it, or use it as a context manager.

    Raises:
        ConfigError: the address or the family is wrong.
        MissingExtra: the `vlm` extra is not installed.
    """

    def __init__(self, options: ChatOptions, surroundings: Surroundings | None = None) -> None:
        around = surroundings or Surroundings()
        self.options = options
        family = family_of(options.model, options.family)
        self.family: Family = replace(family, images=options.images) if options.images else family
        self.breaker = CircuitBreaker(options.breaker, around.clock)
        self._sleep = around.sleep
        self._retrying = Retrying(options.retry, around.chance)
        self._slots = Slots(options.concurrency, options.queue)
        self._server = _Server(options)
        self._lock = threading.Lock()
        self._used: Counter[str] = Counter()

    def __enter__(self) -> VllmChat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._server.close()

    @property
    def usage(self) -> Mapping[str, int]:
        """Calls, retries, images and tokens since the start, of all callers together."""
        with self._lock:
            return dict(self._used)

    def reply(self, prompt: Prompt, wanted: Wanted, deadline: Deadline) -> Reply:
        """See rag.chat.ChatModel; ends at the deadline, whatever the server does."""
        if deadline.passed:
            raise ChatError("the deadline had passed before the model was asked", kind="timeout")
        self.breaker.check()
        if deadline.left() > self.options.timeout_s:
            deadline = Deadline.after(self.options.timeout_s, deadline.clock)
        with self._slots.hold(deadline):
            limited = replace(wanted, max_tokens=min(wanted.max_tokens, self.options.max_tokens))
            body = request_body(self.options.model, self.family, prompt, limited, deadline)
            self._retrying.count_call()
            return self._asked(body, len(prompt.images), limited, deadline)

    def models(self, deadline: Deadline) -> tuple[str, ...]:
        """Names of the models that the server serves. Raises ChatError."""
        kind, content = self._server.get("/models", deadline)
        entries = read_json(kind, content).get("data")
        named = entries if isinstance(entries, list) else []
        return tuple(str(entry["id"]) for entry in named if isinstance(entry, dict) and "id" in entry)

    def _asked(self, body: Mapping[str, Any], images: int, wanted: Wanted, deadline: Deadline) -> Reply:
        retries = 0
        while True:
            try:
                reply = self._once(body, wanted, deadline)
                break
            except ChatError as error:
                # Only what never reached a model is sent again: a refused connection, or a server without room.
                after = error.after_s if isinstance(error, Overloaded) else 0.0
                again = error.kind in {"down", "busy"}
                pause = self._retrying.pause(retries, after, deadline) if again else None
                if pause is None:
                    self._count({"calls": 1, "failed": 1, "retries": retries})
                    raise
            self._sleep(pause)
            retries += 1
        used = {**reply.usage, "images": images, "retries": retries}
        self._count(used)
        return replace(reply, usage=used)

    def _once(self, body: Mapping[str, Any], wanted: Wanted, deadline: Deadline) -> Reply:
        """One call, whose end the circuit breaker is told."""
        had_s = deadline.left()
        self.breaker.enter()
        try:
            kind, content = self._server.post("/chat/completions", body, deadline)
            reply = read_reply(kind, content, wanted, self.family)
        except NoSuchModel as error:
            self.breaker.succeeded()
            raise self._with_models(error, deadline) from error
        except (PromptTooLong, QueryError):
            self.breaker.succeeded()
            raise
        except ChatError as error:
            self._judge(error, had_s)
            raise
        except BaseException:
            self.breaker.undecided()
            raise
        self.breaker.succeeded()
        return reply

    def _judge(self, error: ChatError, had_s: float) -> None:
        """What a failed call says about the server."""
        unfair = error.kind == "timeout" and had_s < self.options.fair_s
        if unfair or (isinstance(error, Overloaded) and error.status == 429):
            self.breaker.undecided()
        elif error.kind == "refused":
            self.breaker.succeeded()
        else:
            self.breaker.failed()

    def _with_models(self, error: NoSuchModel, deadline: Deadline) -> ChatError:
        try:
            served = self.models(Deadline.after(min(_NAMING_S, deadline.left())))
        except ChatError:
            served = ()
        return ChatError(f"{error}; it serves: {', '.join(served) or 'nothing that it would tell'}", kind="refused")

    def _count(self, used: Mapping[str, int]) -> None:
        with self._lock:
            self._used.update(used)


class _Server:
    """The HTTP side: the openai client on connections that keep deadlines, its errors made ours."""

    def __init__(self, options: ChatOptions) -> None:
        parts = urlsplit(options.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
            raise ConfigError(f"vlm.url = {options.url}: give an address such as http://127.0.0.1:8000/v1")
        self._options = options
        try:
            import openai

            from rag.generators.vllm_connection import http_client
        except ImportError as error:
            raise MissingExtra("vlm", feature="asking a vision-language model") from error
        # One connection more than calls: the list of models is asked for beside them.
        self._http = http_client(options.concurrency + 1)
        self._client = openai.OpenAI(
            api_key=options.api_key or "none",
            base_url=options.url,
            # What the environment says of OpenAI's own service is nobody's business here.
            default_headers={
                "Accept-Encoding": "identity",
                "OpenAI-Organization": openai.omit,
                "OpenAI-Project": openai.omit,
            },
            max_retries=0,
            http_client=self._http,
        )

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, body: Mapping[str, Any], deadline: Deadline) -> tuple[str, bytes]:
        """Content type and content of an answer. Raises as `_received`."""
        import httpx

        return self._received(lambda: self._client.post(path, cast_to=httpx.Response, body=dict(body)), deadline)

    def get(self, path: str, deadline: Deadline) -> tuple[str, bytes]:
        """Content type and content of an answer. Raises as `_received`."""
        import httpx

        return self._received(lambda: self._client.get(path, cast_to=httpx.Response), deadline)

    def _received(self, call: Callable[[], httpx.Response], deadline: Deadline) -> tuple[str, bytes]:
        """Raises ChatError, PromptTooLong or QueryError."""
        import openai

        from rag.generators.vllm_connection import limited

        try:
            with limited(deadline, self._options.connect_s):
                response = call()
            return response.headers.get("content-type", ""), response.content
        except openai.APIStatusError as error:
            headers, text = error.response.headers, error.response.text
            raise refusal(error.status_code, headers, text, self._options.model) from error
        except openai.APIConnectionError as error:
            raise self._unreached(error.__cause__ or error, deadline) from error

    def _unreached(self, cause: BaseException, deadline: Deadline) -> ChatError:
        import httpx

        if deadline.passed:
            text = "the model server did not answer before the deadline"
            return ChatError(text, kind="timeout", retryable=True)
        if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            text = f"the certificate of {self._options.url} is not trusted; name its authority in SSL_CERT_FILE"
            return ChatError(text, kind="refused")
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
            text = f"no model server answers at {self._options.url} ({cause}); start one with `vesalius vlm serve`"
            return ChatError(text, kind="down", retryable=True)
        text = f"the connection to the model server broke: {str(cause) or type(cause).__name__}"
        return ChatError(text, kind="broken", retryable=True)
