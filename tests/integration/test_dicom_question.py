"""A DICOM file in a question, through the command: its picture is found again, its Modality decides the domain."""

import json

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from pipelines.library import Library
from rag.cli.app import main


def as_dicom(picture, path):
    with Image.open(picture) as image:
        pixels = np.asarray(image.convert("RGB"))
    dataset = Dataset()
    for keyword, value in {
        "SOPClassUID": ComputedRadiographyImageStorage, "SOPInstanceUID": generate_uid(), "Modality": "CR",
        "PatientName": "Quillfeather^Zebulon", "BurnedInAnnotation": "NO", "Rows": pixels.shape[0],
        "Columns": pixels.shape[1], "SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "BitsAllocated": 8,
        "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0, "PlanarConfiguration": 0,
        "PixelData": pixels.tobytes() + b"\0" * (pixels.size % 2),
    }.items():  # fmt: skip
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_dicom_file_is_searched_and_asked_with(sample_folder, tmp_path, capsys):
    with Library.open(sample_folder) as opened:
        case = next(passage for passage in opened.passages("case") if passage.images)
    scan = as_dicom(case.images[0], tmp_path / "scan.dcm")
    library = ["--library", str(sample_folder), "--json"]
    assert main(["search", "--image", str(scan), "--in", "cases", "-k", "3", *library]) == 0
    found = json.loads(capsys.readouterr().out)
    row = found[0] if isinstance(found, list) else found
    assert row["hits"][0]["record"] == case.record
    assert row["route"]["reasons"][0] == "tag Modality CR: radiograph"
    page = tmp_path / "answer.html"
    assert main(["ask", "What is shown?", "--image", str(scan), "--html", str(page), *library]) in (0, 1)
    text = page.read_text(encoding="utf-8")
    assert "Image asked about" in text
    assert "could not be shown" not in text
    assert "Quillfeather" not in text + capsys.readouterr().out


def test_a_document_that_is_not_there_is_refused_with_the_nearest(sample_folder, capsys):
    with Library.open(sample_folder) as opened:
        document = next(opened.passages("page")).document
    command = ["search", "artery", "--library", str(sample_folder), "--filter", f"document={document}s"]
    assert main(command) == 2
    assert f"did you mean '{document}'" in capsys.readouterr().err
