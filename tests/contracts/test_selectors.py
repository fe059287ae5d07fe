from rag.protocols import Selector
from rag.selection import FixedK
from rag.testing.selector import SelectorContract


class TestFixedK(SelectorContract):
    def make_selector(self) -> Selector:
        return FixedK(k=4, budget_words=3000)


class TestFixedKPerDocument(SelectorContract):
    def make_selector(self) -> Selector:
        return FixedK(k=6, budget_words=100, per_document=2)
