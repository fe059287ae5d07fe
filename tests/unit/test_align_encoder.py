"""The encoder of a fitted head passes the contract of encoders."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexers.encoders.aligned.appearance import APPEARANCE_DIM, AppearanceEncoder, appearance
from indexers.encoders.aligned.contrastive import fit_contrastive
from indexers.encoders.aligned.encoder import AlignedImageTextEncoder, open_aligned
from indexers.encoders.aligned.features import PairFeatures
from indexers.encoders.aligned.options import TrainingOptions
from indexers.encoders.aligned.ridge import fit_ridge
from indexers.encoders.aligned.storage import HeadCard, StoredHead, save_head
from indexers.encoders.aligned.terms import term_counts
from indexers.encoders.bm25 import Bm25Encoder
from indexers.encoders.hashing import HashEncoder
from indexers.encoders.unit_rows import unit_rows
from rag.errors import IndexMismatch, QueryError, SourceError, UsageError
from rag.testing.encoder import PASSAGES, QUERIES, EncoderContract, similarity
from rag.types import CaseLocator, Passage, Query, VectorSpec

DIM = 24
WORDS = [
    "trachea", "epithelium", "goblet", "mucus", "tendon", "muscle", "bone", "cough",
    "cell", "heart", "lung", "film", "scar", "disc", "vein", "cyst",
]  # fmt: skip


class NamedImages:
    """An image encoder whose vector is a function of the file's name; it opens nothing."""

    spec = VectorSpec("image", "multi", DIM)
    fingerprint = "named-images"

    def encode_passages(self, passages):
        return [self._rows(passage.images) for passage in passages]

    def encode_queries(self, queries):
        return [self._rows(query.images) for query in queries]

    def _rows(self, images):
        return np.concatenate([look(image.name) for image in images]) if images else None


def look(name):
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    return unit_rows(np.random.default_rng(seed).standard_normal(DIM))


def training_pairs():
    """40 pairs of made-up images and sentences, and the contract's own texts, which a user's corpus would hold."""
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.choice(WORDS, 6)) for _ in range(40)] + [passage.text for passage in PASSAGES]
    vectors = np.concatenate([HashEncoder(dim=64).encode_passages([case(text)])[0] for text in texts])
    images = np.concatenate([look(f"{number}.png") for number in range(len(texts))])
    return PairFeatures(images[:, None], vectors, term_counts(texts), np.arange(len(texts)), ("x",) * len(texts))


def case(text, images=(), name="r"):
    return Passage(name, "case", "clinic", text, CaseLocator(name), images=tuple(map(Path, images)))


def stored(head, content="content"):
    card = HeadCard({"image": "named-images", "text": "t"}, 0, "split", (), {}, {}, active=True)
    return StoredHead(head, fit_ridge(training_pairs()), card, content)


def encoder_of(head, content="content"):
    return AlignedImageTextEncoder(stored(head, content), NamedImages(), HashEncoder(dim=64))


@pytest.fixture(scope="module")
def head():
    return fit_contrastive(training_pairs(), TrainingOptions(members=2, epochs=5, dim=32), 0)


class TestAlignedContract(EncoderContract):
    @pytest.fixture
    def encoder(self, head):
        return encoder_of(head)

    @pytest.fixture
    def changed(self, head):
        return encoder_of(head, "other content")

    @pytest.fixture
    def unread(self):
        return case("—", name="dash")

    @pytest.fixture
    def unread_query(self):
        return Query("—")


class TestAlignedContractOfImages(TestAlignedContract):
    """Images ask, texts are found: the first image is the one that the first text was fitted with."""

    @pytest.fixture
    def queries(self):
        return (Query("ignored", images=("40.png",)), Query(images=("41.png",)))


def test_the_channel_is_aligned_and_dense(head):
    assert encoder_of(head).spec == VectorSpec("aligned", "dense", 2 * head.shared_dim + 1)


def scores(encoder, query, passages):
    [row] = encoder.encode_queries([query])
    return [similarity(row, vector) for vector in encoder.encode_passages(passages)]


