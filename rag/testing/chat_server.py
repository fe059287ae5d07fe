"""A server with the API of OpenAI and vLLM that answers by a script: texts, refusals, and every way of breaking off.

with ChatServer([Turn("yes"), Turn(fault="reset")]) as server:
    ...  # ask server.url; server.requests has what was asked
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias, cast

Fault = Literal[
    "", "hang", "drip", "drip-headers", "endless", "reset", "reset-midway", "half-json", "wrong-type", "no-choices",
    "no-message", "redirect",
]  # fmt: skip
FAULTS: tuple[Fault, ...] = Fault.__args__[1:]  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer. `wait_s` before it; `logprobs` per token: the token, and each alternative's log-probability.

    fault: hang answers nothing until the client goes; drip and drip-headers send a byte at a time; endless never stops
    sending; reset tears the connection before or midway.
    """

    text: str = "ok"
    fault: Fault = ""
    status: int = 200
    message: str = "it was told to fail"
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = 0.0
    finish: str = "stop"
    prompt_tokens: int = 10
    logprobs: tuple[tuple[str, Mapping[str, float]], ...] = ()

    def body(self, model: str) -> dict[str, Any]:
        """The answer as JSON."""
        if self.status >= 300:
            return {"error": {"message": self.message, "type": "ScriptedError", "code": self.status}}
        choice: dict[str, Any] = {
            "index": 0, "finish_reason": self.finish, "message": {"role": "assistant", "content": self.text},
        }  # fmt: skip
        if self.fault == "no-message":
            del choice["message"]
        if self.logprobs:
            choice["logprobs"] = {"content": [_token(*position) for position in self.logprobs]}
        words = len(self.text.split())
        counted = {"prompt_tokens": self.prompt_tokens, "completion_tokens": words}
        choices = [] if self.fault == "no-choices" else [choice]
        return {"id": "scripted", "object": "chat.completion", "model": model, "choices": choices, "usage": counted}


Script: TypeAlias = Sequence[Turn] | Callable[[Mapping[str, Any]], Turn]


class ChatServer:
    """Serves on a free port of 127.0.0.1 from `__enter__` to `__exit__`. A sequence of turns is played by turns.

    `requests`: the bodies of chat requests in the order of their coming. `hits`: every request, as "METHOD path".
    """

    def __init__(self, script: Script = (Turn(),), *, model: str = "scripted", api_key: str = "") -> None:
        self.script, self.model, self.api_key = script, model, api_key
        self.requests: list[dict[str, Any]] = []
        self.hits: list[str] = []
        self.stopped = threading.Event()
        self._lock = threading.Lock()
        self._server = _Listener(("127.0.0.1", 0), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The API's root."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def turn(self, request: dict[str, Any]) -> Turn:
        """The answer to a chat request."""
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        return self.script(request) if callable(self.script) else self.script[number % len(self.script)]


class _Listener(ThreadingHTTPServer):
    owner: ChatServer
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60.0

    @property
    def _owner(self) -> ChatServer:
        return cast("_Listener", self.server).owner

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quiet."""

    def do_GET(self) -> None:
        """The list of models."""
        self._owner.hits.append(f"GET {self.path}")
        entries = [{"id": self._owner.model, "object": "model"}]
        known = self.path == "/v1/models"
        self._send(200 if known else 404, {"object": "list", "data": entries} if known else {})

    def do_POST(self) -> None:
        """A chat request."""
        self._owner.hits.append(f"POST {self.path}")
        content = self.rfile.read(int(self.headers.get("content-length", "0")))
        if self.path != "/v1/chat/completions":
            self._send(404, {"detail": "Not Found"})
            return
        if self._owner.api_key and self.headers.get("authorization") != f"Bearer {self._owner.api_key}":
            self._send(401, {"error": "Unauthorized"})
            return
        request = json.loads(content)
        if request.get("model") != self._owner.model:
            self._send(404, Turn(status=404, message=f"The model `{request.get('model')}` does not exist.").body(""))
            return
        self._play(self._owner.turn(request))

    def _play(self, turn: Turn) -> None:
        self._stay(turn.wait_s)
        data = json.dumps(turn.body(self._owner.model)).encode()
        match turn.fault:
            case "hang":
                self._stay(3600.0)
                self.close_connection = True
            case "drip" | "drip-headers" | "endless" | "reset" | "reset-midway":
                self._break(turn.fault, data)
            case "half-json":
                self._head(200, len(data) // 2)
                self.wfile.write(data[: len(data) // 2])
            case "wrong-type":
                self._head(200, 15, {"Content-Type": "text/html"})
                self.wfile.write(b"<p>Welcome!</p>")
            case "redirect":
                self._head(302, 0, {"Location": f"{self._owner.url}/models"})
            case _:
                self._send(turn.status, turn.body(self._owner.model), turn.headers)

    def _break(self, fault: Fault, data: bytes) -> None:
        self.close_connection = True
        if fault in {"drip", "reset-midway"}:
            self._head(200, len(data))
        if fault == "drip-headers":
            self._drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 3600)
        elif fault == "drip":
            self._drip(data)
        elif fault == "endless":
            self._head(200, 1 << 40)
            while not self._owner.stopped.is_set():
                self.wfile.write(b" " * 65536)
        else:
            if fault == "reset-midway":
                self.wfile.write(data[:20])
            # Closing with a linger of zero sends RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _drip(self, data: bytes) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            if not self._stay(0.05):
                return

    def _stay(self, seconds: float) -> bool:
        """Wait, unless the client goes or the server stops: then False."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], min(left, 0.05))
            if self._owner.stopped.is_set() or (readable and not self.connection.recv(1, socket.MSG_PEEK)):
                return False
        return True

    def _send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self._head(status, len(data), headers)
        self.wfile.write(data)

    def _head(self, status: int, length: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            **(headers or {}),
            "Content-Length": str(length),
        }.items():
            self.send_header(name, value)
        self.end_headers()


def _token(token: str, alternatives: Mapping[str, float]) -> dict[str, Any]:
    others = [{"token": other, "logprob": value, "bytes": None} for other, value in alternatives.items()]
    return {"token": token, "logprob": alternatives.get(token, 0.0), "bytes": None, "top_logprobs": others}
