"""One JSON request to a model server, and what its failures mean."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from indexers.devices import DeviceLost
from rag.errors import ConfigError

_REFUSED = (400, 413, 422)
"""The request itself is at fault: too long, not understood (RFC 9110)."""

_SETTINGS = (401, 403, 404, 405)
"""The address, model name or access is at fault."""


class RequestRefused(Exception):
    """The server understood the request and will not do it; sending it again changes nothing."""


def post_json(url: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """The JSON object that the server answers.

    Raises:
        RequestRefused: it refuses this request, or answers something else.
        ConfigError: there is nothing at this address, or no such model.
        DeviceLost: it cannot be reached, failed, or did not answer within `timeout` seconds.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"visual.url: {url} is no http address")
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise _meaning(url, error) from error
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        raise DeviceLost(f"the server {url} does not answer: {error}") from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise RequestRefused(f"{url} answered something else than JSON") from error
    if not isinstance(found, dict):
        raise RequestRefused(f"{url} answered something else than a JSON object")
    return found


def _meaning(url: str, error: urllib.error.HTTPError) -> Exception:
    with error:
        said = error.read(2000).decode(errors="replace").strip()
    if error.code in _REFUSED:
        return RequestRefused(f"{url} refuses with {error.code}: {said}")
    if error.code in _SETTINGS:
        return ConfigError(f"{url} answers {error.code}: {said}; check visual.url and visual.model")
    return DeviceLost(f"{url} failed with {error.code}: {said}")
