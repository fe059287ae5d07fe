"""DICOM files as query images: a picture and three tags come out, or one clear message. Needs pydicom."""

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

from indexers.sources.query_images import QueryPictures
from rag.errors import QueryError
from rag.types import Query


def scan(path, **tags):
    dataset = Dataset()
    values = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": generate_uid(), "Modality": "CT", "PatientID": "MRN-88421",
        "PatientName": "Quillfeather^Zebulon", "BodyPartExamined": "CHEST", "BurnedInAnnotation": "NO", "Rows": 8,
        "Columns": 6, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16,
        "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0,
    }  # fmt: skip
    dataset.PixelData = np.arange(48, dtype=np.uint16).tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in (values | tags).items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_dicom_file_becomes_a_picture_once_and_goes_with_its_reader(tmp_path):
    path = scan(tmp_path / "a.dcm")
    pictures = QueryPictures()
    shown = pictures.readable(Query("what?", images=(path,), prior_images=(path,)))
    with Image.open(shown.images[0]) as image:
        assert (image.size, image.format, image.info) == ((6, 8), "PNG", {})
    assert shown.prior_images == shown.images
    assert dict(shown.tags) == {"Modality": "CT", "BodyPartExamined": "CHEST"}
    assert pictures.readable(Query("again?", images=(path,))).images == shown.images
    assert pictures.readable(shown) is shown
    pictures.close()
    assert not shown.images[0].exists()


def test_pictures_and_absent_files_stay_as_they_are(tmp_path):
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    query = Query(images=(tmp_path / "a.png", tmp_path / "gone.dcm"))
    assert QueryPictures().readable(query) is query


def test_a_file_that_changed_is_read_again(tmp_path):
    pictures = QueryPictures()
    first = pictures.readable(Query(images=(scan(tmp_path / "a.dcm"),)))
    second = pictures.readable(Query(images=(scan(tmp_path / "a.dcm", Modality="CR"),)))
    assert (first.tags["Modality"], second.tags["Modality"]) == ("CT", "CR")
    assert first.images != second.images


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"SOPClassUID": SecondaryCaptureImageStorage, "BurnedInAnnotation": ""}, "cases.burned_in=allow"),
        ({"Rows": 60000, "Columns": 60000}, "million pixels"),
        ({"PixelData": b""}, "promises more pixels|missing, damaged"),
    ],
)
def test_what_cannot_be_shown_is_refused_with_its_reason_and_no_name(tmp_path, tags, reason):
    path = scan(tmp_path / "a.dcm", **tags)
    with pytest.raises(QueryError, match=reason) as caught:
        QueryPictures().readable(Query(images=(path,)))
    assert "image a.dcm cannot be asked about" in str(caught.value)
    assert "Quillfeather" not in str(caught.value)


def test_burned_in_text_is_let_in_on_request(tmp_path):
    path = scan(tmp_path / "a.dcm", SOPClassUID=SecondaryCaptureImageStorage, BurnedInAnnotation="")
    assert QueryPictures("allow").readable(Query(images=(path,))).images[0].suffix == ".png"


def test_no_dicom_at_all_is_refused(tmp_path):
    (tmp_path / "scan.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 64)
    with pytest.raises(QueryError, match=r"image scan\.dcm cannot be asked about: the file does not say"):
        QueryPictures().readable(Query(images=(tmp_path / "scan.dcm",)))
