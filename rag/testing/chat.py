"""What every chat model promises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from rag.chat import ChatError, ChatModel, Deadline, Prompt, PromptTooLong, Reply, Wanted

PROMPT = Prompt(
    "Answer in one sentence.", ("Evidence: tendons join muscle to bone.", "What do tendons join?"), "test-1"
)
WANTED = Wanted()

Say = str | Reply | Exception
Making = Callable[[Sequence[Say]], ChatModel]


class ChatModelContract:
    """Inherit, and give the fixtures `making` and `echo`.

    `making` makes a model that says these things by turns: a text, a reply, or an error of rag.chat that its server is
    made to cause. `echo` is one that answers every prompt with the prompt's last text.
    """

    @pytest.fixture
    def making(self) -> Making:
        raise NotImplementedError

    @pytest.fixture
    def echo(self) -> ChatModel:
        raise NotImplementedError

    @staticmethod
    def in_time() -> Deadline:
        return Deadline.after(20.0)

    def test_plays_the_role(self, making: Making) -> None:
        assert isinstance(making(["yes"]), ChatModel)

    def test_says_what_the_model_said_by_turns(self, making: Making) -> None:
        model = making(["Muscle to bone.", "Größe — 腱"])
        assert model.reply(PROMPT, WANTED, self.in_time()).text == "Muscle to bone."
        second = model.reply(PROMPT, WANTED, self.in_time())
        assert second.text == "Größe — 腱"
        assert second.finished

    def test_counts_each_call(self, making: Making) -> None:
        model = making(["one"])
        usages = [model.reply(PROMPT, WANTED, self.in_time()).usage for _ in range(2)]
        assert [usage["calls"] for usage in usages] == [1, 1]

    def test_a_passed_deadline_ends_the_call_before_it_begins(self, making: Making) -> None:
        model = making(["too late"])
        with pytest.raises(ChatError) as caught:
            model.reply(PROMPT, WANTED, Deadline.after(0.0))
        assert caught.value.kind == "timeout"

    @pytest.mark.parametrize("kind", ["timeout", "busy", "refused", "broken"])
    def test_a_failure_is_a_chat_error_of_its_kind_and_the_next_call_works(self, making: Making, kind: str) -> None:
        model = making([ChatError("scripted", kind=kind), "back"])
        with pytest.raises(ChatError) as caught:
            model.reply(PROMPT, WANTED, Deadline.after(0.5))
        assert caught.value.kind == kind
        assert str(caught.value)
        assert model.reply(PROMPT, WANTED, self.in_time()).text == "back"

    def test_a_prompt_that_does_not_fit_says_so(self, making: Making) -> None:
        with pytest.raises(PromptTooLong):
            making([PromptTooLong("4096 tokens at most")]).reply(PROMPT, WANTED, self.in_time())

    def test_a_reply_that_was_cut_off_is_not_finished(self, making: Making) -> None:
        reply = making([Reply('{"answer": "mus', finished=False)]).reply(PROMPT, WANTED, self.in_time())
        assert not reply.finished
        assert reply.text == '{"answer": "mus'

    def test_json_of_a_schema_comes_as_it_was_said(self, making: Making) -> None:
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
        text = '{"answer": "muscle and bone"}'
        assert making([text]).reply(PROMPT, Wanted(schema=schema), self.in_time()).text == text

    def test_a_choice_may_come_with_probabilities_that_sum_to_one(self, making: Making) -> None:
        said = Reply("B", probabilities={"A": 0.25, "B": 0.75})
        reply = making([said]).reply(PROMPT, Wanted(choices=("A", "B")), self.in_time())
        assert reply.text == "B"
        assert reply.probabilities == pytest.approx({"A": 0.25, "B": 0.75})

    def test_sixteen_at_once_get_each_their_own_reply(self, echo: ChatModel) -> None:
        begin = threading.Barrier(16)

        def ask(number: int) -> str:
            begin.wait()
            return echo.reply(Prompt("Repeat.", (f"number {number}",)), WANTED, self.in_time()).text

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(ask, range(16))) == [f"number {number}" for number in range(16)]
