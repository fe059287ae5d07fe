"""What a server answered, read with care: it may be another program, cut off, or not what was asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rag.chat import ChatError, Reply, Wanted
from rag.generators.vllm_messages import without_thoughts
from rag.generators.vllm_models import Family

_LEAST = -9000.0
"""vLLM writes -9999 for what the grammar forbids."""


def read_reply(content_type: str, content: bytes, wanted: Wanted, family: Family) -> Reply:
    """The reply in a body. Raises ChatError of kind broken when there is none."""
    data = read_json(content_type, content)
    choice, message = _first(data)
    finish = choice.get("finish_reason")
    if finish not in {"stop", "length"}:
        raise _broken(f"it stopped with {finish!r}")
    said = message.get("content")
    if said is not None and not isinstance(said, str):
        raise _broken("the message is no text")
    # A lone surrogate is legal in JSON, but no text: it could never be written to a file.
    text = without_thoughts((said or "").encode("utf-8", "replace").decode("utf-8"), family)
    finished = finish == "stop"
    if wanted.choices and finished:
        text = text.strip()
        if text not in wanted.choices:
            raise _broken(
                f"it answered {text[:40]!r}, which is none of the choices; is structured output switched off?"
            )
    positions = _positions(choice) if wanted.choices else []
    probabilities = choice_probabilities(wanted.choices, positions)
    return Reply(text, finished, usage(data), probabilities, str(data.get("model", "")))


def read_json(content_type: str, content: bytes) -> dict[str, Any]:
    """A JSON object. Raises ChatError of kind broken."""
    if "json" not in content_type.lower():
        raise _broken(f"it sent {content_type or 'an unnamed type'} instead of JSON; is vlm.url right?")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _broken(f"its JSON is damaged after {len(content)} bytes") from error
    if not isinstance(data, dict):
        raise _broken("its JSON is no object")
    return data


def usage(data: Mapping[str, Any]) -> dict[str, int]:
    """Calls and tokens of an answer; tokens only where the server counted."""
    counted = data.get("usage")
    found = counted if isinstance(counted, dict) else {}
    tokens = {name: found.get(name) for name in ("prompt_tokens", "completion_tokens")}
    return {"calls": 1, **{name: n for name, n in tokens.items() if isinstance(n, int) and n >= 0}}


def choice_probabilities(
    choices: Sequence[str], positions: Sequence[tuple[str, Mapping[str, float]]]
) -> dict[str, float]:
    """How probable each choice was, from the alternatives at each token; they sum to 1. Empty when nothing is known.

    `positions` has for each token the one that was generated, and the log-probability of every alternative. Along the
    generated tokens, the probability of an alternative goes to the choices that begin with it, in equal parts where
    there are several: what would have followed was never asked. What leads to no choice is left out of the sum.
    """
    mass = dict.fromkeys(choices, 0.0)
    left, prefix = 1.0, ""
    for token, alternatives in positions:
        shares = _shares(choices, prefix, token, alternatives)
        if token not in shares:
            break
        for other in shares.keys() - {token}:
            begun = _begun(choices, prefix + other) or [prefix]
            for choice in begun:
                mass[choice] += left * shares[other] / len(begun)
        left *= shares[token]
        if not _begun(choices, prefix + token):
            break
        prefix += token
    reached = [prefix] if prefix in choices else _begun(choices, prefix) if prefix else []
    for choice in reached:
        mass[choice] += left / len(reached)
    return mass if reached else {}


def _begun(choices: Sequence[str], prefix: str) -> list[str]:
    return [choice for choice in choices if choice.startswith(prefix)]


def _shares(choices: Sequence[str], prefix: str, token: str, alternatives: Mapping[str, float]) -> dict[str, float]:
    """The probability of each token that goes on towards a choice, or that ends one; they sum to 1."""
    # Where a choice is complete, what the grammar still allows beside going on is the end of the turn.
    masked = any(value <= _LEAST for value in alternatives.values())
    weights = {
        other: math.exp(min(value, 0.0))
        for other, value in alternatives.items()
        if value > _LEAST
        and ((other and _begun(choices, prefix + other)) or (prefix in choices and (masked or other == token)))
    }
    total = sum(weights.values())
    return {other: weight / total for other, weight in weights.items()} if total > 0.0 else {}


def _first(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _broken("it has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise _broken("it has no message")
    return choices[0], message


def _positions(choice: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Tokens and their alternatives; [] when the server sent none, or something else."""
    logprobs = choice.get("logprobs")
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    found: list[tuple[str, dict[str, float]]] = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            others = {str(one["token"]): float(one["logprob"]) for one in entry.get("top_logprobs") or ()}
            found.append((str(entry["token"]), {**others, str(entry["token"]): float(entry["logprob"])}))
        except (KeyError, TypeError, ValueError, AttributeError):
            return []
    return found


def _broken(what: str) -> ChatError:
    return ChatError(f"the model server's answer cannot be used: {what}", kind="broken", retryable=True)
