"""What of a case corpus can be paired, and what is refused with one message."""

import json

import numpy as np
import pytest
from PIL import Image

from indexers.encoders.hashing import HashEncoder
from indexers.encoders.unit_rows import unit_rows
from pipelines.alignment import FrozenEncoders, check_pairs, encode_pairs, owner_of, read_pairs
from rag.errors import SourceError, UsageError
from rag.types import CaseLocator, Passage, VectorSpec


class PixelImages:
    """An image encoder that averages pixels; it refuses the file that is named bad.png."""

    spec = VectorSpec("image", "multi", 12)
    fingerprint = "pixels"

    def encode_passages(self, passages):
        return [self._rows(passage.images) for passage in passages]

    def encode_queries(self, queries):
        return [self._rows(query.images) for query in queries]

    def _rows(self, images):
        if any(image.name == "bad.png" for image in images):
            raise SourceError("image bad.png cannot be read", stage="image")
        small = [np.asarray(Image.open(image).convert("RGB").resize((2, 2)), float).ravel() for image in images]
        return unit_rows(np.stack(small)) if images else None


ENCODERS = FrozenEncoders(PixelImages(), HashEncoder(dim=16))


SIGNS = ["opacity", "effusion", "nodule", "fracture", "cyst", "polyp"]
PLACES = ["apex", "hilum", "base", "colon", "macula", "femur", "skin"]


def corpus(folder, rows):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows):
        for name in [row["image"]] if "image" in row else row.get("images", []):
            if not (folder / name).exists() and not row.get("lost"):
                colour = np.random.default_rng(number).integers(0, 255, (4, 4, 3)).astype(np.uint8)
                Image.fromarray(colour).save(folder / name)
    lines = [json.dumps({key: value for key, value in row.items() if key != "lost"}) for row in rows]
    (folder / "records.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def rows(n):
    return [
        {"id": f"r{i}", "image": f"images/{i}.png", "report": f"{SIGNS[i % 6]} {PLACES[i // 6]}", "domain": "chest"}
        for i in range(n)
    ]


def test_only_records_with_image_and_text_are_pairs_and_the_rest_is_counted(tmp_path):
    found = rows(31)
    found += [
        {"id": "text", "report": "only a text"},
        {"id": "image", "image": "images/x.png", "patient_id": "p"},
        {"id": "nobody", "image": "images/y.png"},
        {"id": "again", "image": "images/0.png", "report": "opacity   apex"},
        {"id": "lost", "image": "images/lost.png", "report": "a text", "lost": True},
    ]
    cases = read_pairs([corpus(tmp_path, found)])
    assert len(cases.passages) == len(set(cases.keys)) == 31
    assert dict(cases.left_out) == {"without_text": 2, "without_image": 1, "duplicates": 1}
    assert [passage.record for passage in cases.images_only] == ["image"]
    assert ["lost.png" in skipped.reason for skipped in cases.skipped] == [True]
    check_pairs(cases)


def test_the_same_records_in_two_corpora_count_once(tmp_path):
    first, second = corpus(tmp_path / "a", rows(30)), corpus(tmp_path / "b", rows(30))
    cases = read_pairs([first, second])
    assert len(cases.passages) == 30
    assert cases.left_out["duplicates"] == 30


def test_too_few_pairs_say_how_many_and_why(tmp_path):
    found = [
        *rows(29),
        {"id": "t", "report": "x"},
        {"id": "gone", "image": "images/g.png", "report": "y", "lost": True},
    ]
    with pytest.raises(UsageError, match=r"29 pairs.*1 without image, 1 unreadable.*at least 30"):
        check_pairs(read_pairs([corpus(tmp_path, found)]))


def test_records_without_texts_are_told_so(tmp_path):
    found = [{"id": f"r{i}", "image": f"images/{i}.png"} for i in range(40)]
    with pytest.raises(UsageError, match=r"0 pairs.*40 without text"):
        check_pairs(read_pairs([corpus(tmp_path, found)]))


def test_one_class_only_is_told_so(tmp_path):
    with pytest.raises(UsageError, match="only 1 different texts among 40 pairs"):
        check_pairs(read_pairs([corpus(tmp_path, [row | {"report": "pneumonia"} for row in rows(40)])]))


def test_a_path_that_does_not_exist_is_told_so(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        read_pairs([tmp_path / "absent"])


def test_a_patient_counts_before_a_case_and_corpora_are_kept_apart():
    def record(document, patient, study):
        return Passage("id", "case", document, "text", CaseLocator("r", patient, study))

    assert owner_of(record("a", "7", "s")) == owner_of(record("a", "7", "t"))
    assert owner_of(record("a", "7", "s")) != owner_of(record("b", "7", "s"))
    assert owner_of(record("a", None, "7")) != owner_of(record("a", "7", None))
    assert owner_of(record("a", None, None)) is None


def test_encoding_keeps_pairs_groups_and_images_without_text_in_step(tmp_path):
    found = [row | {"patient_id": f"p{i // 2}"} for i, row in enumerate(rows(32))]
    found[3] |= {"images": ["images/3.png", "images/3b.png"]}
    del found[3]["image"]
    found += [{"id": "later", "image": "images/later.png", "patient_id": "p0"}]
    heard = []
    encoded = encode_pairs(
        read_pairs([corpus(tmp_path, found)]), ENCODERS, lambda done, total: heard.append((done, total))
    )
    assert encoded.pairs.views.shape == (32, 1, 12)
    assert encoded.pairs.texts.shape == (32, 16)
    assert encoded.pairs.groups.tolist() == [i // 2 for i in range(32)]
    assert encoded.pairs.domains == ("chest",) * 32
    assert encoded.owners.tolist() == [*(i // 2 for i in range(32)), 0]
    assert encoded.owned_pairs.tolist() == [*range(32), -1]
    assert encoded.owned.shape == (33, 12)
    assert np.array_equal(encoded.owned[:32], encoded.pairs.images)
    assert heard[-1] == (65, 65)


def test_an_image_that_fails_to_decode_is_left_out_and_named(tmp_path):
    found = rows(33)
    found[5]["image"] = "images/bad.png"
    encoded = encode_pairs(read_pairs([corpus(tmp_path, found)]), ENCODERS)
    assert len(encoded.pairs) == len(encoded.keys) == 32
    assert [skipped.locator for skipped in encoded.skipped] == ["r5"]


def test_too_few_encodable_pairs_are_told_so(tmp_path):
    found = rows(30)
    found[5]["image"] = "images/bad.png"
    with pytest.raises(UsageError, match="only 29 of 30 pairs could be encoded"):
        encode_pairs(read_pairs([corpus(tmp_path, found)]), ENCODERS)
