"""DICOM as cases: what comes in, what stays out, and what no library may ever hold. Needs pydicom."""

import io
import stat
import struct
import zlib
from datetime import date

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComprehensiveSRStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
    generate_uid,
)

from indexers.sources.dicom import DicomOptions, DicomParser
from indexers.sources.dicom_files import dicom_files, is_dicom_file
from indexers.sources.dicom_pixels import chosen_frames
from indexers.sources.dicom_privacy import age_band, library_salt, pseudonym, read_salt, study_date
from indexers.sources.dicom_text import plain
from rag.errors import SourceError, UsageError
from rag.protocols import Parser

SALT = bytes(range(32))
CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def scan(pixels=None, **tags):
    """A file's dataset: a small CT of one frame unless tags say otherwise. None takes a tag out."""
    dataset = Dataset()
    values = {
        "SOPClassUID": CT, "SOPInstanceUID": generate_uid(), "StudyInstanceUID": "1.2.3.4", "Modality": "CT",
        "PatientID": "MRN-88421", "PatientName": "Quillfeather^Zebulon", "StudyDate": "20240131", "PatientSex": "F",
        "PatientAge": "067Y", "BodyPartExamined": "CHEST", "BurnedInAnnotation": "NO",
    }  # fmt: skip
    if pixels is None:
        pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    if pixels is not False:
        bits = pixels.dtype.itemsize * 8
        values |= {
            "Rows": pixels.shape[-2] if pixels.ndim < 3 or pixels.shape[-1] != 3 else pixels.shape[-3],
            "Columns": pixels.shape[-1] if pixels.ndim < 3 or pixels.shape[-1] != 3 else pixels.shape[-2],
            "SamplesPerPixel": 3 if pixels.ndim > 2 and pixels.shape[-1] == 3 else 1,
            "PhotometricInterpretation": "RGB" if pixels.ndim > 2 and pixels.shape[-1] == 3 else "MONOCHROME2",
            "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1,
            "PixelRepresentation": int(pixels.dtype.kind == "i"), "PlanarConfiguration": 0,
        }  # fmt: skip
        dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
        dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    for keyword, value in (values | tags).items():
        if value is None:
            dataset.pop(keyword, None)
        else:
            setattr(dataset, keyword, value)
    return dataset


def save(path, dataset, syntax=ExplicitVRLittleEndian):
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def parsed(path, images, **options):
    parser = DicomParser(images, SALT, DicomOptions(**options))
    units = list(parser.parse(parser.open(path), ()))
    return [p for u in units for p in u.passages], [s for u in units for s in u.skipped]


@pytest.fixture
def read(tmp_path):
    """Parse one dataset given as a file of a folder; its passage's pixels, or the reason why there is none."""

    def run(dataset, syntax=ExplicitVRLittleEndian, **options):
        save(tmp_path / "scans" / "a.dcm", dataset, syntax)
        save(tmp_path / "scans" / "other.dcm", scan())
        passages, skipped = parsed(tmp_path / "scans", tmp_path / "images", **options)
        assert len(passages) + len(skipped) == 2
        if skipped:
            return skipped[0].reason
        passage = next(p for p in passages if p.locator.record == pseudonym(SALT, "instance", dataset.SOPInstanceUID))
        return passage if not passage.images else (passage, np.asarray(Image.open(passage.images[0])))

    return run


def test_a_file_becomes_a_case_with_pseudonyms_and_few_tags(tmp_path):
    save(tmp_path / "in" / "x.dcm", scan(StudyDescription="CT CHEST for Mrs Quillfeather 88421", ViewPosition="AP"))
    save(tmp_path / "in" / "y", scan(StudyDate="20240210", StudyInstanceUID="1.2.3.5"))
    passages, skipped = parsed(tmp_path / "in", tmp_path / "images")
    assert not skipped
    first, second = passages
    meta = dict(first.meta)
    assert meta.pop("phash")  # the leakage guard knows the picture again
    assert meta == {
        "domain": "radiology", "modality": "CT", "body_part": "chest", "view": "AP", "age": "60-69 years",
        "sex": "female", "source": "DICOM",
    }  # fmt: skip
    assert first.text == "CT: chest, AP view. Study: ct chest"
    assert (first.locator.day, second.locator.day) == (0.0, 10.0)
    assert first.locator.patient == second.locator.patient == pseudonym(SALT, "patient", "\x1fMRN-88421")
    assert first.locator.study != second.locator.study
    assert isinstance(DicomParser(tmp_path), Parser)


