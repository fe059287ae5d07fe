import pytest

from rag.routing import RuleRouter
from rag.testing.router import RouterContract
from rag.types import Query


class TestRuleRouter(RouterContract):
    @pytest.fixture
    def router(self) -> RuleRouter:
        return RuleRouter()

    def test_fixed_weights_win(self):
        assert RuleRouter({"fact": 1.0}).route(Query(text="x"))["fact"] == 1.0
