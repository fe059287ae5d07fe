"""Images are opened safely, upright and whole, and their vectors are laid out as said."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexers.encoders.image import ImageEncoder, ImageOptions, image_rows
from indexers.encoders.pictures import MEAN, STD, crops, model_input, open_picture
from indexers.model_lock import ModelFiles
from rag.errors import QueryError, SourceError
from rag.types import CaseLocator, Passage, Query


def saved(path: Path, pixels: np.ndarray, **options) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_16_bit_greyscale_keeps_its_contrast(tmp_path):
    # 12-bit values of a detector, as PNG: plain conversion would make all of it white.
    ramp = np.linspace(1000, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
    image = open_picture(saved(tmp_path / "deep.png", ramp))
    grey = np.asarray(image)[..., 0].ravel()
    assert image.mode == "RGB"
    assert np.all(np.diff(grey.astype(int)) >= 0)
    assert grey.min() < 5
    assert grey.max() > 250


@pytest.mark.parametrize("value", [0, 40000])
def test_a_flat_16_bit_image_is_flat(tmp_path, value):
    image = open_picture(saved(tmp_path / "flat.png", np.full((8, 8), value, np.uint16)))
    assert len(np.unique(np.asarray(image))) == 1


def test_a_float_image_with_gaps_is_read(tmp_path):
    values = np.arange(64, dtype=np.float32).reshape(8, 8)
    values[0, 0] = np.nan
    image = np.asarray(open_picture(saved(tmp_path / "f.tiff", values)))
    assert image[-1, -1, 0] == 255


def test_the_camera_s_orientation_is_applied(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate 90 degrees clockwise
    image = np.asarray(open_picture(saved(tmp_path / "turned.png", pixels, exif=exif)))
    assert image.shape == (40, 20, 3)
    assert image[:20].min() == 255
    assert image[20:].max() == 0


def test_transparent_parts_become_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[0, 0] = (200, 0, 0, 255)
    image = np.asarray(open_picture(saved(tmp_path / "figure.png", pixels)))
    assert image[0, 0].tolist() == [200, 0, 0]
    assert image[1, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("name", "content"),
    [("empty.png", b""), ("text.jpg", b"not an image"), ("bild-größe.png", b"\x89PNG\r\n\x1a\nbroken")],
)
def test_a_file_that_is_no_image_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=name):
        open_picture(tmp_path / name)


def test_a_truncated_image_is_named(tmp_path):
    rng = np.random.default_rng(0)
    path = saved(tmp_path / "half.jpg", rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(SourceError, match=r"half\.jpg cannot be read: it is damaged"):
        open_picture(path)


def test_a_format_outside_the_list_is_refused(tmp_path):
    path = saved(tmp_path / "icon.ico", np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(SourceError, match="it is none of JPEG"):
        open_picture(path)


@pytest.mark.parametrize("side", [7200, 9600, 13500, 100_000])
def test_an_enormous_image_is_refused_before_it_is_decoded(tmp_path, side):
    path = tmp_path / "bomb.png"
    chunks = {b"IHDR": struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0), b"IDAT": zlib.compress(b"\0"), b"IEND": b""}
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks.items()
        )
    )
    with pytest.raises(SourceError, match="50 million"):
        open_picture(path)


def test_absent_files_are_named_for_passages_and_queries(tmp_path):
    encoder = ImageEncoder(ModelFiles("m", tmp_path, "w"))
    absent = tmp_path / "absent.png"
    with pytest.raises(SourceError, match=r"absent\.png"):
        encoder.encode_passages([Passage("p", "case", "c", "", CaseLocator("r"), images=(absent,))])
    with pytest.raises(QueryError, match=r"absent\.png"):
        encoder.encode_queries([Query(images=(absent,))])


@pytest.mark.parametrize("aspect", ["stretch", "letterbox", "crop"])
def test_model_input_is_normalised(aspect):
    red = model_input(Image.new("RGB", (80, 40), (255, 0, 0)), 224, aspect)
    assert red.shape == (3, 224, 224)
    assert red.dtype == np.float32
    np.testing.assert_allclose(red[:, 112, 112], (np.array([1, 0, 0]) - MEAN) / STD, atol=1e-5)


def test_aspects_keep_what_they_say():
    pixels = np.zeros((100, 300, 3), np.uint8)
    pixels[:, :30] = 255  # a bright edge, 10 % of the width
    image = Image.fromarray(pixels)
    bright = {aspect: model_input(image, 224, aspect)[0] > 1 for aspect in ("stretch", "letterbox", "crop")}
    assert bright["stretch"].mean() == pytest.approx(0.1, abs=0.02)
    assert bright["letterbox"].mean() == pytest.approx(0.1 / 3, abs=0.02)
    assert bright["crop"].mean() == 0


def test_rows_of_an_image_are_class_mean_or_grid():
    tokens = np.random.default_rng(1).standard_normal((257, 384)).astype(np.float32)
    tokens[1:] += np.repeat(np.arange(16), 16)[:, None]
    assert image_rows(tokens, ImageOptions(view="class")).shape == (1, 384)
    joined = image_rows(tokens, ImageOptions(view="class_mean"))
    assert joined.shape == (1, 768)
    np.testing.assert_allclose(np.linalg.norm(joined[:, :384]), np.linalg.norm(joined[:, 384:]), atol=1e-5)
    for pool, n_rows in ((1, 256), (2, 64), (4, 16)):
        rows = image_rows(tokens, ImageOptions(view="patches", pool=pool))
        assert rows.shape == (n_rows, 384)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    top_left = tokens[1:].reshape(16, 16, 384)[:4, :4].mean(axis=(0, 1))
    pooled = image_rows(tokens, ImageOptions(view="patches", pool=4))
    np.testing.assert_allclose(pooled[0], top_left / np.linalg.norm(top_left), atol=1e-5)


@pytest.mark.parametrize("size", [(100, 50), (3, 2), (1, 1)])
def test_crops_are_four_corners_and_the_centre(size):
    found = crops(Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size[1], size[0])))
    assert len(found) == 5
    assert {crop.size for crop in found} == {(max(1, round(size[0] * 0.8)), max(1, round(size[1] * 0.8)))}
    whole = {crop.tobytes() for crop in found}
    assert len(whole) == (5 if size == (100, 50) else len(whole))
