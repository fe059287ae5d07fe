"""Fault S6: hundreds of identifiers planted in DICOM files and reports, of which none may reach anything we write.

Needs pydicom. The looked-at places: passages and payloads as the store gives them back, every file of the library
folder (journal, pictures), file names, log records, warnings, standard output, reasons of what was skipped, and errors
with their tracebacks.
"""

import json
import logging
import traceback
import warnings

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from indexers.build import Builder, Source
from indexers.encoders.hashing import HashEncoder
from indexers.journal import Journal
from indexers.progress import ProgressMeter, line_sink
from indexers.sources.cases import CaseParser
from indexers.sources.dicom import DicomOptions, DicomParser
from indexers.sources.dicom_privacy import SALT_FILE, library_salt
from indexers.sources.discovery import discover
from indexers.stores.memory import MemoryStore
from rag.errors import SourceError
from rag.filters import filter_values
from rag.retrievers import Channel

N_SCANS = 36
SYLLABLES = (
    "bra",
    "dul",
    "fen",
    "gor",
    "hax",
    "jil",
    "kov",
    "mur",
    "nyx",
    "pel",
    "quo",
    "riv",
    "sut",
    "tav",
    "wex",
    "zim",
)


class Plants:
    """Makes identifiers that occur nowhere else, and remembers them."""

    def __init__(self):
        self.random = np.random.default_rng(11)
        self.known = []

    def plant(self, text, *parts):
        """`parts` are what must not be found; the whole text when none is given."""
        self.known += parts or (text,)
        return text

    def word(self):
        """A name of four syllables: too long to come about by chance in a picture's bytes."""
        word = "".join(SYLLABLES[i] for i in self.random.integers(len(SYLLABLES), size=4)).capitalize()
        return self.plant(word)

    def digits(self, n):
        return "".join(str(digit) for digit in self.random.integers(1, 10, size=n))

    def number(self, form):
        """Digits in place of #."""
        text = "".join(self.digits(1) if c == "#" else c for c in form)
        return self.plant(text)

    def date(self):
        year, month, day = 1931 + self.random.integers(80), 1 + self.random.integers(12), 1 + self.random.integers(28)
        text = f"{year}{month:02d}{day:02d}"
        self.known += [text, f"{year}-{month:02d}-{day:02d}"]
        return text


def code(meaning):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "99X", meaning
    return [item]


def fill(dataset, plants, number):
    """Every place of a header in which hospitals leave identifiers."""
    family, given, doctor = plants.word(), plants.word(), plants.word()
    dataset.PatientName, dataset.PatientID = f"{family}^{given}", plants.number("ID########")
    dataset.OtherPatientIDs, dataset.AccessionNumber = plants.number("OT########"), plants.number("AC########")
    dataset.PatientBirthDate, dataset.StudyDate = plants.date(), plants.date()
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = (plants.number("1.2.840.99.########.#####") for _ in range(2))
    dataset.SeriesInstanceUID = plants.number("1.2.840.99.########.####")
    dataset.ReferringPhysicianName, dataset.OperatorsName = f"{doctor}^A", plants.word()
    dataset.InstitutionName, dataset.StationName = f"{plants.word()} Hospital", plants.number("ST########")
    dataset.PatientAddress = plants.plant(f"{plants.digits(3)} {plants.word()} Road")
    dataset.PatientTelephoneNumbers, dataset.DeviceSerialNumber = (
        plants.number("###-###-####"),
        plants.number("SN########"),
    )
    dataset.StudyDescription = f"CT chest {family}"
    dataset.SeriesDescription = f"axial {plants.word()} {plants.number('########')}"
    dataset.PatientComments = f"call {plants.word()} at {plants.number('###-###-####')}"
    dataset.BodyPartExamined, dataset.Modality = "CHEST", "CT"
    dataset.private_block(0x0099, "VENDOR", create=True).add_new(1, "LO", plants.number("PR########"))
    # Malformed values, which pydicom would quote in a warning.
    dataset.add_new("ContentDate", "LO", plants.number("not a date ######"))
    dataset.PatientAge = "094Y" if number % 2 else "044Y"
    return family, given


def picture(dataset, number):
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    dataset.BurnedInAnnotation = "YES" if number % 9 == 0 else "NO"
    dataset.Rows = dataset.Columns = 60000 if number % 9 == 1 else 12
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.add_new("PixelData", "OW", np.arange(144, dtype=np.uint16).tobytes())


def structured_report(dataset, plants, family):
    dataset.SOPClassUID, dataset.Modality = ComprehensiveSRStorage, "SR"
    texts = [
        f"{family.upper()} was seen by Dr. {plants.word()}; MRN: {plants.number('########')}.",
        f"Electronically signed by {plants.word()} {plants.word()} on 14.03.2019",
        f"No effusion. Tel: {plants.number('###-####-###')}, {plants.number('mail########@example.org')}",
    ]
    items = []
    for text in texts:
        item = Dataset()
        item.ValueType, item.ConceptNameCodeSequence, item.TextValue = "TEXT", code("Finding"), text
        items.append(item)
    person = Dataset()
    person.ValueType, person.ConceptNameCodeSequence = "PNAME", code("Person Observer")
    person.PersonName = f"{plants.word()}^{plants.word()}"
    dataset.ContentSequence = [*items, person]


def write_scans(folder, plants):
    for number in range(N_SCANS):
        dataset = Dataset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            family, given = fill(dataset, plants, number)
            if number % 6 == 5:
                structured_report(dataset, plants, family)
            else:
                picture(dataset, number)
            dataset.file_meta = FileMetaDataset()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            path = folder / f"{family}_{given}" / f"{dataset.PatientID}.dcm"
            path.parent.mkdir(parents=True)
            dataset.save_as(path, enforce_file_format=True)
        if number % 12 == 7:
            path.write_bytes(path.read_bytes()[:700])