def test_a_text_finds_images_and_an_image_texts_but_neither_finds_its_like(head):
    encoder = encoder_of(head)
    described, image_only, text_only = case("trachea", ("a.png",)), case(" ", ("a.png",)), case("trachea")
    by_text = scores(encoder, Query("goblet cells"), [described, image_only, text_only])
    by_image = scores(encoder, Query(images=("b.png",)), [described, image_only, text_only])
    # What a passage lacks changes nothing about the part that it has.
    assert by_text[0] == pytest.approx(by_text[1], abs=1e-6) != 0
    assert by_image[0] == pytest.approx(by_image[2], abs=1e-6) != 0
    assert by_text[2] == by_image[1] == 0


def test_scores_are_cosines_of_the_shared_space(head):
    encoder, counts = encoder_of(head), term_counts(["goblet cells"])
    text = head.shared_texts(HashEncoder(dim=64).encode_queries([Query("goblet cells")])[0], counts)
    image = head.shared_images(look("b.png"))
    [found] = scores(encoder, Query("goblet cells"), [case(" ", ("b.png",))])
    assert found * np.sqrt(2) == pytest.approx(float((text @ image.T).item()), abs=1e-5)
    whole = head.texts(np.ones((1, 64), np.float32), counts)
    assert np.array_equal(whole[:, : head.shared_dim], head.shared_texts(np.ones((1, 64), np.float32), counts))


def test_of_a_query_with_both_the_image_is_read(head):
    encoder = encoder_of(head)
    both, image = encoder.encode_queries([Query("tendon", images=("a.png",)), Query(images=("a.png",))])
    assert np.array_equal(both, image)


def test_term_weights_are_no_vectors_for_a_head(head):
    encoder = AlignedImageTextEncoder(stored(head), NamedImages(), Bm25Encoder())
    with pytest.raises(UsageError, match="term weights"):
        encoder.encode_queries(QUERIES[:1])


def test_opening_checks_encoders_and_activity(head, tmp_path):
    image, text = NamedImages(), HashEncoder(dim=64)
    card = replace(stored(head).card, encoders={"image": image.fingerprint, "text": text.fingerprint})
    save_head(tmp_path, head, stored(head).floor, card)
    assert open_aligned(tmp_path, image, text).encode_queries(QUERIES[:1])[0] is not None
    with pytest.raises(IndexMismatch, match="text encoder"):
        open_aligned(tmp_path, image, HashEncoder(dim=32))
    save_head(tmp_path, head, stored(head).floor, replace(card, active=False, reason="R@10 is at chance"))
    with pytest.raises(UsageError, match="not active: R@10 is at chance"):
        open_aligned(tmp_path, image, text)


def picture(folder, name, array):
    Image.fromarray((np.clip(array, 0, 1) * 255).astype(np.uint8)).save(folder / name)
    return folder / name


def test_appearance_tells_blur_and_colour_apart(tmp_path):
    rng = np.random.default_rng(0)
    sharp = rng.random((64, 64, 3))
    blurred = np.stack([sharp.mean(axis=(0, 1))] * 64 * 64).reshape(64, 64, 3)
    files = [picture(tmp_path, "a.png", sharp), picture(tmp_path, "b.png", blurred)]
    files.append(picture(tmp_path, "c.png", blurred * (1, 0.3, 0.3)))
    rows = [AppearanceEncoder(NamedImages()).encode_passages([case("-", (file,))])[0] for file in files]
    looks = unit_rows(np.concatenate(rows)[:, DIM:])
    assert looks.shape == (3, APPEARANCE_DIM)
    assert (looks @ looks.T)[np.triu_indices(3, 1)].max() < 0.999


def test_appearance_of_a_plain_image_is_finite():
    row = appearance(np.zeros((224, 224, 3), np.float32))
    assert np.isfinite(row).all()
    assert row.shape == (1, APPEARANCE_DIM)


def test_appearance_names_the_file_that_cannot_be_read(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    encoder = AppearanceEncoder(NamedImages())
    with pytest.raises(SourceError, match=r"bad\.png"):
        encoder.encode_passages([case("-", (tmp_path / "bad.png",))])
    with pytest.raises(QueryError, match=r"bad\.png"):
        encoder.encode_queries([Query(images=(tmp_path / "bad.png",))])
    assert encoder.encode_passages([case("text only")]) == [None]
