"""Frames of a DICOM file as pictures of eight bits: unpacked, windowed and made small, with limits checked first."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from indexers.sources.dicom_header import Header, PixelShape, guarded
from indexers.sources.images import MAX_PIXELS
from rag.errors import SourceError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MAX_TOTAL_BYTES = 4 << 30
"""Bytes of all frames, unpacked. Only the chosen frames are unpacked, but a header beyond this is no picture's."""
_NATIVE = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"})
_RUN_LENGTH = "1.2.840.10008.1.2.5"
_RUN_LENGTH_SLACK = 1 << 20
_PERCENTILES = (0.5, 99.5)
"""Shown range of a picture that names no window: nearly all values, without the few that are noise or metal."""
_COLOURS = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_NEEDED = (
    "PhotometricInterpretation", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "VOILUTSequence", "PixelPaddingValue", *_GROUPS,
)  # fmt: skip
Array = npt.NDArray[Any]


def check_shape(header: Header) -> PixelShape:
    """The shape of the pixels, when it may be unpacked. Raises SourceError before anything is."""
    shape = header.shape
    if shape is None:
        raise SourceError("the file has no pixels", stage="image")
    if shape.frame_pixels > MAX_PIXELS or shape.n_bytes > MAX_TOTAL_BYTES:
        raise SourceError(
            f"the header promises {shape.columns} x {shape.rows} pixels in {shape.frames} frames; "
            f"{MAX_PIXELS // 1_000_000} million pixels of a frame and {MAX_TOTAL_BYTES >> 30} GB in all are the limit",
            stage="image",
        )
    if shape.samples not in {1, 3}:
        raise SourceError(f"{shape.samples} samples per pixel are not read, only 1 or 3", stage="image")
    if header.transfer_syntax in _NATIVE and shape.n_bytes > header.file_bytes:
        raise SourceError("the header promises more pixels than the file holds", stage="image")
    if header.transfer_syntax == _RUN_LENGTH and header.file_bytes > 2 * shape.n_bytes + _RUN_LENGTH_SLACK:
        # Runs unpack to 64 times their size; packed pixels larger than plain ones are no picture's.
        raise SourceError("the packed pixels are larger than what they should unpack to", stage="image")
    return shape


def chosen_frames(n_frames: int, wanted: int) -> list[int]:
    """Frames evenly spread over all, from 0: the middle one when one is wanted."""
    count = max(1, min(wanted, n_frames))
    return [(2 * number + 1) * n_frames // (2 * count) for number in range(count)]


def frame_pictures(path: Path, header: Header, wanted: int, side: int) -> list[bytes]:
    """PNG files of the chosen frames, without any metadata, their longer side at most `side` pixels.

    Raises SourceError when the pixels cannot be unpacked.
    """
    frames = chosen_frames(check_shape(header).frames, wanted)
    with guarded("the pixels are missing, damaged or cut off", "image"):
        from pydicom.dataset import Dataset
        from pydicom.pixels import get_decoder, iter_pixels
        from pydicom.tag import Tag

        decoder = get_decoder(header.transfer_syntax)
        if not decoder.is_available:
            raise SourceError(
                f"the pixels are packed as {decoder.UID.name}, for which no decoder is installed; "
                "install pylibjpeg with its plugins, or convert the file to an uncompressed one",
                stage="image",
            )
        dataset = Dataset()
        tags = [Tag(keyword) for keyword in _NEEDED]
        pixels = iter_pixels(path, indices=frames, ds_out=dataset, specific_tags=tags)
        return [_png(_eight_bits(array, dataset, index), side) for index, array in zip(frames, pixels, strict=True)]


def _eight_bits(array: Array, dataset: Dataset, index: int) -> npt.NDArray[np.uint8]:
    kind = str(dataset.get("PhotometricInterpretation", "")).strip().upper()
    if kind == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        return _scaled_colours(apply_color_lut(array, dataset))
    if array.ndim == len(("row", "column", "sample")):
        if kind not in _COLOURS:
            raise SourceError("colours of this kind are not read", stage="image")
        # pydicom has turned the YBR kinds into RGB.
        return _scaled_colours(array, int(dataset.get("BitsStored", 8)))
    if not kind.startswith("MONOCHROME"):
        raise SourceError("pixels of this kind are not read", stage="image")
    shown = _windowed(_own_bits(array, dataset), dataset, index)
    if kind == "MONOCHROME1":
        shown = 1 - shown
    return np.asarray(np.rint(shown * 255), dtype=np.uint8)


def _scaled_colours(array: Array, bits: int = 0) -> npt.NDArray[np.uint8]:
    bits = bits or array.dtype.itemsize * 8
    return np.asarray(array[..., :3] >> max(bits - 8, 0), dtype=np.uint8)


def _own_bits(array: Array, dataset: Dataset) -> Array:
    """The values without the bits above them, in which old files keep overlays such as the patient's name."""
    if array.dtype.kind not in "iu":
        return array
    stored = int(dataset.get("BitsStored", array.dtype.itemsize * 8))
    if not 0 < stored < array.dtype.itemsize * 8 or int(dataset.get("HighBit", stored - 1)) != stored - 1:
        return array
    values = array.astype(np.int64) & ((1 << stored) - 1)
    if array.dtype.kind == "i":
        values = np.where(values >= 1 << (stored - 1), values - (1 << stored), values)
    return values


def _windowed(stored: Array, dataset: Dataset, index: int) -> Array:
    """Stored values as shares of black to white, in [0, 1] (PS3.3 C.11.1 and C.11.2)."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    _lift_groups(dataset, index)
    values = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float64)
    if dataset.get("VOILUTSequence"):
        bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        looked_up = np.asarray(apply_voi(values.astype(np.int64), dataset), dtype=np.float64)
        return np.asarray(np.clip(looked_up / (2**bits - 1), 0, 1))
    centre, width = (_first(dataset.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width > 0:
        return _through_window(values, centre, width, str(dataset.get("VOILUTFunction", "LINEAR")).strip().upper())
    padding = _first(dataset.get("PixelPaddingValue"))
    body = values[stored != padding] if padding is not None else values.ravel()
    low, high = np.percentile(body, _PERCENTILES) if body.size else (0.0, 0.0)
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)


def _through_window(values: Array, centre: float, width: float, function: str) -> Array:
    """Formulas of PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -60, 60)))
    if function == "LINEAR_EXACT":
        return np.clip((values - centre) / width + 0.5, 0, 1)
    if width <= 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)


def _lift_groups(dataset: Dataset, index: int) -> None:
    """Bring a frame's own rescaling and window to where plain files have them."""
    for keyword, position in zip(_GROUPS, (0, index), strict=True):
        groups = dataset.get(keyword)
        if not groups or position >= len(groups):
            continue
        for name in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for element in (groups[position].get(name) or [()])[0]:
                if element.keyword in _NEEDED:
                    dataset[element.tag] = element


def _first(value: object) -> float | None:
    """The first number of an element with one or several."""
    if value is None or value == "":
        return None
    found = float(str(value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value))
    return found if np.isfinite(found) else None


def _png(pixels: npt.NDArray[np.uint8], side: int) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()
