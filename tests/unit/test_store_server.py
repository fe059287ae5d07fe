"""The server store: what it says when the server is away or holds something else."""

import json

import httpx
import pytest
from qdrant_client import QdrantClient

from indexers.stores.server import Cluster, Retry, ServerOptions, ServerStore
from indexers.stores.server_engine import array_params, described
from rag.errors import IndexMismatch, StoreError
from rag.testing.points import SPECS, basis, number_id, page
from rag.types import VectorSpec

PAGES = {"page": (VectorSpec("dense", "dense", 8), VectorSpec("coarse", "multi", 8, "binary", graph=True))}
QUICK = ServerOptions(retry=Retry(tries=3, seconds=0.0))

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


class Transport(httpx.BaseTransport):
    """A server that is not there: it answers what a collection's making and writing need, and fails as it is told."""

    def __init__(self, failures=()):
        self.failures, self.made, self.written = list(failures), {}, []

    def handle_request(self, request):
        parts, body = request.url.path.strip("/").split("/"), json.loads(request.content or b"null")
        if parts[-1] == "exists":
            return self.answer({"exists": parts[1] in self.made})
        if parts[-1] == "points":
            failure = self.failures.pop(0) if self.failures else None
            if isinstance(failure, Exception):
                raise failure
            if failure is not None:
                return httpx.Response(failure, json={"status": {"error": "no"}})
            self.written += [point["id"] for point in body["points"]]
        elif len(parts) == 2:
            self.made[parts[1]] = body
            return self.answer(True)
        return self.answer({"operation_id": 0, "status": "completed"})

    @staticmethod
    def answer(result):
        return httpx.Response(200, json={"result": result, "status": "ok", "time": 0.0})


def opened(transport, tmp_path, options=QUICK):
    client = QdrantClient(url="http://127.0.0.1:6333", check_compatibility=False, transport=transport)
    return ServerStore(client, "test", PAGES, tmp_path, options=options)


def test_new_collections_are_spread_over_the_cluster_and_graphs_are_built_where_asked(tmp_path):
    transport = Transport()
    opened(transport, tmp_path, ServerOptions(Cluster(shards=6, replicas=2))).close()
    made = transport.made["test-page"]
    assert (made["shard_number"], made["replication_factor"]) == (6, 2)
    assert made["vectors"]["dense"]["hnsw_config"]["m"] == 0
    assert made["vectors"]["coarse"]["hnsw_config"]["m"] > 0
    assert made["vectors"]["coarse"]["quantization_config"] == {"binary": {}}


@pytest.mark.parametrize("failure", [httpx.ConnectError("refused"), httpx.ReadError("reset"), 503])
def test_a_write_whose_connection_drops_is_tried_again(tmp_path, failure):
    transport = Transport([failure, failure])
    store = opened(transport, tmp_path)
    store.upsert([page(1, {"dense": basis(0)})])
    assert transport.written == [number_id(1)]
    store.close()


@pytest.mark.parametrize(("failures", "left"), [([httpx.ConnectError("refused")] * 4, 1), ([400, 503, 503], 2)])
def test_a_write_that_stays_impossible_names_the_server_and_one_refused_is_not_repeated(tmp_path, failures, left):
    transport = Transport(failures)
    store = opened(transport, tmp_path)
    with pytest.raises(StoreError, match="cannot write to the collections test-"):
        store.upsert([page(1, {"dense": basis(0)})])
    assert (len(transport.failures), transport.written) == (left, [])
    store.close()


def test_a_storage_type_is_part_of_what_a_collection_is_and_a_graph_is_not():
    specs = [VectorSpec("v", "multi", 8, storage) for storage in ("f32", "f16", "int8", "turbo8", "turbo4", "binary")]
    assert len({described({"v": array_params(spec)}, {})["v"] for spec in specs}) == len(specs)
    graph = VectorSpec("v", "multi", 8, "f32", graph=True)
    assert described({"v": array_params(graph)}, {}) == described({"v": array_params(specs[0])}, {})
