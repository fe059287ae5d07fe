"""Images of a prompt: decoded here, encoded anew, or refused with one clear message."""

import base64
import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rag.chat import ImagePart
from rag.errors import QueryError
from rag.generators.vllm_images import LONGEST, SHORTEST, data_uri, fitted

BUDGET = 1_000_000


def decoded(uri):
    head, _, data = uri.partition(";base64,")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{image.format.lower()}"
    return image


def saved(path, array, **more):
    Image.fromarray(array).save(path, **more)
    return path


def noise(height, width):
    return np.random.default_rng(5).integers(0, 255, (height, width, 3), dtype=np.uint8)


def png_header(width, height):
    """A PNG whose header claims a size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return head + struct.pack(">I", 1000) + b"IDAT" + b"x" * 20


def test_a_photograph_is_sent_as_jpeg_within_the_budget(tmp_path):
    path = saved(tmp_path / "a.png", noise(1500, 2000))
    image = decoded(data_uri(ImagePart(path), BUDGET))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    assert 0.97 * BUDGET <= image.width * image.height <= BUDGET
    assert image.width / image.height == pytest.approx(4 / 3, rel=0.01)


def test_a_drawing_stays_png_and_keeps_its_pixels(tmp_path):
    pixels = np.zeros((100, 120, 3), np.uint8)
    pixels[20:40, 30:60] = (255, 0, 0)
    image = decoded(data_uri(ImagePart(saved(tmp_path / "a.png", pixels)), BUDGET))
    assert image.format == "PNG"
    assert np.array_equal(np.asarray(image), pixels)


def test_metadata_of_the_file_stays_here(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "Jane Doe, born 1960"
    path = saved(tmp_path / "a.jpg", noise(64, 64), exif=exif, comment=b"Jane Doe")
    assert b"Jane" in path.read_bytes()
    assert b"Jane" not in base64.b64decode(data_uri(ImagePart(path), BUDGET).partition(",")[2])


def test_a_picture_taken_sideways_is_sent_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = decoded(data_uri(ImagePart(saved(tmp_path / "a.jpg", noise(64, 128), exif=exif)), BUDGET))
    assert image.size == (64, 128)


def test_the_crop_is_what_is_sent(tmp_path):
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[50:, 100:] = (0, 0, 255)
    part = ImagePart(saved(tmp_path / "a.png", pixels), (0.5, 0.5, 1.0, 1.0))
    image = decoded(data_uri(part, BUDGET))
    assert image.size == (100, 50)
    assert np.asarray(image).reshape(-1, 3).tolist() == [[0, 0, 255]] * 5000


def test_a_tiny_crop_is_large_enough_for_a_patch(tmp_path):
    part = ImagePart(saved(tmp_path / "a.png", noise(100, 100)), (0.5, 0.5, 0.5001, 0.5001))
    assert decoded(data_uri(part, BUDGET)).size == (SHORTEST, SHORTEST)


@pytest.mark.parametrize(
    "crop", [(0.5, 0.5, 0.5, 1.0), (0.6, 0, 0.4, 1), (-0.1, 0, 1, 1), (0, 0, 1.1, 1), (float("nan"), 0, 1, 1)]
)
def test_a_crop_that_is_no_box_is_refused(tmp_path, crop):
    with pytest.raises(QueryError, match="crop"):
        data_uri(ImagePart(saved(tmp_path / "a.png", noise(50, 50)), crop), BUDGET)


def test_sixteen_bits_of_grey_are_spread_not_clipped(tmp_path):
    deep = np.linspace(1000, 3000, 64 * 64).astype(np.uint16).reshape(64, 64)
    Image.fromarray(deep).save(tmp_path / "a.png")
    shown = np.asarray(decoded(data_uri(ImagePart(tmp_path / "a.png"), BUDGET)), np.int64)
    assert shown.min() < 10
    assert shown.max() > 245
    assert len(np.unique(shown)) > 100


def test_what_is_transparent_is_white(tmp_path):
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert np.asarray(decoded(data_uri(ImagePart(tmp_path / "a.png"), BUDGET))).min() == 255


def test_the_same_file_gives_the_same_bytes(tmp_path):
    part = ImagePart(saved(tmp_path / "a.png", noise(300, 300)))
    assert data_uri(part, BUDGET) == data_uri(part, BUDGET)


def moving(path):
    """Three frames in one file."""
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def cut(path):
    """A JPEG without its end."""
    saved(path, noise(40, 40))
    path.write_bytes(path.read_bytes()[:400])


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:1/"/></svg>'
REFUSED = {
    "nothing": (lambda path: None, "no image"),
    "empty.png": (lambda path: path.write_bytes(b""), "0 bytes"),
    "text.png": (lambda path: path.write_text("not a picture"), "none of"),
    "vector.svg": (lambda path: path.write_bytes(SVG), "none of"),
    "huge.png": (lambda path: path.write_bytes(png_header(10_000, 10_001)), "million"),
    "vast.png": (lambda path: path.write_bytes(png_header(2**31 - 1, 2**31 - 1)), "million"),
    "flat.png": (lambda path: path.write_bytes(png_header(0, 5)), "0 x 5|none of|damaged"),
    "moving.gif": (moving, "several frames"),
    "moving.png": (moving, "several frames"),
    "stack.tif": (moving, "several frames"),
    "cut.jpg": (cut, "damaged"),
    "pipe": (os.mkfifo, "not a file"),
    "folder": (lambda path: path.mkdir(), "not a file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_cannot_be_shown_is_refused_with_its_name_and_reason(tmp_path, name):
    make, words = REFUSED[name]
    make(tmp_path / name)
    with pytest.raises(QueryError, match=words) as caught:
        data_uri(ImagePart(tmp_path / name), BUDGET)
    assert name in str(caught.value)


@settings(deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.integers(100_000, 3_000_000))
def test_sizes_stay_within_every_limit(width, height, pixels):
    w, h = fitted(width, height, pixels)
    assert SHORTEST <= w <= LONGEST
    assert SHORTEST <= h <= LONGEST
    # A side at its least may cost what the other saved: never more than one strip.
    assert w * h <= max(pixels, SHORTEST * LONGEST)
    assert w <= max(width, SHORTEST)
    assert h <= max(height, SHORTEST)


@settings(deadline=None)
@given(
    st.binary(max_size=300),
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"RIFF", b"GIF89a", b"BM", b"II*\x00"]),
)
def test_junk_is_only_ever_refused(tmp_path_factory, junk, magic):
    path = tmp_path_factory.mktemp("junk") / "a"
    path.write_bytes(magic + junk)
    with pytest.raises(QueryError):
        data_uri(ImagePart(path), BUDGET)
