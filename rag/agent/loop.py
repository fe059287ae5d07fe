"""Our strategy: single pass, rules that say what is missing, the planner's searches, and only then a model's.

The planner walks first and a model adds to it, so whatever a model does, the evidence holds at least what the planner
alone finds. A question that the single pass answers costs one search and no call of a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rag.agent.actions import KIND_OF, Action, Allowed, action_schema, allowed_actions, read_action
from rag.agent.asking import Request, ask, prompts, shown_labels, view
from rag.agent.planner import Planner
from rag.agent.session import AgentResult, Session, Wish
from rag.agent.tools import Closer, Search, Timeline
from rag.chat import ChatModel, Prompt
from rag.types import Kind

MODEL_DOUBT = 0.5
"""Share of the confidence lost when a model says that the library cannot answer, and the rules miss something, too."""


@dataclass(frozen=True, slots=True)
class Minds:
    """Who plans: the deterministic planner, and a model if there is one."""

    planner: Planner
    model: ChatModel | None = None


def run_single(session: Session, minds: Minds) -> AgentResult:
    """The single pass and nothing else, with its grades and trace."""
    session.begin("single", minds.planner.parts(session.query))
    return session.stop("planned")


def run_agent(session: Session, minds: Minds) -> AgentResult:
    """Search until the rules miss nothing, nothing new comes, a model gives up, or the budget ends."""
    parts = minds.planner.parts(session.query)
    session.begin("agent", parts)
    for _ in range(session.options.rule_rounds):
        if session.enough:
            return session.stop("sufficient")
        reached = session.may_go_on()
        if reached is not None and reached != "nothing_new":
            return session.stop(reached)
        wishes = next_wishes(session, minds.planner)
        if not wishes or reached:
            break
        session.round(wishes, "rule")
    return _with_model(session, minds)


def _with_model(session: Session, minds: Minds) -> AgentResult:
    """The rounds after the planner's own: the model's actions, or the rest of the planner's when it has none."""
    if minds.model is not None:
        session.hope()
    while not session.enough:
        reached = session.may_go_on()
        if reached is not None:
            return session.stop(reached)
        if minds.model is None:
            return session.stop("nothing_new")
        action = _decide(session, minds.model)
        if action is not None and action.name in ("answer", "abstain"):
            session.cite(action.evidence)
            if action.name == "abstain":
                session.doubt(MODEL_DOUBT)
                return session.stop("abstain")
            return session.stop("answer")
        wishes = [_wish(session, action)] if action is not None else next_wishes(session, minds.planner)
        session.round(wishes, "model")
    return session.stop("sufficient")


def next_wishes(session: Session, planner: Planner, kinds: tuple[Kind, ...] | None = None) -> list[Wish]:
    """The planner's next search for every open sub-question, as far as it has any left."""
    query, state = session.query, session.state
    tried = {(one.part, one.text) for one in state.log}
    wishes = []
    for part in state.parts:
        texts = planner.queries(part, query, several=len(state.parts) > 1) if part.status == "open" else ()
        text = next((text for text in texts if (part.id, text) not in tried), None)
        if text is not None:
            wishes.append(Wish(part.id, Search(kinds or session.kinds, text, _images(session))))
    return wishes


def _images(session: Session) -> tuple[Path, ...]:
    """The question's images go with its words when they are asked as one; a part of several is asked in words."""
    return session.query.images if len(session.state.parts) == 1 else ()


def _decide(session: Session, model: ChatModel) -> Action | None:
    images = _pictures(session)
    allowed = Allowed(
        allowed_actions(session.kinds, patient=bool(session.query.patient), images=bool(images)),
        tuple(part.id for part in session.state.parts),
        shown_labels(session.state),
        tuple(images),
    )
    told = prompts()["decide"]
    prompt = Prompt(told["system"], view(session), told["name"])
    return ask(session, model, Request(prompt, action_schema(allowed), lambda data: read_action(data, allowed)))


def _pictures(session: Session) -> Mapping[str, Path]:
    """The images that can be looked at, by label: those of the question (Q1 ...), and the first of a shown passage."""
    found: dict[str, Path] = {f"Q{n}": path for n, path in enumerate(session.query.images, start=1)}
    if not {"figure", "case"} & set(session.kinds):
        return {}
    for label in shown_labels(session.state):
        item = session.state.item(label)
        passage = session.hit(item.passage_id).passage if item is not None else None
        if passage is not None and passage.images and passage.kind in ("figure", "case"):
            found[label] = passage.images[0]
    return found


def _wish(session: Session, action: Action) -> Wish:
    if action.name == "patient_timeline":
        return Wish(action.part, Timeline(action.region), "model")
    if action.name == "look_closer" and action.box is not None:
        image = _pictures(session)[action.target]
        return Wish(action.part, Closer(image, action.box), "model")
    return Wish(action.part, Search((KIND_OF[action.name],), action.query), "model")
