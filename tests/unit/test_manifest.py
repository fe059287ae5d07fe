from dataclasses import replace

import pytest

from indexers.manifest import ChannelEntry, Manifest, load_manifest, read_manifest, write_manifest
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


def test_all_differences_are_listed_not_only_the_first():
    other = replace(with_channel(dim=96, encoder="colbert-zzz"), sources="pdf-2")
    found = {(item.field, item.stored, item.wanted) for item in MANIFEST.differences(other)}
    assert found == {
        ("source reading", "pdf-1", "pdf-2"),
        ("page.late dim", "128", "96"),
        ("page.late encoder", "colbert-aaa", "colbert-zzz"),
    }
    assert MANIFEST.differences(MANIFEST) == []


def test_changed_settings_leave_out_where_vectors_live():
    stored = replace(MANIFEST, settings={"visual": {"pool_factor": 1, "model": "a"}, "store": {"prefix": "x"}})
    wanted = replace(MANIFEST, settings={"visual": {"pool_factor": 3, "model": "a"}, "store": {"prefix": "y"}})
    [found] = stored.changed_settings(wanted)
    assert (found.field, found.stored, found.wanted) == ("visual.pool_factor", "1", "3")


def test_settings_read_from_a_file_equal_those_they_were_written_from(tmp_path):
    manifest = replace(MANIFEST, settings={"channels": {"pages": ("late", "dense")}})
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path).changed_settings(manifest) == []


def test_a_manifest_that_is_no_file_is_an_error_of_ours(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        load_manifest(tmp_path / "nothing.json")
