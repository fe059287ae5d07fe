import math
from contextlib import ExitStack

import pytest

from rag.chat import ChatError, PromptTooLong, Reply, ScriptedModel
from rag.generators.vllm_chat import ChatOptions, VllmChat
from rag.testing.chat import ChatModelContract
from rag.testing.chat_server import ChatServer, Turn


class TestScriptedModel(ChatModelContract):
    @pytest.fixture
    def making(self):
        return ScriptedModel

    @pytest.fixture
    def echo(self):
        return ScriptedModel([lambda prompt, wanted: prompt.parts[-1]])


FAULTY = {
    "timeout": Turn(fault="hang"),
    "busy": Turn(status=429, headers={"Retry-After": "60"}),
    "refused": Turn(status=400, message="no"),
    "broken": Turn(fault="half-json"),
}


def turn(say):
    """What a server does so that the client says this."""
    match say:
        case str():
            return Turn(say)
        case Reply():
            alternatives = {word: math.log(value) for word, value in say.probabilities.items()}
            positions = ((say.text, alternatives),) if alternatives else ()
            return Turn(say.text, finish="stop" if say.finished else "length", logprobs=positions)
        case ChatError():
            return FAULTY[say.kind]
        case PromptTooLong():
            return Turn(status=400, message="This model's maximum context length is 4096 tokens. However, ...")


def repeated(request):
    return Turn(request["messages"][-1]["content"][-1]["text"])


class TestVllmChat(ChatModelContract):
    @pytest.fixture
    def opened(self):
        with ExitStack() as stack:

            def opened(script):
                server = stack.enter_context(ChatServer(script))
                return stack.enter_context(VllmChat(ChatOptions("scripted", server.url)))

            yield opened

    @pytest.fixture
    def making(self, opened):
        return lambda says: opened([turn(say) for say in says])

    @pytest.fixture
    def echo(self, opened):
        return opened(repeated)