def test_the_same_folder_gives_the_same_document_units_and_ids(tmp_path):
    for number in range(20):
        save(tmp_path / "in" / f"{number}.dcm", scan())
    parser = DicomParser(tmp_path / "images", SALT)
    document = parser.open(tmp_path / "in")
    units = list(parser.parse(document, ()))
    assert document.units == len(units) == 2
    again = DicomParser(tmp_path / "images", SALT)
    assert list(again.parse(again.open(tmp_path / "in"), {units[0].key})) == units[1:]
    other = DicomParser(tmp_path / "images", bytes(32))
    found = other.open(tmp_path / "in")
    assert found.sha256 != document.sha256
    assert found.name != document.name


def test_window_rescale_and_inverted_grey(read):
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8)
    _, pixels = read(scan(ramp, RescaleSlope=2, RescaleIntercept=-20, WindowCenter=50.5, WindowWidth=101))
    assert pixels.dtype == np.uint8
    assert (pixels.flat[10], pixels.flat[60], pixels.flat[35]) == (0, 255, 128)
    _, inverted = read(scan(ramp, PhotometricInterpretation="MONOCHROME1"))
    assert inverted.flat[0] == 255
    assert inverted.flat[63] == 0


def test_twelve_bits_keep_no_overlay_of_the_upper_bits(read):
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 64
    _, clean = read(scan(values, BitsStored=12, HighBit=11))
    with_overlay = values | np.where(np.eye(8, dtype=bool), 0x8000, 0).astype(np.uint16)
    _, pixels = read(scan(with_overlay, BitsStored=12, HighBit=11))
    assert np.array_equal(pixels, clean)
    assert clean.flat[63] == 255


def test_signed_values_padding_and_sigmoid(read):
    values = np.linspace(-1000, 1000, 64).astype(np.int16).reshape(8, 8)
    values[0, 0] = -2000
    _, pixels = read(scan(values, PixelPaddingValue=-2000))
    assert pixels[0, 0] == 0
    assert pixels.flat[1] < 5
    assert pixels.flat[63] == 255
    _, soft = read(scan(values, WindowCenter=0, WindowWidth=500, VOILUTFunction="SIGMOID"))
    assert np.all(np.diff(soft.astype(int).flat[1:]) >= 0)
    assert abs(int(soft.flat[32]) - 128) < 12


def test_palette_colour(read):
    dataset = scan(np.tile(np.array([0, 1], np.uint8), (8, 4)), PhotometricInterpretation="PALETTE COLOR")
    for colour, table in {"Red": (255, 0), "Green": (0, 255), "Blue": (0, 0)}.items():
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [2, 0, 8])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", bytes(table))
    _, pixels = read(dataset)
    assert pixels.shape == (8, 8, 3)
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[0, 1].tolist() == [0, 255, 0]


