"""Every store passes the same contract."""

from functools import partial

import pytest
from qdrant_client import QdrantClient

from indexers.stores.edge import EdgeStore
from indexers.stores.memory import MemoryStore
from indexers.stores.server import ServerStore
from rag.testing.points import SPECS
from rag.testing.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self, tmp_path):
        return partial(MemoryStore, SPECS)


class TestEdgeStore(StoreContract):
    persistent = True

    @pytest.fixture
    def make_store(self, tmp_path):
        return partial(EdgeStore.open, tmp_path / "store", SPECS, tmp_path)


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.filterwarnings("ignore:Local mode performs exact")
class TestServerStore(StoreContract):
    """Against the client's local mode, which speaks the same interface as a server."""

    persistent = True

    @pytest.fixture
    def make_store(self, tmp_path):
        return lambda: ServerStore(QdrantClient(path=str(tmp_path / "qdrant")), "test", SPECS, tmp_path)
