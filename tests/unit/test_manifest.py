from dataclasses import replace

import pytest

from indexers.manifest import ChannelEntry, Manifest, read_manifest, write_manifest
from rag.errors import IndexMismatch, LibraryNotFound, StoreError

MANIFEST = Manifest(
    preset="embedded",
    channels=(
        ChannelEntry("page", "late", "multi", 128, "f16", "colbert-aaa"),
        ChannelEntry("page", "dense", "multi", 384, "f16", "bge-bbb"),
    ),
    sources="pdf-1",
)


def with_channel(**changes):
    first, second = MANIFEST.channels
    return replace(MANIFEST, channels=(replace(first, **changes), second))


def test_round_trip(tmp_path):
    write_manifest(tmp_path, MANIFEST)
    assert read_manifest(tmp_path) == MANIFEST
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_order_of_channels_does_not_matter():
    turned = replace(MANIFEST, channels=MANIFEST.channels[::-1])
    assert turned.fingerprint == MANIFEST.fingerprint
    MANIFEST.require(turned)


@pytest.mark.parametrize(
    ("other", "stored", "wanted"),
    [
        (with_channel(encoder="colbert-zzz"), "colbert-aaa", "colbert-zzz"),
        (with_channel(dim=96), "128", "96"),
        (with_channel(form="dense"), "multi", "dense"),
        (with_channel(storage="f32"), "f16", "f32"),
        (replace(MANIFEST, sources="pdf-2"), "pdf-1", "pdf-2"),
        (replace(MANIFEST, schema=2), "1", "2"),
        (replace(MANIFEST, channels=MANIFEST.channels[:1]), "bge-bbb", "absent"),
    ],
)
def test_every_single_difference_is_refused_and_both_values_are_named(other, stored, wanted):
    assert other.fingerprint != MANIFEST.fingerprint
    with pytest.raises(IndexMismatch) as caught:
        MANIFEST.require(other)
    assert stored in str(caught.value)
    assert wanted in str(caught.value)


def test_preset_name_alone_is_no_difference():
    MANIFEST.require(replace(MANIFEST, preset="mine"))


def test_absent_and_torn_manifests_are_named(tmp_path):
    with pytest.raises(LibraryNotFound, match="no library"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text('{"preset": "embedd')
    with pytest.raises(StoreError, match=r"manifest\.json"):
        read_manifest(tmp_path)
