import numpy as np
import pytest

from indexers.domains.examples import Examples
from indexers.domains.fitting import fit_prototypes
from indexers.domains.zero_shot import prompt_domains
from indexers.encoders.unit_rows import unit_rows
from rag.routing import DomainRouter, RuleRouter
from rag.testing.router import DomainModelContract, RouterContract
from rag.types import Query, VectorSpec

DIM = 16


def clusters(domains, n=30, seed=0):
    rng = np.random.default_rng(seed)
    rows = [row for place in range(len(domains)) for row in np.eye(DIM)[place] + rng.normal(0, 0.1, (n, DIM))]
    names = tuple(domain for domain in domains for _ in range(n))
    return Examples(unit_rows(rows), names, names, tuple(f"patient {place // 2}" for place in range(len(rows))))


class TestRuleRouter(RouterContract):
    @pytest.fixture
    def router(self) -> RuleRouter:
        return RuleRouter()

    def test_fixed_weights_win(self):
        assert RuleRouter({"fact": 1.0}).route(Query(text="x"))["fact"] == 1.0


class TestDomainRouter(RouterContract):
    @pytest.fixture
    def router(self) -> DomainRouter:
        return DomainRouter()


class TestPrototypesWithUnknown(DomainModelContract):
    @pytest.fixture
    def vectors(self):
        return clusters(("pathology", "radiograph", "unknown")).vectors[::20]

    @pytest.fixture
    def model(self):
        return fit_prototypes(clusters(("pathology", "radiograph", "unknown")))


class TestPrototypesWithoutUnknown(TestPrototypesWithUnknown):
    @pytest.fixture
    def model(self):
        return fit_prototypes(clusters(("pathology", "radiograph")))


class TestPrototypesOfOneDomain(TestPrototypesWithUnknown):
    @pytest.fixture
    def model(self):
        return fit_prototypes(clusters(("pathology",)))


class Bags:
    """A space in which texts are bags of letters: enough to be asked in words."""

    spec = VectorSpec("clip", "dense", DIM)
    fingerprint = "bags"

    def encode_passages(self, passages):
        return [self.row(passage.text) for passage in passages]

    def encode_queries(self, queries):
        return [self.row(query.text) for query in queries]

    def row(self, text):
        return unit_rows(np.bincount([ord(letter) % DIM for letter in text], minlength=DIM))


class TestPrompts(DomainModelContract):
    @pytest.fixture
    def vectors(self):
        return np.concatenate([Bags().row("a chest film"), Bags().row("a slide of tissue")])

    @pytest.fixture
    def model(self):
        return prompt_domains(Bags())
