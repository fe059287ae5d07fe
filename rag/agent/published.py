"""Strategies of published systems, as far as they can be told from their papers, in the terms of our session.

They are there to be compared with: every one keeps our budget, guard, grades and trace, and works with the planner
alone. Their names are those of `STRATEGIES`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rag.agent.actions import MOST_QUERY, MOST_REASON, Refused
from rag.agent.asking import Request, ask, prompts, view
from rag.agent.loop import Minds, next_wishes
from rag.agent.session import AgentResult, Session, Wish
from rag.agent.state import SubQuestion
from rag.agent.tools import Search
from rag.chat import ChatModel, Prompt
from rag.domains.partitions import PARTITIONS, choose_partition
from rag.sentences import content_stems, split_sentences

ROUNDS, FOLLOW_UPS = 4, 3
"""Of i-MedRAG (Xiong et al., 2024, https://arxiv.org/abs/2408.00727): 4 rounds of 3 follow-up questions."""
SENTENCES = 8
"""Of IRCoT (Trivedi et al., 2023, https://arxiv.org/abs/2212.10509): 8 steps at the most."""
_TOPIC_OF_PARTITION = "partition"


def run_i_medrag(session: Session, minds: Minds) -> AgentResult:
    """Rounds of follow-up questions, each answered by plain retrieval; questions and answers are the memory.

    There the model answers each follow-up; here its best sentence stands for the answer, which costs no call. Without a
    model the planner's searches are the follow-ups.
    """
    session.begin("i-medrag", (SubQuestion("S1", session.query.text), *_more(session, minds)))
    memory: list[str] = []
    for _ in range(ROUNDS):
        reached = session.may_go_on()
        if reached is not None:
            return session.stop(reached)
        asked = _follow_ups(session, minds.model, memory) if minds.model is not None else None
        if asked == ():
            return session.stop("answer")
        wishes = [Wish("S1", Search(session.kinds, text), "model") for text in asked or ()]
        if asked is None:
            wishes = next_wishes(session, minds.planner)[:FOLLOW_UPS]
        if not wishes:
            return session.stop("planned")
        before = len(session.state.log)
        session.round(wishes, "rule")
        memory += [_remembered(session, one.text, one.found) for one in session.state.log[before:] if one.found]
    return session.stop("planned")


def run_patho_agentic(session: Session, minds: Minds) -> AgentResult:
    """A router that rewrites the question and names one of 19 partitions, then one search per rewritten query.

    Patho-AgenticRAG (https://arxiv.org/abs/2508.02258). There the partition filters a library that was sorted by hand;
    ours is not sorted, so the partition's name joins the query, which moves the ranking and hides nothing.
    """
    session.begin("patho-agentic", minds.planner.parts(session.query))
    if session.may_go_on() is not None:
        return session.stop(session.may_go_on() or "planned")
    routed = _route(session, minds.model) if minds.model is not None else None
    if routed is None:
        partition = choose_partition(session.query.text).partition or ""
        wishes = [_within(wish, partition) for wish in _all_parts(session, minds)]
    else:
        queries, partition = routed
        wishes = [_within(Wish("S1", Search(session.kinds, text), "model"), partition) for text in queries]
    if wishes:
        session.round(wishes, "rule")
    return session.stop("sufficient" if session.enough else "planned")


def run_ircot(session: Session, minds: Minds) -> AgentResult:
    """Each sentence of the reasoning is the next query, until one says that the question is answered.

    Without a model the sentence that answers best so far is the next query: pseudo-relevance feedback.
    """
    session.begin("ircot", minds.planner.parts(session.query))
    for _ in range(SENTENCES):
        reached = session.may_go_on()
        if reached is not None:
            return session.stop(reached)
        sentence = _reasoned(session, minds.model) if minds.model is not None else None
        if sentence is not None and sentence.lower().startswith(("the answer is", "so the answer is")):
            return session.stop("answer")
        text, actor = (sentence, "model") if sentence else (_best_sentence(session), "rule")
        if not text:
            return session.stop("nothing_new")
        part = next((one.id for one in session.state.parts if one.status == "open"), session.state.parts[0].id)
        session.round([Wish(part, Search(session.kinds, text), "model" if actor == "model" else "rule")], "rule")
        if minds.model is None and session.enough:
            return session.stop("sufficient")
    return session.stop("planned")


def _more(session: Session, minds: Minds) -> tuple[SubQuestion, ...]:
    """The parts of a question that asks several things, beside the question itself."""
    parts = minds.planner.parts(session.query)
    return tuple(SubQuestion(f"S{n}", part.text, part.slots) for n, part in enumerate(parts, 2)) if parts[1:] else ()


def _all_parts(session: Session, minds: Minds) -> list[Wish]:
    several = len(session.state.parts) > 1
    return [
        Wish(part.id, Search(session.kinds, minds.planner.queries(part, session.query, several=several)[0]))
        for part in session.state.parts
    ]


def _within(wish: Wish, partition: str) -> Wish:
    if not partition or not isinstance(wish.call, Search):
        return wish
    return Wish(wish.part, Search(wish.call.kinds, f"{wish.call.text} ({partition})"), wish.actor)


def _follow_ups(session: Session, model: ChatModel, memory: Sequence[str]) -> tuple[str, ...] | None:
    told = prompts()["follow_up"]
    known = "Known so far:\n" + ("\n".join(memory) or "nothing")
    prompt = Prompt(told["system"].format(n=FOLLOW_UPS), (known, *view(session, asked=False)), told["name"])
    schema = _schema({"questions": _texts_schema(FOLLOW_UPS)}, ("questions",))
    return ask(session, model, Request(prompt, schema, lambda data: _texts(data, "questions", FOLLOW_UPS)))


def _route(session: Session, model: ChatModel) -> tuple[tuple[str, ...], str] | None:
    told = prompts()["router"]
    prompt = Prompt(told["system"].format(n=FOLLOW_UPS), view(session), told["name"])
    fields = {
        "search": {"type": "boolean"},
        "queries": _texts_schema(FOLLOW_UPS),
        _TOPIC_OF_PARTITION: {"type": "string", "enum": ["", *PARTITIONS]},
    }

    def read(data: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
        partition = data.get(_TOPIC_OF_PARTITION) or ""
        if partition and partition not in PARTITIONS:
            raise Refused("partition must be one of the names given, exactly")
        return ((), "") if data.get("search") is False else (_texts(data, "queries", FOLLOW_UPS), partition)

    return ask(session, model, Request(prompt, _schema(fields, ("search", "queries")), read))


def _reasoned(session: Session, model: ChatModel) -> str | None:
    told = prompts()["reason"]
    prompt = Prompt(told["system"], view(session), told["name"])
    schema = _schema({"sentence": {"type": "string", "maxLength": MOST_QUERY}}, ("sentence",))
    return ask(session, model, Request(prompt, schema, lambda data: _texts({"s": [data.get("sentence")]}, "s", 1)[0]))


def _schema(fields: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    properties = {"reason": {"type": "string", "maxLength": MOST_REASON}, **fields}
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def _texts_schema(most: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string", "maxLength": MOST_QUERY}, "maxItems": most}


def _texts(data: Mapping[str, Any], field: str, most: int) -> tuple[str, ...]:
    value = data.get(field)
    if not isinstance(value, list) or not all(isinstance(one, str) and 0 < len(one) <= MOST_QUERY for one in value):
        raise Refused(f"{field} must be texts of at most {MOST_QUERY} characters")
    found = tuple(dict.fromkeys(text for one in value[:most] if (text := " ".join(one.split()))))
    if value and not found:
        raise Refused(f"{field} must not be blank")
    return found


def _remembered(session: Session, asked: str, found: Sequence[tuple[str, float]]) -> str:
    """A follow-up question with the sentence of its first passage that shares most words with it."""
    passage = session.hit(found[0][0]).passage
    wanted = frozenset(content_stems(asked))
    said = max((one.text for one in split_sentences(passage.text)), key=lambda text: _shared(wanted, text), default="")
    return f"Q: {asked}\nA: {' '.join(said.split()[:60])}"


def _best_sentence(session: Session) -> str:
    """The sentence of the pool that says most about an open sub-question, and was not searched for yet."""
    state = session.state
    part = next((one for one in state.parts if one.status == "open"), state.parts[0])
    wanted = frozenset(content_stems(part.text))
    tried = {one.text for one in state.log}
    said = [
        " ".join(one.text.split()[:40])[:MOST_QUERY]
        for item in state.pool[:8]
        for one in split_sentences(session.hit(item.passage_id).passage.text)
        if one.kind == "prose"
    ]
    new = [text for text in said if text not in tried]
    return max(new, key=lambda text: _shared(wanted, text), default="")


def _shared(wanted: frozenset[str], text: str) -> float:
    bag = frozenset(content_stems(text))
    return len(wanted & bag) / (len(bag) + 5) if bag else 0.0
