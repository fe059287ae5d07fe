"""A connection on which every wait ends at the deadline of the call, however slowly bytes come.

The timeouts of HTTP clients bound one read; a server that sends a byte a second keeps within them for ever. Here the
network layer asks before every read and write how much is left of the whole call, so no watchdog thread is needed.
Imported only with the extra `vlm`, whose client brings httpx and httpcore.
"""

from __future__ import annotations

import ssl
import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import httpcore
import httpx

from rag.chat import Deadline

MOST_BYTES = 16 << 20
"""Of one answer; the longest real one has a few hundred kilobytes."""
_PIECE = 1 << 16
_Options = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


class _Allowance:
    """What is left of a call: seconds and bytes."""

    def __init__(self, deadline: Deadline, connect_s: float) -> None:
        self.deadline, self.connect_s, self.bytes = deadline, connect_s, MOST_BYTES


_current: ContextVar[_Allowance] = ContextVar("allowance of the call in this thread")


@contextmanager
def limited(deadline: Deadline, connect_s: float) -> Iterator[None]:
    """Bound everything that this thread sends and receives within the block."""
    token = _current.set(_Allowance(deadline, connect_s))
    try:
        yield
    finally:
        _current.reset(token)


def http_client(connections: int) -> httpx.Client:
    """A client for calls under `limited`. It follows no redirect and reads no proxy from the environment."""
    return httpx.Client(transport=_Transport(connections), follow_redirects=False, trust_env=False, timeout=None)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        allowance = _current.get()
        data = self._inner.read(max_bytes, _left(timeout, httpcore.ReadTimeout))
        allowance.bytes -= len(data)
        if allowance.bytes < 0:
            raise httpcore.ReadError(f"the answer has over {MOST_BYTES >> 20} MiB")
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE):
            self._inner.write(buffer[start : start + _PIECE], _left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _connecting(timeout)))

    def get_extra_info(self, info: str) -> typing.Any:  # noqa: ANN401 - httpcore's own type
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self) -> None:
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_tcp(host, port, _connecting(timeout), local_address, socket_options))


def _connecting(timeout: float | None) -> float:
    return min(_current.get().connect_s, _left(timeout, httpcore.ConnectTimeout))


def _left(timeout: float | None, passed: type[Exception]) -> float:
    left = _current.get().deadline.left()
    if left <= 0.0:
        raise passed("the deadline passed")
    return left if timeout is None else min(left, timeout)


class _Transport(httpx.BaseTransport):
    """httpx over a pool whose waits end at the deadline."""

    def __init__(self, connections: int) -> None:
        self._pool = httpcore.ConnectionPool(
            # SSL_CERT_FILE is honoured: a hospital's server may have a certificate of its own authority.
            ssl_context=httpx.create_ssl_context(),
            max_connections=connections,
            keepalive_expiry=15.0,
            network_backend=_Backend(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        sent = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=typing.cast("httpx.SyncByteStream", request.stream),
            extensions={"timeout": {"pool": _current.get().deadline.left()}},
        )
        with _translated():
            got = self._pool.handle_request(sent)
        body = _Body(typing.cast("Iterable[bytes]", got.stream), got)
        # Nothing is unpacked: plain answers were asked for, and a packed one could be of any size.
        headers = [(name, value) for name, value in got.headers if name.lower() != b"content-encoding"]
        return httpx.Response(got.status, headers=headers, stream=body, extensions=got.extensions)

    def close(self) -> None:
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, parts: Iterable[bytes], response: httpcore.Response) -> None:
        self._parts, self._response = parts, response

    def __iter__(self) -> Iterator[bytes]:
        with _translated():
            yield from self._parts

    def close(self) -> None:
        with _translated():
            self._response.close()


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of httpcore as those of httpx, which have the same names."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
