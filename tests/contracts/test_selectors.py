import pytest

from rag.protocols import Selector
from rag.selection import FixedK
from rag.selectors import NAMES, SelectionOptions, make_selector
from rag.testing.selector import SelectorContract

VALUES = {"log-ratio": 0.3, "top-ratio": 3.0, "conformal": 0.2, "risk": 4.0}
"""A parameter of each selector that needs one; the contract's hits score 1, 1/2, 1/3, ..."""


class TestFixedK(SelectorContract):
    def make_selector(self) -> Selector:
        return FixedK(k=4, budget_words=3000)


class TestFixedKPerDocument(SelectorContract):
    def make_selector(self) -> Selector:
        return FixedK(k=6, budget_words=100, per_document=2)


def _options(name: str, **changes: int) -> SelectionOptions:
    return SelectionOptions("score", value=VALUES.get(name), budget_words=3000, **changes)


class TestEveryName(SelectorContract):
    @pytest.fixture(autouse=True, params=NAMES)
    def _name(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param

    def make_selector(self) -> Selector:
        return make_selector(self.name, _options(self.name))


class TestEveryNameWithCapsAndDiversity(SelectorContract):
    @pytest.fixture(autouse=True, params=NAMES)
    def _name(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param

    def make_selector(self) -> Selector:
        return make_selector(self.name, _options(self.name, per_document=3, per_cluster=1, per_kind=5))


class TestUnreadableScores(SelectorContract):
    """The contract's hits have no score of this channel: then only the bounds hold."""

    def make_selector(self) -> Selector:
        return make_selector("gap", SelectionOptions("dense", least=1, most=5))
