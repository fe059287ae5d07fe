"""The server store: what it says when the server is away or holds something else."""

import pytest
from qdrant_client import QdrantClient

from indexers.stores.server import ServerStore
from rag.errors import IndexMismatch, StoreError
from rag.testing.points import SPECS, basis, page
from rag.types import VectorSpec

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


def test_a_server_that_is_away_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:9.*check that the server runs"):
        ServerStore.connect("http://127.0.0.1:9", None, "vesalius", SPECS, tmp_path)


def test_an_address_that_is_none_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"http://127\.0\.0\.1:port is no address.*http://HOST:6333"):
        ServerStore.connect("http://127.0.0.1:port", None, "vesalius", SPECS, tmp_path)


def test_collections_with_other_channels_are_refused_with_both_named(tmp_path):
    client = QdrantClient(":memory:")
    ServerStore(client, "a", SPECS, tmp_path)
    other = {"page": (VectorSpec("dense", "dense", 16), *SPECS["page"][1:])}
    with pytest.raises(IndexMismatch, match=r"dense 8 float32.*dense 16 float32"):
        ServerStore(client, "a", other, tmp_path)
    client.close()


def test_two_libraries_share_a_server_by_prefix(tmp_path):
    client = QdrantClient(":memory:")
    one, two = (ServerStore(client, prefix, SPECS, tmp_path) for prefix in ("one", "two"))
    one.upsert([page(1, {"dense": basis(0)})])
    assert (one.count("page"), two.count("page")) == (1, 0)
    assert len(ServerStore(client, "one", SPECS, tmp_path).search("page", "dense", basis(0), 5, {})) == 1
    client.close()
