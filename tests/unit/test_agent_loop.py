"""The loop with the planner alone, with good and bad models, and as a state machine; traces and their replay."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from benchmarks.agent_adversary import ASKED, RUN, RUNS, TOPICS, BadModel, Clock, ScriptedTools, check
from rag.agent.asking import view
from rag.agent.budget import Budget
from rag.agent.loop import Minds, run_agent
from rag.agent.planner import Planner
from rag.agent.session import AgentOptions, Helpers, Session, Wish
from rag.agent.state import SubQuestion
from rag.agent.tools import Search
from rag.agent.trace import evidence_bytes, replay
from rag.chat import ChatError, Deadline, ScriptedModel
from rag.errors import QueryError
from rag.generators.question import split_question
from rag.types import Query

KNOWN = Query(text="What is the afterload of pressure?")
UNKNOWN = Query(text="What is a zanthorp? What is the epithelium of the trachea?")


def session(query=UNKNOWN, *, tools=None, clock=None, **options):
    clock = clock or Clock()
    made = AgentOptions(**options)
    tools = tools or ScriptedTools(clock)
    return Session(query, ("page", "case"), Helpers(tools), made, Deadline.after(made.budget.seconds, clock))


def minds(*script, model=None):
    return Minds(Planner(split_question), ScriptedModel(script) if script else model)


def says(**fields):
    return json.dumps({"reason": "it is missing", **fields})


def ids(result):
    return [hit.passage.id for hit in result.hits]


def test_a_question_that_the_single_pass_answers_costs_one_search_and_no_model_call():
    model = ScriptedModel([says(action="search_pages", query="cornea")])
    result = run_agent(session(KNOWN), minds(model=model))
    assert (result.state.stop, result.state.spent.searches, model.prompts) == ("sufficient", 1, [])


def test_the_planner_searches_for_the_open_part_only():
    result = run_agent(session(), minds())
    asked = [one.text for one in result.state.log if one.stage == "rule"]
    assert asked
    assert not any("trachea" in text for text in asked)
    assert result.state.stop == "nothing_new"


def test_a_model_adds_what_the_planner_does_not_find():
    alone = run_agent(session(), minds())
    reply = says(action="search_pages", query="cornea explained concerns transparency stroma", part="S1")
    helped = run_agent(session(), minds(reply))
    assert ids(helped)[: len(alone.hits)] == ids(alone)
    assert any(name.startswith("page-4") for name in ids(helped))
    assert not any(name.startswith("page-4") for name in ids(alone))


def test_the_model_is_shown_data_between_marks_and_the_question_last():
    model = ScriptedModel([says(action="answer", evidence=["E1", "E99"])])
    result = run_agent(session(), minds(model=model))
    [prompt], [wanted] = model.prompts, model.wanted
    assert prompt.parts[-1].startswith("Question: ")
    marks = [line for line in prompt.text.splitlines() if line.startswith("-----")]
    assert len(marks) == 2
    assert marks[0] == marks[1]
    assert "E99" not in json.dumps(wanted.schema)
    assert result.state.stop == "answer"
    assert list(result.state.cited) == [result.state.pool[0].passage_id]


def test_a_model_that_gives_up_lowers_the_confidence_and_cannot_raise_it():
    result = run_agent(session(), minds(says(action="abstain")))
    assert (result.state.stop, result.state.doubt) == ("abstain", 0.5)
    assert run_agent(session(), minds(says(action="answer"))).state.doubt == 0.0


def test_replies_are_parsed_salvaged_repaired_or_left_to_the_planner_and_counted():
    good = says(action="search_pages", query="insulin receptor")
    script = [f"Sure: {good} and", "no json", says(action="search_cases", query="effusion"), "no", "no"]
    result = run_agent(session(budget=Budget(steps=9)), minds(*script))
    assert result.state.branches["salvaged"] >= 1
    assert result.state.branches["no_json"] >= 1
    assert result.state.branches["repaired"] >= 1
    assert result.state.branches["planner"] >= 1


@pytest.mark.parametrize("kind", ["down", "timeout", "busy", "refused", "broken", "open"])
def test_a_server_that_fails_costs_one_call_and_no_evidence(kind):
    alone = run_agent(session(), minds())
    failed = run_agent(session(), minds(ChatError("it failed", kind=kind)))
    assert ids(failed) == ids(alone)
    assert failed.state.branches[f"failed_{kind}"] >= 1


def test_the_same_query_again_and_again_ends_the_loop():
    result = run_agent(session(budget=Budget(steps=50)), minds(says(action="search_pages", query="afterload")))
    assert result.state.stop == "nothing_new"
    assert result.state.spent.suppressed >= 1
    assert result.state.spent.steps < 8


def test_a_model_that_hangs_ends_the_loop_at_the_deadline():
    clock = Clock()
    model = BadModel([(40.0, ChatError("no answer", kind="timeout"))], clock)
    result = run_agent(session(clock=clock, tools=ScriptedTools(clock)), minds(model=model))
    assert (result.state.stop, model.asked) == ("deadline", 1)
    assert result.hits


def test_a_search_that_fails_is_logged_and_the_rest_goes_on():
    tools = ScriptedTools(Clock(), fail=True)
    result = run_agent(session(tools=tools), minds())
    assert {one.outcome for one in result.state.log if one.stage == "rule"} == {"failed"}
    assert result.hits


def test_searches_side_by_side_give_what_searches_in_turn_give():
    query = Query(text="What is a zanthorp? What is a blivet? What is a quonk?")
    in_turn, abreast = (run_agent(session(query, workers=n), minds()) for n in (1, 4))
    assert ids(in_turn) == ids(abreast)
    assert in_turn.state == abreast.state


@pytest.mark.parametrize("name", list(RUNS))
def test_every_strategy_runs_with_the_planner_alone(name):
    result = RUNS[name](session(), minds())
    assert result.hits
    assert result.state.spent.model_calls == 0


@pytest.mark.parametrize(
    ("name", "reply", "found"),
    [
        ("i-medrag", says(questions=["insulin receptor glucose", "cornea stroma"]), ("page-3-1", "page-4-1")),
        ("patho-agentic", says(search=True, queries=["osteoclast bone"], partition="Skin"), ("page-7-1",)),
        ("ircot", says(sentence="The pleural effusion is a fluid."), ("page-6-1",)),
    ],
)
def test_published_strategies_follow_their_model(name, reply, found):
    result = RUNS[name](session(), minds(reply))
    assert set(found) <= result.state.known


def test_ircot_stops_when_the_answer_is_said_and_medrag_when_nothing_is_asked():
    assert RUNS["ircot"](session(), minds(says(sentence="The answer is cilia."))).state.stop == "answer"
    assert RUNS["i-medrag"](session(), minds(says(questions=[]))).state.stop == "answer"


# traces


def test_a_trace_holds_no_words_unless_content_is_asked_for():
    plain = json.dumps(run_agent(session(), minds()).events)
    assert "zanthorp" not in plain
    assert "trachea" not in plain
    told = run_agent(session(content=True), minds()).events
    assert told[0]["question"] == UNKNOWN.text


def test_a_replay_gives_the_same_bytes_and_notices_another_library():
    clock = Clock()
    tools = ScriptedTools(clock)
    query = Query(text="What is a zanthorp? What hides in the snarble gribbit cornea?")
    result = run_agent(session(query, tools=tools, clock=clock, content=True), minds())
    events = json.loads(json.dumps(result.events))
    again = replay(events, tools, query)
    assert again.evidence == evidence_bytes(ids(result))
    assert again.differences == ()
    other = replay(events, ScriptedTools(clock, k=1), query)
    assert other.differences
    assert other.evidence == again.evidence  # recorded lists, not those of the other library
    with pytest.raises(QueryError, match="whole trace"):
        replay(events[:-1], tools)


# adversaries


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(RUN)
def test_no_model_breaks_the_loop(run):
    check(run)


class SessionMachine(RuleBasedStateMachine):
    """Rounds in any order, of any wishes, from anyone: what a session promises holds after each."""

    def __init__(self):
        super().__init__()
        self.tools = ScriptedTools(Clock())
        self.session = session(tools=self.tools, budget=Budget(steps=30, searches=9))
        self.session.begin("agent", (SubQuestion("S1", ASKED[0]), SubQuestion("S2", TOPICS[1])))
        self.known, self.spent, self.labels = set(), self.session.state.spent, []

    @rule(
        texts=st.lists(st.sampled_from([*ASKED, " ", TOPICS[0].upper(), "cornea"]), max_size=4),
        stage=st.sampled_from(["rule", "model"]),
        part=st.sampled_from(["S1", "S2", "S9"]),
    )
    def search(self, texts, stage, part):
        before = self.session.state.known
        fresh = self.session.round([Wish(part, Search(("page",), text)) for text in texts], stage)
        assert set(fresh) == self.session.state.known - before

    @rule(labels=st.lists(st.sampled_from(["E1", "E2", "E7", "E99", ""]), max_size=4))
    def cite(self, labels):
        self.session.cite(labels)

    @rule(share=st.floats(0, 1))
    def doubt(self, share):
        before = self.session.state.doubt
        self.session.doubt(share)
        assert self.session.state.doubt == max(before, share)

    @invariant()
    def counters_rise_and_stay_in_budget(self):
        now, before = self.session.state.spent, self.spent
        assert all(getattr(now, name) >= getattr(before, name) for name in ("steps", "searches", "suppressed"))
        assert now.searches == self.tools.calls <= 9
        self.spent = now

    @invariant()
    def evidence_only_grows(self):
        state = self.session.state
        assert self.known <= state.known <= self.tools.gave
        assert [one.label for one in state.pool][: len(self.labels)] == self.labels
        assert set(state.cited) <= state.known
        self.known, self.labels = set(state.known), [one.label for one in state.pool]

    def teardown(self):
        result = self.session.stop("planned")
        assert {hit.passage.id for hit in result.hits} <= self.tools.gave
        assert replay(json.loads(json.dumps(result.events)), self.tools).evidence == evidence_bytes(ids(result))


TestSessionMachine = SessionMachine.TestCase
TestSessionMachine.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)


def test_a_view_is_short_whatever_the_passages_hold():
    clock = Clock()
    made = session(replace(KNOWN, text="word " * 5000), clock=clock)
    made.begin("agent", (SubQuestion("S1", "word " * 5000),))
    assert sum(len(part) for part in view(made)) < 20_000
