"""The perceptual hash: copies stay near, other pictures are far, and bad files never stop a guard."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from indexers.sources.perceptual import ImageKeys, image_key, perceptual_hash, with_image_keys
from rag.errors import SourceError
from rag.leakage import HASH_BITS, Guard, same_key
from rag.types import CaseLocator, Passage

RADIUS = Guard().radius


def picture(seed, size=(360, 300)):
    """Blurred blobs on a gradient: smooth, like most medical images."""
    rng = np.random.default_rng(seed)
    canvas = Image.new("RGB", size, tuple(int(v) for v in rng.integers(20, 90, 3)))
    draw = ImageDraw.Draw(canvas)
    for _ in range(14):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(15, 90)
        draw.ellipse(
            [int(x - r), int(y - r), int(x + r), int(y + r)], fill=tuple(int(v) for v in rng.integers(0, 230, 3))
        )
    return canvas.resize((45, 38)).resize(size, Image.Resampling.BICUBIC)


def recompressed(image):
    data = io.BytesIO()
    image.save(data, "JPEG", quality=40)
    return Image.open(data).convert("RGB")


EDITS = {
    "half": lambda image: image.resize((image.width // 2, image.height // 2)),
    "stretched": lambda image: image.resize((224, 224), Image.Resampling.BICUBIC),
    "compressed": recompressed,
    "darker": ImageEnhance.Brightness,
    "grey": lambda image: image.convert("L"),
    "opaque": lambda image: image.convert("RGBA"),
}


def edited(name, image):
    made = EDITS[name](image)
    return made.enhance(0.8) if isinstance(made, ImageEnhance.Brightness) else made


def bits_apart(one, other):
    return (int(one, 16) ^ int(other, 16)).bit_count()


def saved(path, image):
    image.save(path)
    return path


@pytest.mark.parametrize("edit", EDITS)
def test_a_copy_is_recognised_and_another_picture_is_not(tmp_path, edit):
    others = [perceptual_hash(saved(tmp_path / f"{seed}.png", picture(seed))) for seed in range(6)]
    for seed in range(6):
        copy = perceptual_hash(saved(tmp_path / f"copy{seed}.png", edited(edit, picture(seed))))
        assert [same_key(copy, key, RADIUS) for key in others] == [place == seed for place in range(6)]


def test_the_hash_has_its_length_and_does_not_depend_on_the_format(tmp_path):
    image = picture(3, (900, 700))
    keys = [perceptual_hash(saved(tmp_path / f"a.{ending}", image)) for ending in ("png", "jpg", "bmp", "tif")]
    assert {len(key) for key in keys} == {HASH_BITS // 4}
    # A JPEG is decoded smaller than it is.
    assert max(bits_apart(a, b) for a, b in itertools.combinations(keys, 2)) <= RADIUS // 2


def test_deep_grey_keeps_its_range_and_a_turned_photo_stands_upright(tmp_path):
    grey = picture(4).convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 16)
    assert (
        bits_apart(perceptual_hash(saved(tmp_path / "g.png", grey)), perceptual_hash(saved(tmp_path / "d.png", deep)))
        <= 4
    )
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side, to be turned by 90 degrees to the right
    grey.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert same_key(perceptual_hash(tmp_path / "g.png"), perceptual_hash(tmp_path / "turned.png"), RADIUS)


def test_an_even_tone_has_no_hash_and_is_known_by_its_bytes(tmp_path):
    flat = saved(tmp_path / "flat.png", Image.new("L", (80, 80), 128))
    same = saved(tmp_path / "same.png", Image.new("L", (80, 80), 128))
    other = saved(tmp_path / "other.png", Image.new("L", (80, 81), 128))
    assert perceptual_hash(flat) is None
    assert image_key(flat) == image_key(same) != image_key(other)


def test_a_bad_file_is_named_and_never_stops_a_guard(tmp_path):
    for name, content in {
        "text.png": b"no image",
        "cut.png": saved(tmp_path / "x.png", picture(1)).read_bytes()[:900],
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=name):
            perceptual_hash(tmp_path / name)
        assert image_key(tmp_path / name).startswith("sha256:")
    with pytest.raises(SourceError, match="does not exist"):
        perceptual_hash(tmp_path / "gone.png")
    assert image_key(tmp_path / "gone.png") is None


def test_stored_keys_are_used_and_others_computed_once(tmp_path):
    path = saved(tmp_path / "a.png", picture(2))
    stored = Passage("a", "case", "cxr", "", CaseLocator("a"), (path,), {"phash": "ab" * 32})
    plain = Passage("b", "case", "cxr", "", CaseLocator("b"), (path, tmp_path / "gone.png"))
    keys = ImageKeys()
    assert keys.of_passage(stored) == ("ab" * 32,)
    first = keys.of_passage(plain)
    assert first == (perceptual_hash(path),)
    path.unlink()
    assert keys.of_passage(plain) == first


def test_passages_are_given_one_key_per_image(tmp_path):
    paths = (saved(tmp_path / "a.png", picture(1)), saved(tmp_path / "flat.png", Image.new("L", (9, 9))))
    passage = Passage("r", "case", "films", "text", CaseLocator("r"), paths, {"view": "AP"})
    keyed = with_image_keys(passage)
    assert keyed.meta == {"view": "AP", "phash": f"{image_key(paths[0])} {image_key(paths[1])}"}
    assert ImageKeys().of_passage(keyed) == (image_key(paths[0]), image_key(paths[1]))
    gone = Passage("r", "case", "films", "text", CaseLocator("r"), (*paths, tmp_path / "gone.png"))
    assert with_image_keys(gone) == gone
    words = Passage("r", "case", "films", "text", CaseLocator("r"))
    assert with_image_keys(words) == words
