"""Asking a model for one JSON object: parse, salvage, one repair call, or nothing. Each way is counted.

Whatever goes wrong (a server that is down, a reply that is no JSON, an action that does not exist), the caller gets
None and goes on with the planner.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Generic, TypeVar

from rag.agent.actions import Refused
from rag.agent.parsing import read_object
from rag.agent.session import Session
from rag.agent.state import AgentState
from rag.agent.trace import DECIDE, digest
from rag.chat import ChatError, ChatModel, Prompt, PromptTooLong, Reply, Wanted
from rag.errors import QueryError

T = TypeVar("T")

REPLY_TOKENS = 400
"""A reason, an action, a query: longer replies are not read anyway."""
_SNIPPET_WORDS, _SNIPPETS = 60, 12
_TOKENS_PER_WORD = 1.4
"""When a server does not count: English words cost 1.3 to 1.5 tokens in common vocabularies."""


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """What is asked: the prompt, the schema of the reply, and how its object is read (raising Refused)."""

    prompt: Prompt
    schema: Mapping[str, Any]
    read: Callable[[Mapping[str, Any]], T]


def ask(session: Session, model: ChatModel, request: Request[T]) -> T | None:
    """One decision of a model, or None when it gave no usable one within its budget."""
    budget, fault = session.options.budget, ""
    for attempt in ("first", "repair"):
        if budget.may_ask(session.state.spent, session.deadline) is not None:
            break
        prompt = request.prompt if attempt == "first" else _repair(request.prompt, fault)
        started = session.deadline.clock()
        reply, branch = _reply(session, model, prompt, request.schema)
        decided: list[T] = []
        if reply is not None:
            try:
                found, branch = _read(reply.text, request)
                decided, branch = [found], "repaired" if attempt == "repair" else branch
            except Refused as refused:
                branch, fault = ("no_json" if isinstance(refused, _NoObject) else "refused"), str(refused)
        _counted(session, prompt, reply, branch, started)
        if decided:
            return decided[0]
        if reply is None:
            break  # the client has its own retries; a server that is down is not asked twice
    session.state = session.state.branched("planner")
    return None


def _reply(session: Session, model: ChatModel, prompt: Prompt, schema: Mapping[str, Any]) -> tuple[Reply | None, str]:
    wanted = Wanted(max_tokens=REPLY_TOKENS, schema=schema)
    try:
        return model.reply(prompt, wanted, session.deadline), ""
    except ChatError as error:
        return None, f"failed_{error.kind}"
    except (PromptTooLong, QueryError):
        return None, "failed_prompt"


class _NoObject(Refused):
    """The reply holds no JSON object at all."""


def _read(text: str, request: Request[T]) -> tuple[T, str]:
    """The decision, and how it was read. Raises Refused, saying what is wrong with the reply."""
    found = read_object(text)
    if found is None:
        raise _NoObject("it holds no JSON object")
    return request.read(found.data), found.how


def _counted(session: Session, prompt: Prompt, reply: Reply | None, branch: str, started: float) -> None:
    """One call counted and traced."""
    tokens = _tokens(prompt, reply)
    session.asked_of_model(1, tokens, branch)
    said = session.recorder.text("reply", reply.text[:4000]) if reply is not None else {}
    session.recorder.add(
        DECIDE, session.state, actor="model", prompt=prompt.name, prompt_sha=digest(prompt.system + prompt.text),
        branch=branch, tokens=tokens, latency=round(session.deadline.clock() - started, 4), **said,
    )  # fmt: skip


def _repair(prompt: Prompt, fault: str) -> Prompt:
    told = prompts()["repair"]
    return Prompt(prompt.system, (*prompt.parts, str(told["text"]).format(fault=fault)), str(told["name"]))


def _tokens(prompt: Prompt, reply: Reply | None) -> int:
    usage = reply.usage if reply is not None else {}
    counted = usage.get("total_tokens") or usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    if isinstance(counted, int) and counted > 0:
        return counted
    said = len(reply.text[:20_000].split()) if reply is not None else 0
    return round(_TOKENS_PER_WORD * (len(prompt.system.split()) + len(prompt.text.split()) + said))


@cache
def prompts() -> Mapping[str, Mapping[str, str]]:
    """The prompts by name, from `prompts.toml`."""
    return tomllib.loads((files("rag.agent") / "prompts.toml").read_text(encoding="utf-8"))


def view(session: Session, *, asked: bool = True) -> tuple[str, ...]:
    """What a model is shown: the passages found, between marker lines that no passage can know, then the question."""
    state = session.state
    mark = f"-----{digest(session.recorder.run_id)}-----"
    shown = "\n".join([mark, *_snippets(session), mark])
    lines = [f"{part.id} ({part.status}): {_plain(part.text)}" for part in state.parts]
    searches = [
        f"{one.outcome}: {', '.join(one.kinds)}: {_plain(one.text) or 'image'}"
        for one in state.log
        if one.stage != "first"
    ]
    left = session.options.budget.left(state.spent, session.deadline)
    parts = [f"Passages found so far:\n{shown}", "Sub-questions:\n" + "\n".join(lines)]
    if asked:
        parts.append("Searches made:\n" + ("\n".join(searches) or "only the question itself"))
    parts.append(f"Left: {left['steps']:g} steps, {left['searches']:g} searches.")
    return (*parts, f"Question: {_plain(state.question)}")


def shown_labels(state: AgentState) -> tuple[str, ...]:
    """The labels of the passages that `view` shows: the best graded, the first found among equals."""
    ranked = sorted(state.pool, key=lambda one: -one.grade)[:_SNIPPETS]
    return tuple(one.label for one in state.pool if one in ranked)


def _snippets(session: Session) -> list[str]:
    found = []
    for label in shown_labels(session.state):
        item = session.state.item(label)
        if item is not None:
            passage = session.hit(item.passage_id).passage
            words = " ".join(passage.text.split()[:_SNIPPET_WORDS])
            found.append(f"{label} ({passage.kind}, grade {item.grade}): {words}")
    return found


def _plain(text: str) -> str:
    return " ".join(text.split())[:2000]