def test_rgb_ybr_and_run_lengths(read):
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    _, pixels = read(scan(red))
    assert pixels[0, 0].tolist() == [200, 0, 0]
    ybr = np.tile(np.array([60, 94, 228], np.uint8), (8, 8, 1))
    _, pixels = read(scan(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(pixels[0, 0].astype(int) - [200, 0, 0]).max() < 4
    dataset = scan()
    expected = read(dataset)[1]
    dataset.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(read(dataset, RLELossless)[1], expected)


def test_jpeg_inside(read):
    stream = io.BytesIO()
    Image.new("L", (16, 16), 130).save(stream, "JPEG")
    dataset = scan(np.zeros((16, 16), np.uint8), WindowCenter=127.5, WindowWidth=256)
    dataset.PixelData = encapsulate([stream.getvalue()])
    _, pixels = read(dataset, JPEGBaseline8Bit)
    assert abs(int(pixels[3, 3]) - 130) < 3


def test_frames_are_the_middle_or_spread(tmp_path):
    assert (chosen_frames(1, 1), chosen_frames(9, 1), chosen_frames(9, 3), chosen_frames(2, 5)) == (
        [0], [4], [1, 4, 7], [0, 1],
    )  # fmt: skip
    frames = np.repeat(np.arange(9, dtype=np.uint8)[:, None, None] * 20, 4, axis=1).repeat(4, axis=2)
    save(tmp_path / "in" / "m.dcm", scan(frames, NumberOfFrames=9, WindowCenter=127.5, WindowWidth=256))
    (passage,), _ = parsed(tmp_path / "in", tmp_path / "images", frames=3)
    assert [int(np.asarray(Image.open(path))[0, 0]) for path in passage.images] == [20, 80, 140]


def test_large_pictures_are_made_small(read):
    passage, pixels = read(scan(np.zeros((30, 60), np.uint8)), side=20)
    assert pixels.shape == (10, 20)
    with Image.open(passage.images[0]) as image:
        assert image.info == {}


def test_c1_bad_files_are_named_by_number_and_the_rest_is_kept(tmp_path):
    folder = tmp_path / "in"
    save(folder / "a good.dcm", scan())
    save(folder / "b giant.dcm", scan(Rows=65535, Columns=65535, NumberOfFrames=2_000_000_000))
    save(folder / "c pixels promised.dcm", scan(Rows=4000, Columns=4000))
    save(folder / "d none.dcm", scan(False))
    whole = save(folder / "e cut.dcm", scan(np.zeros((64, 64), np.uint16))).read_bytes()
    (folder / "e cut.dcm").write_bytes(whole[:-5000])
    (folder / "f header cut.dcm").write_bytes(whole[:150])
    (folder / "g magic.dcm").write_bytes(b"JUNK" * 100)
    (folder / "h empty.dcm").write_bytes(b"")
    save(folder / "i directory.dcm", scan(False, SOPClassUID=MediaStorageDirectoryStorage))
    dataset = scan()
    dataset.PixelData = encapsulate([b"\xff\xd8 not really"])
    save(folder / "j jpegls.dcm", dataset, JPEGLSLossless)
    save(folder / "k twin.dcm", twin := scan())
    save(folder / "l twin.dcm", twin)
    save(folder / "m samples.dcm", scan(SamplesPerPixel=7))
    save(folder / "n no pixel data.dcm", scan(PixelData=None))
    (folder / "o deflated.dcm").write_bytes(deflated_bomb())
    passages, skipped = parsed(folder, tmp_path / "images")
    assert len(passages) == 2
    reasons = {item.locator: item.reason for item in skipped}
    expected = {
        2: "65535 x 65535 pixels in 2000000000 frames", 3: "more pixels than the file holds", 4: "no pixels",
        5: "more pixels than", 6: "no transfer syntax|damaged", 7: "DICM", 8: "DICM", 9: "DICOMDIR",
        10: "no decoder is installed|cut off", 12: "same instance", 13: "7 samples", 14: "missing", 15: "deflated",
    }  # fmt: skip
    assert set(reasons) == {f"file {number}" for number in expected}
    for number, reason in expected.items():
        assert any(part in reasons[f"file {number}"] for part in reason.split("|")), (number, reasons)


def deflated_bomb():
    """A file of 60 KB that unpacks to 60 MB."""
    syntax = b"1.2.840.10008.1.2.1.99"
    group = struct.pack("<HH2sH", 2, 0x10, b"UI", len(syntax)) + syntax
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(bytes(60 << 20)) + packer.flush()
    return bytes(128) + b"DICM" + group + body


def test_every_truncation_is_a_reason_not_a_crash(tmp_path):
    whole = save(tmp_path / "in" / "a.dcm", scan(StudyDescription="CT CHEST")).read_bytes()
    (tmp_path / "in" / "b.dcm").write_bytes(whole)
    reasons = set()
    for length in range(0, len(whole), 7):
        (tmp_path / "in" / "b.dcm").write_bytes(whole[:length])
        passages, skipped = parsed(tmp_path / "in", tmp_path / "images")
        assert len(passages) + len(skipped) == 2
        reasons |= {item.reason for item in skipped}
    assert len(reasons) >= 3
    assert not any("MRN" in reason for reason in reasons)


def test_flipped_bytes_are_a_reason_not_a_crash(tmp_path):
    whole = save(tmp_path / "in" / "b.dcm", scan()).read_bytes()
    random = np.random.default_rng(3)
    for _ in range(60):
        broken = bytearray(whole)
        for place in random.integers(132, len(whole) - 128, 6):
            broken[place] = random.integers(256)
        (tmp_path / "in" / "b.dcm").write_bytes(broken)
        save(tmp_path / "in" / "a.dcm", scan())
        passages, skipped = parsed(tmp_path / "in", tmp_path / "images", identifiers="allow")
        assert len(passages) + len(skipped) == 2


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"BurnedInAnnotation": "YES"}, "burned into"),
        ({"RecognizableVisualFeatures": "YES"}, "recognised"),
        ({"BurnedInAnnotation": None, "Modality": "US"}, "this modality"),
        ({"BurnedInAnnotation": None, "SOPClassUID": SECONDARY_CAPTURE}, "secondary capture"),
        ({"BurnedInAnnotation": None, "ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, "copy of a screen"),
        ({"BurnedInAnnotation": None, "ConversionType": "DF"}, "converted"),
        ({"BurnedInAnnotation": None, "Manufacturer": "TeraRecon Inc"}, "maker"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LABEL"], "Modality": "SM"}, "label"),
    ],
)
def test_pictures_that_may_show_a_name_are_quarantined_unless_allowed(read, tags, reason):
    said = read(scan(**tags))
    assert said.startswith("quarantined")
    assert reason in said
    assert read(scan(**tags), burned_in="allow")[1].shape == (8, 8)


def test_whole_slide_tiles_are_not_cases(read):
    assert "whole slide" in read(scan(Modality="SM", TotalPixelMatrixColumns=90000))


def test_maps_of_values_are_not_pictures(read):
    assert "map of values" in read(scan(Modality="RTDOSE"))


def concept(meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", meaning
    return [item]


def report(*texts, **tags):
    dataset = scan(False, SOPClassUID=ComprehensiveSRStorage, Modality="SR", **tags)
    items = []
    for name, text in texts:
        item = Dataset()
        item.ValueType, item.ConceptNameCodeSequence, item.TextValue = "TEXT", concept(name), text
        items.append(item)
    observer = Dataset()
    observer.ValueType, observer.ConceptNameCodeSequence = "PNAME", concept("Person Observer")
    observer.PersonName = "Nightshade^Ophelia"
    size = Dataset()
    size.ValueType, size.ConceptNameCodeSequence = "NUM", concept("Diameter")
    measured = Dataset()
    measured.NumericValue, measured.MeasurementUnitsCodeSequence = "12", concept("millimetre")
    measured.MeasurementUnitsCodeSequence[0].CodeValue = "mm"
    size.MeasuredValueSequence = [measured]
    dataset.ContentSequence = [*items, observer, size]
    return dataset


def test_a_structured_report_is_a_case_of_text(read):
    passage = read(report(("Finding", "A nodule in the left upper lobe."), ("Patient Name", "anybody")))
    assert passage.text == "Finding: A nodule in the left upper lobe.\nDiameter: 12 mm"
    assert passage.images == ()
    assert passage.meta["modality"] == "report"


def test_a_report_that_names_somebody_is_quarantined_or_blanked(read):
    text = ("Finding", "QUILLFEATHER was seen; zebulon has a nodule. Call 555-867-5309.")
    said = read(report(text))
    assert said.startswith("quarantined")
    assert "2 name, 1 phone" in said
    masked = read(report(text), identifiers="mask").text
    assert masked.startswith("Finding: [name] was seen; [name] has a nodule. Call [phone].")
    assert "[name] was seen" in read(report(text), identifiers="allow").text


def test_impossible_dates_leave_a_case_without_a_day(read):
    for value in ("20240231", "18500101", "29990101", "yesterday"):
        dataset = scan(StudyDate=None)
        dataset.add_new("StudyDate", "LO", value)
        assert read(dataset)[0].locator.day is None


def test_dates_and_ages():
    assert study_date("2024.01.31") == date(2024, 1, 31)
    assert age_band("094Y", None, None) == "90 or older"
    assert age_band("011M", None, None) == "0-9 years"
    assert age_band("", date(1950, 6, 1), date(2020, 5, 31)) == "60-69 years"
    assert age_band("old", None, None) == ""


def test_only_known_words_of_a_description_pass():
    assert plain("CT Thorax w/o contrast SMITH, Jane 12.03.1980 #4711 T2w") == "ct thorax contrast t2w"


def test_a_salt_is_made_once_for_its_owner_only(tmp_path):
    assert read_salt(tmp_path) is None
    salt = library_salt(tmp_path / "library")
    assert library_salt(tmp_path / "library") == salt == read_salt(tmp_path / "library")
    (file,) = (tmp_path / "library").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert library_salt(tmp_path / "second") != salt


def test_a_path_that_names_the_patient_is_refused(tmp_path):
    for name in ("quillfeather_z", "scans MRN-88421", "John Smith"):
        save(tmp_path / name / "a.dcm", scan())
        with pytest.raises(UsageError, match="--cases") as refused:
            DicomParser(tmp_path / "images", SALT).open(tmp_path / name)
        assert name not in str(refused.value)
        assert DicomParser(tmp_path, SALT, DicomOptions(identifiers="allow")).open(tmp_path / name).units == 1


def test_which_files_are_dicom(tmp_path):
    magic = bytes(128) + b"DICM"
    for name, data in {
        "a.dcm": b"", "b": magic, "1.2.840.7": magic, "c": b"text", "d.txt": magic, "DICOMDIR": magic, ".e.dcm": magic,
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
    (tmp_path / "elsewhere.dcm").symlink_to("/etc/hostname")
    assert [file.name for file in dicom_files(tmp_path)] == ["1.2.840.7", "a.dcm", "b"]
    assert not is_dicom_file(tmp_path)


def test_a_single_bad_file_and_an_empty_folder_are_refused(tmp_path):
    (tmp_path / "x.dcm").write_bytes(b"nothing")
    with pytest.raises(SourceError, match="DICM"):
        DicomParser(tmp_path, SALT).open(tmp_path / "x.dcm")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no DICOM"):
        DicomParser(tmp_path, SALT).open(tmp_path / "empty")


def test_a_directory_file_is_never_followed(tmp_path):
    outside = save(tmp_path / "outside" / "a.dcm", scan())
    record = Dataset()
    record.DirectoryRecordType = "IMAGE"
    record.add_new("ReferencedFileID", "LO", ["..", "outside", "a.dcm"])
    directory = scan(False, SOPClassUID=MediaStorageDirectoryStorage)
    directory.DirectoryRecordSequence = [record]
    save(tmp_path / "in" / "DICOMDIR", directory)
    save(tmp_path / "in" / "b.dcm", scan())
    passages, skipped = parsed(tmp_path / "in", tmp_path / "images")
    assert (len(passages), skipped, outside.is_file()) == (1, [], True)
