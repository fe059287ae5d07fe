import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from indexers.devices import DeviceLost
from indexers.encoders.visual.http_json import RequestRefused, post_json
from indexers.encoders.visual.opening import expected_rows, open_visual
from indexers.encoders.visual.options import VisualOptions
from indexers.encoders.visual.rows import RefusedPassages
from rag.errors import ConfigError, QueryError, SourceError
from rag.testing.encoder import EncoderContract
from rag.types import PageLocator, Passage, Query

IMAGE_TOKEN, PREFIX, DIM, FACTOR = 7, 3, 8, 28


class Server(ThreadingHTTPServer):
    """Answers as vLLM's pooling endpoint: a row per token, the prompt's before and after those of the image."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []
        self.status = 200
        self.nan_for = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def rows(self, body):
        if "input" in body:
            return [direction(word) for word in body["input"].split()]
        uri = body["messages"][0]["content"][0]["image_url"]["url"]
        assert uri.startswith("data:image/png;base64,")
        image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        pixels = np.asarray(image.resize((image.width // FACTOR, image.height // FACTOR), Image.Resampling.BOX))
        patches = pixels.reshape(-1, 3).astype(float)
        if self.nan_for == image.size:
            patches[0] = np.nan
        rows = np.hstack([patches, 255 - patches, np.ones((len(patches), DIM - 6))])
        return [direction("prompt")] * PREFIX + rows.tolist() + [direction("end")] * 2


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        if self.path == "/tokenize":
            answer = {"tokens": [1, 2, 3, IMAGE_TOKEN, 4]}
        else:
            assert self.path == "/pooling"
            answer = {"data": [{"index": 0, "object": "pooling", "data": self.server.rows(body)}]}
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(answer if self.server.status == 200 else {"error": "too long"}).encode())

    def log_message(self, *_):
        pass


def direction(word):
    rng = np.random.default_rng(sum(word.encode()))
    return (5 * rng.normal(size=DIM)).tolist()


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path):
    """A checkpoint's folder as the client needs it: configuration files, and weights it never reads."""
    place = tmp_path / "model"
    place.mkdir()
    pictures = {"patch_size": 14, "merge_size": 2, "size": {"shortest_edge": 3136, "longest_edge": 64 * 784}}
    config = {"model_type": "colqwen2", "embedding_dim": DIM, "image_token_id": IMAGE_TOKEN}
    (place / "config.json").write_text(json.dumps(config))
    (place / "preprocessor_config.json").write_text(json.dumps(pictures))
    (place / "tokenizer.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"weights")
    return place


@pytest.fixture
def pictures(tmp_path):
    paths = []
    for name, size in (("wide", (280, 140)), ("tall", (140, 280))):
        rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
        shade = (np.stack([rows, columns, rows * 0], axis=-1) * (1 if name == "wide" else -1)) % 256
        paths.append(tmp_path / f"{name}.png")
        Image.fromarray(shade.astype(np.uint8)).save(paths[-1])
    return tuple(paths)


def page(path, name="p"):
    return Passage(name, "page", "b", "", PageLocator(1), images=(path,))


def options(model, server, **more):
    return VisualOptions(str(model), library="vllm", url=server.url + "/", **more)


class TestContract(EncoderContract):
    @pytest.fixture
    def encoder(self, folder, server):
        return open_visual(options(folder, server))

    @pytest.fixture
    def changed(self, folder, server):
        return open_visual(options(folder, server, pool_factor=2))

    @pytest.fixture
    def passages(self, pictures):
        return (page(pictures[0], "wide"), page(pictures[1], "tall"))

    @pytest.fixture
    def queries(self, pictures):
        return (Query(images=(pictures[0],)), Query("what does the trachea warm?"))

    @pytest.fixture
    def unread(self):
        return Passage("t", "page", "b", "text alone", PageLocator(1))

    def test_an_item_it_cannot_read_is_none_and_keeps_its_place(self, encoder, passages, unread):
        found = encoder.encode_passages([passages[0], unread, passages[1]])
        assert [vector is None for vector in found] == [False, True, False]


def test_rows_of_patches_have_boxes_and_means(folder, server, pictures):
    encoder = open_visual(options(folder, server))
    boxes = encoder.row_boxes(page(pictures[0]))
    [found] = encoder.forward(encoder.devices[0], [encoder.prepare(page(pictures[0]))])
    assert len(boxes) == len(found["visual"]) == PREFIX + 50 + 2
    assert np.flatnonzero(np.isnan(boxes[:, 0])).tolist() == [0, 1, 2, 53, 54]
    np.testing.assert_allclose(boxes[PREFIX], [0, 0, 0.1, 0.2], atol=1e-6)
    patches = found["visual"][PREFIX:-2].reshape(5, 10, DIM).mean(axis=1)
    np.testing.assert_allclose(
        found["visual_coarse"], patches / np.linalg.norm(patches, axis=1, keepdims=True), atol=1e-5
    )


def test_the_request_is_what_vllm_reads_and_holds_no_address(folder, server, pictures):
    encoder = open_visual(options(folder, server))
    encoder.encode_passages([page(pictures[0])])
    encoder.encode_queries([Query("a question")])
    bodies = [body for path, body in server.requests if path == "/pooling"]
    assert all(body["model"] == str(folder) and body["task"] == "token_embed" for body in bodies)
    assert bodies[1]["input"] == "a question"
    assert "http" not in json.dumps(bodies[0])


def test_a_page_is_scaled_here_to_what_the_model_reads(folder, server, tmp_path):
    Image.new("RGB", (2000, 1000), "red").save(tmp_path / "large.png")
    encoder = open_visual(options(folder, server, max_patches=20))
    prepared = encoder.prepare(page(tmp_path / "large.png"))
    assert prepared.patches == 18  # 3 x 6
    [found] = encoder.forward("", [prepared])
    assert len(found["visual"]) == PREFIX + 18 + 2


def test_without_the_checkpoint_the_server_tells_the_dimensions(server, pictures):
    encoder = open_visual(options("org/served-model", server, coarse="hierarchical"))
    assert [spec.dim for spec in encoder.specs] == [DIM, DIM, DIM]
    [found] = encoder.forward("", [encoder.prepare(page(pictures[0]))])
    assert (len(found["visual_coarse"]), len(found["visual_first"])) == (32, 8)
    with pytest.raises(ConfigError, match="checkpoint's folder"):
        encoder.row_boxes(page(pictures[0]))


def test_rows_of_a_model_that_only_the_server_knows_cannot_be_planned(server):
    with pytest.raises(ConfigError, match="served model's name"):
        expected_rows(options("org/served-model", server, coarse="none"), (595, 842), 110)


@pytest.mark.parametrize("more", [{"coarse": "rows"}, {"coarse": "none", "max_patches": 100}])
def test_what_needs_the_checkpoint_is_refused_without_it(server, more):
    with pytest.raises(ConfigError, match="folder"):
        open_visual(options("org/served-model", server, **more))


def test_a_page_the_server_refuses_is_named_and_the_rest_is_not(folder, server, pictures):
    encoder = open_visual(options(folder, server))
    prepared = [encoder.prepare(page(path, path.stem)) for path in pictures]
    server.nan_for = (140, 280)
    with pytest.raises(RefusedPassages, match="no numbers") as caught, np.errstate(invalid="ignore"):
        encoder.forward("", prepared)
    assert caught.value.passage_ids == ("tall",)
    assert len(encoder.forward("", prepared[:1])) == 1
    server.status = 400
    with pytest.raises(RefusedPassages, match="too long"):
        encoder.forward("", prepared)
    with pytest.raises(QueryError, match="too long"):
        encoder.encode_queries([Query("a question")])


@pytest.mark.parametrize(("status", "error"), [(500, DeviceLost), (503, DeviceLost), (404, ConfigError)])
def test_a_failing_server_is_a_lost_device_and_a_wrong_address_is_not(folder, server, status, error):
    server.status = status
    with pytest.raises(error):
        open_visual(options(folder, server)).encode_queries([Query("a question")])


def test_a_server_that_is_gone_is_a_lost_device(folder, server):
    encoder = open_visual(VisualOptions(str(folder), library="vllm", url="http://127.0.0.1:9"))
    with pytest.raises(DeviceLost, match="does not answer"):
        encoder.encode_queries([Query("a question")])


def test_only_http_addresses_are_asked():
    with pytest.raises(ConfigError, match="no http address"):
        post_json("file:///etc/hosts", {}, 1)


def test_an_answer_without_rows_is_refused(folder, server, monkeypatch):
    for rows in ([], [1.0, 2.0], "AAAA"):
        monkeypatch.setattr(server, "rows", lambda _, rows=rows: rows)
        with pytest.raises(QueryError):
            open_visual(options(folder, server)).encode_queries([Query("a question")])
    assert issubclass(RefusedPassages, SourceError)
    assert not issubclass(RequestRefused, SourceError)


def test_an_image_that_cannot_be_read_is_a_source_error(folder, server, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    encoder = open_visual(options(folder, server))
    with pytest.raises(SourceError, match=r"broken\.png"):
        encoder.prepare(page(tmp_path / "broken.png"))
    with pytest.raises(QueryError, match=r"broken\.png"):
        encoder.encode_queries([Query(images=(tmp_path / "broken.png",))])