def write_reports(folder, plants):
    """Reports of which few hold direct identifiers, so that the corpus is let in, and many indirect ones."""
    rows = [{"id": f"r{number}", "report": f"A nodule of {number} mm in the left lung."} for number in range(600)]
    rows += [
        {"id": "p1", "report": f"Patient: {plants.word()}, {plants.word()}. MRN: {plants.number('########')}"},
        {
            "id": "p2",
            "caption": f"Mr. {plants.word()} lives at 14 {plants.word()} Street, phone {plants.number('###-###-####')}",
        },
        {"id": f"Jennifer_{plants.word()}", "report": "named by its id"},
        {"id": "p4", "image": f"{plants.word()}^{plants.word()}.png"},
        {"id": "p5", "report": "x", "offset_days": f"Dr. {plants.word()}"},
        {"id": "p6", "report": "x", "patient_id": plants.number("mail########@example.org")},
    ]
    for number in range(10):
        day = plants.date()
        text = f"Compared with {day[:4]}-{day[4:6]}-{day[6:]}. See www.{plants.word()}.example.org. "
        text += f"S/N {plants.number('A#######')}."
        rows.append({"id": f"q{number}", "findings": text, "impression": "Stable."})
    folder.mkdir()
    (folder / "records.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def build(library, paths, policy):
    """A library of these case sources, as ingest makes one: what it skipped, and what its store holds, as text."""
    library.mkdir()
    (library / SALT_FILE).write_bytes(bytes(range(32)))  # A fixed one, so that no hash has a planted number by chance.
    options = DicomOptions(identifiers=policy)
    files, skipped = discover(paths, "cases")
    sources = []
    for file in files:
        is_records = file.suffix == ".jsonl"
        parser = CaseParser(policy) if is_records else DicomParser(library / "images", library_salt(library), options)
        sources.append(Source(parser.open(file), parser))
    journal = Journal(library / "journal.sqlite")
    encoder = HashEncoder("dense", 16)
    channel = Channel("case", encoder.spec, encoder)
    store = MemoryStore({"case": (channel.spec,)})
    for source in sources:
        journal.begin(source.document)
    with (library / "progress.txt").open("w") as stream:
        Builder(store, journal, [channel], ProgressMeter(line_sink(stream))).run(sources)
    skipped += tuple(item for source in sources for item in journal.skipped(source.document))
    journal.close()
    passages = store.get(list(store.ids("case")))
    texts = [repr(item) for item in (*passages, *map(filter_values, passages), *(s.document for s in sources))]
    return passages, skipped, "\n".join(texts)


@pytest.mark.parametrize("policy", ["refuse", "mask"])
def test_s6_planted_identifiers_reach_nothing(tmp_path, capfd, caplog, policy):
    plants = Plants()
    write_scans(tmp_path / "scans", plants)
    write_reports(tmp_path / "reports", plants)
    assert len(set(plants.known)) >= 500
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        passages, skipped, stored = build(tmp_path / "library", [tmp_path / "scans", tmp_path / "reports"], policy)
    said = capfd.readouterr()
    logged = "\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records)
    places = {
        "store": stored, "skipped": repr(skipped), "log": logged, "out": said.out + said.err,
        "warnings": "\n".join(str(item.message) for item in warned),
    }  # fmt: skip
    for file in (tmp_path / "library").rglob("*"):
        places[f"name of {file.name}"] = str(file.relative_to(tmp_path))
        if file.is_file():
            places[f"bytes of {file.name}"] = file.read_bytes().decode("latin-1")
    small = {place: text.lower() for place, text in places.items()}
    leaks = [(place, plant) for plant in plants.known for place, text in small.items() if plant.lower() in text]
    assert leaks == []
    # The rest is there: the test would also pass on an empty library.
    assert sum(bool(passage.images) for passage in passages) == 20
    assert sum(passage.document == "reports" for passage in passages) >= 610
    if policy == "mask":
        assert sum("[name]" in passage.text and "No effusion" in passage.text for passage in passages) == 6


def test_the_search_for_leaks_finds_one(tmp_path):
    plants = Plants()
    write_reports(tmp_path / "reports", plants)
    _, _, stored = build(tmp_path / "library", [tmp_path / "reports"], "allow")
    assert sum(plant in stored for plant in plants.known) > len(plants.known) / 2


def test_s6_errors_and_their_tracebacks_name_nobody(tmp_path):
    plants = Plants()
    write_scans(tmp_path / "scans", plants)
    rows = [{"id": str(n), "report": f"Mr. {plants.word()}, MRN: {plants.number('########')}"} for n in range(20)]
    (tmp_path / "records.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    errors = []
    with pytest.raises(SourceError) as refused:
        CaseParser().open(tmp_path / "records.jsonl")
    errors.append(refused.value)
    parser = DicomParser(tmp_path / "images", library_salt(tmp_path / "library"))
    for path in sorted((tmp_path / "scans").rglob("*.dcm")):
        data = path.read_bytes()
        for length in (90, 140, 500, len(data) - 40):
            (tmp_path / "cut.dcm").write_bytes(data[:length])
            try:
                units = list(parser.parse(parser.open(tmp_path / "cut.dcm"), ()))
                errors += [SourceError(item.reason) for unit in units for item in unit.skipped]
            except SourceError as error:
                errors.append(error)
    shown = "\n".join("".join(traceback.format_exception(error)) for error in errors).lower()
    assert len(errors) > N_SCANS
    assert [plant for plant in plants.known if plant.lower() in shown] == []
