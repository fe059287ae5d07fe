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
    @pytest.fixture
    def passages(self):
        return (case("a", ("a.png",), "a"), case("b", ("b.png", "c.png"), "b"), case("trachea and mucus", name="c"))

    @pytest.fixture
    def queries(self):
        return (Query("ignored", images=("a.png",)), Query("trachea"))


def test_the_channel_is_aligned_and_dense(head):
    assert encoder_of(head).spec == VectorSpec("aligned", "dense", head.dim)


def test_an_image_counts_before_the_text(head):
    encoder = encoder_of(head)
    with_text, without, text_only = encoder.encode_passages(
        [case("trachea", ("a.png",)), case("tendon", ("a.png",)), case("trachea")]
    )
    assert np.array_equal(with_text, without)
    assert not np.array_equal(with_text, text_only)


def test_equal_images_are_nearest_and_images_and_texts_meet_in_the_shared_part(head):
    encoder = encoder_of(head)
    images = encoder.encode_passages([case("-", (f"{name}.png",)) for name in "abcd"])
    [query] = encoder.encode_queries([Query(images=("b.png",))])
    assert int(np.argmax([similarity(query, image) for image in images])) == 1
    [text] = encoder.encode_queries([Query("goblet cells")])
    pairs = training_pairs()
    expected = head.texts(HashEncoder(dim=64).encode_queries([Query("goblet cells")])[0], term_counts(["goblet cells"]))
    assert np.array_equal(text, expected)
    assert head.images(pairs.images).shape[1] == text.shape[1]


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
