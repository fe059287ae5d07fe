"""Image files and image paths from outside."""

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from indexers.sources.images import check_image, resolve_inside
from indexers.sources.page_images import PageImageParser
from rag.errors import SourceError


def enormous_png() -> bytes:
    """The header of a PNG of 60,000 x 60,000 pixels, and little else."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\x00" * 999))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
def test_good_images_are_measured(tmp_path: Path, form: str) -> None:
    Image.new("RGB", (31, 17), (9, 99, 199)).save(tmp_path / "scan", form)
    assert check_image(tmp_path / "scan") == (31, 17)


def test_bad_images_are_refused_with_a_reason(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 80).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    Image.new("P", (9, 9)).save(tmp_path / "moving.gif")
    for name, content, reason in [
        ("enormous.png", enormous_png(), "60000 x 60000|too large"),
        ("cut.png", whole[: len(whole) // 2], "corrupt"),
        ("text.png", b"no image at all", "not a PNG"),
        ("empty.png", b"", "not a PNG"),
        ("gif.png", (tmp_path / "moving.gif").read_bytes(), "not a PNG"),
        ("scan.dcm", b"DICM", "DICOM"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=reason):
            check_image(tmp_path / name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["..", ".", "a", "a.png", "/", "\\", "etc", "C:", "\x00", "out", " ", "~", "…"]), max_size=6
    )
)
def test_no_path_leaves_the_folder(tmp_path: Path, parts: list[str]) -> None:
    folder = tmp_path / "corpus"
    if not folder.exists():
        (folder / "a").mkdir(parents=True)
        (folder / "a" / "a.png").write_bytes(b"inside")
        (tmp_path / "a.png").write_bytes(b"outside")
        (folder / "out").symlink_to(tmp_path)
    for joined in ("/".join(parts), "".join(parts)):
        try:
            found = resolve_inside(folder, joined)
        except SourceError:
            continue
        assert found.read_bytes() == b"inside"


def test_a_page_image_is_a_book_of_one_page(tmp_path: Path) -> None:
    Image.new("CMYK", (300, 150)).save(tmp_path / "scan.tif")
    parser = PageImageParser(tmp_path / "images")
    document = parser.open(tmp_path / "scan.tif")
    (unit,) = parser.parse(document, ())
    assert (document.name, document.units, unit.passages[0].page) == ("scan", 1, 1)
    with Image.open(unit.passages[0].images[0]) as image:
        assert image.size == (300, 150)
    assert list(parser.parse(document, {unit.key})) == []
    (tmp_path / "bad.png").write_bytes(enormous_png())
    with pytest.raises(SourceError):
        parser.open(tmp_path / "bad.png")


@pytest.mark.parametrize("name", ["scan.dcm", "scan", "1.2.840.1", "scan.png"])
def test_a_dicom_file_is_told_from_a_picture_and_what_to_do_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 64)
    with pytest.raises(SourceError, match="index the DICOM file itself with --cases"):
        check_image(tmp_path / name)
