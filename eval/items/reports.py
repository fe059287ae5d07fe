"""Chest X-ray reports: R2Gen's annotation file (IU X-ray, MIMIC-CXR), MedEvalKit's list, and MIMIC-CXR as released."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from eval.items import fields
from eval.items.item import Item, ItemImage
from eval.items.loading import Loading
from eval.items.reading import Record, read_records
from knowledge.report_sections import section_text
from rag.errors import QueryError

_IU_CASE = re.compile(r"(CXR\d+)")
_LABELS = {"1.0": "present", "1": "present", "0.0": "absent", "0": "absent", "-1.0": "uncertain", "-1": "uncertain"}
_SPLIT_FILE = "mimic-cxr-2.0.0-split"

Study = tuple[str, str]
"""Subject and study number."""


def read_r2gen(files: Sequence[Path], loading: Loading) -> None:
    """R2Gen's `annotation.json` (Chen et al., 2020, https://arxiv.org/abs/2010.16056): reports by split."""
    for file in files:
        loading.read(file, partial(_r2gen, loading, file))


def _r2gen(loading: Loading, file: Path, record: Record) -> Item:
    identity, report = fields.text(record, "id"), fields.text(record, "report")
    case = _IU_CASE.match(identity)
    return Item(
        id=identity,
        dataset=loading.dataset,
        answer_type="report",
        split=fields.maybe_text(record, "split") or record.part,
        images=tuple(
            loading.image(name, file.parent / "images", file.parent, file.parent / "files")
            for name in fields.texts(record, "image_path")
        ),
        answers=(report,),
        patient=fields.maybe_text(record, "subject_id") or (case[1] if case else None),
        study=fields.maybe_text(record, "study_id") or identity,
        report=report,
    )


def read_medevalkit_reports(files: Sequence[Path], loading: Loading) -> None:
    """MedEvalKit's report form: a list of {image, findings, impression}."""
    for file in files:
        loading.read(file, partial(_medevalkit, loading, file))


def _medevalkit(loading: Loading, file: Path, record: Record) -> Item:
    parts = {name: fields.maybe_text(record, name) for name in ("findings", "impression")}
    said = [f"{name.upper()}: {part}" for name, part in parts.items() if part]
    if not said:
        raise fields.FieldError("neither findings nor impression is filled")
    names = fields.texts(record, "image", "images")
    case = _IU_CASE.search(names[0]) if names else None
    return Item(
        id=fields.maybe_text(record, "id") or f"{file.stem}-{record.key}",
        dataset=loading.dataset,
        answer_type="report",
        split=fields.maybe_text(record, "split") or file.stem,
        images=tuple(loading.image(name, file.parent / "images", file.parent) for name in names),
        answers=("\n".join(said),),
        patient=case[1] if case else None,
        report="\n".join(said),
    )


def find_mimic(root: Path) -> tuple[Path, ...]:
    """The split table of MIMIC-CXR below a folder, if there is one."""
    if not root.is_dir():
        return ()
    return tuple(sorted(path for path in root.glob(f"{_SPLIT_FILE}.csv*") if path.is_file()))[:1]


@dataclass(frozen=True, slots=True)
class _Release:
    """The tables of MIMIC-CXR: the images of each study, and what is known of images and studies."""

    root: Path
    studies: Mapping[Study, list[Record]]
    views: Mapping[tuple[str, ...], Record]
    labels: Mapping[tuple[str, ...], Record]

    def images(self, study: Study, loading: Loading) -> tuple[ItemImage, ...]:
        names = [f"{self._folder(study)}/{fields.text(one, 'dicom_id')}.jpg" for one in self.studies[study]]
        return tuple(loading.image(name, self.root) for name in names)

    def report(self, study: Study) -> str:
        return _sections(self.root / f"{self._folder(study)}.txt")

    def seen(self, study: Study, field: str) -> list[str]:
        """What the image table says of the study's images, in order, without doubles and blanks."""
        known = [self.views.get((fields.text(one, "dicom_id"),)) for one in self.studies[study]]
        return sorted({fields.maybe_text(one, field) or "" for one in known if one} - {""})

    def moment(self, study: Study) -> str:
        """Date and time of the study, sortable; empty when unknown. Dates are shifted, but keep a patient's order."""
        dates, times = self.seen(study, "StudyDate"), self.seen(study, "StudyTime")
        return f"{dates[0]}-{float(times[0]) if times else 0:013.3f}" if dates else ""

    def priors(self) -> dict[Study, Study]:
        """The study before each one, of those patients whose studies all have a date."""
        by_patient: defaultdict[str, list[tuple[str, Study]]] = defaultdict(list)
        for study in self.studies:
            by_patient[study[0]].append((self.moment(study), study))
        dated = [sorted(found) for found in by_patient.values() if all(moment for moment, _ in found)]
        return {now: before for found in dated for (_, before), (_, now) in pairwise(found)}

    def _folder(self, study: Study) -> str:
        return f"files/p{study[0][:2]}/p{study[0]}/s{study[1]}"


def read_mimic(files: Sequence[Path], loading: Loading) -> None:
    """MIMIC-CXR and MIMIC-CXR-JPG as released: one item per study of the split table, with its images and report.

    `files/pNN/pSUBJECT/sSTUDY.txt` holds the report, whose findings and impression are the reference; labels of the
    CheXpert (else NegBio) table become groups; with the dates of the metadata table the patient's study before is the
    prior. Johnson et al., 2019, https://doi.org/10.1038/s41597-019-0322-0.
    """
    table = files[0]
    root = table.parent
    studies: defaultdict[Study, list[Record]] = defaultdict(list)
    loading.note(table)
    for record in read_records(table):
        try:
            studies[fields.text(record, "subject_id"), fields.text(record, "study_id")].append(record)
        except fields.FieldError as error:
            loading.problems.append(f"{record.place}: {error}")
    key = ("subject_id", "study_id")
    labels = _by_key(loading, root, "chexpert", key) or _by_key(loading, root, "negbio", key)
    release = _Release(root, dict(studies), _by_key(loading, root, "metadata", ("dicom_id",)), labels)
    try:
        priors = release.priors()
    except ValueError as error:
        loading.problems.append(f"the metadata table gives no order of studies: {error}")
        priors = {}
    for study, records in studies.items():
        loading.take(records[0], partial(_mimic_study, loading, release, study, priors.get(study)))


def _mimic_study(loading: Loading, release: _Release, study: Study, prior: Study | None, record: Record) -> Item:
    report = release.report(study)
    known = release.labels.get(study)
    given = {} if known is None else known.data
    found = {name: _LABELS[value] for name, value in given.items() if isinstance(value, str) and value in _LABELS}
    views = release.seen(study, "ViewPosition")
    return Item(
        id=f"s{study[1]}",
        dataset=loading.dataset,
        answer_type="report",
        split=fields.text(record, "split"),
        images=release.images(study, loading),
        prior_images=() if prior is None else release.images(prior, loading),
        answers=(report,),
        groups={**found, **({"views": ",".join(views)} if views else {})},
        patient=f"p{study[0]}",
        study=f"s{study[1]}",
        report=report,
        prior_report=_prior_report(release, prior, loading),
    )


def _prior_report(release: _Release, prior: Study | None, loading: Loading) -> str | None:
    """The report before; one that cannot be read is noted, and costs only itself."""
    if prior is None:
        return None
    try:
        return release.report(prior)
    except fields.FieldError as error:
        loading.warnings.append(f"a prior is without its report: {error}")
        return None


def _sections(path: Path) -> str:
    """Findings and impression of a report file; the whole text when it names neither.

    Raises:
        FieldError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise fields.FieldError(f"the report {path.name} cannot be read ({error.strerror or error})") from error
    return section_text(text, "findings", "impression").strip() or text.strip()


def _by_key(loading: Loading, root: Path, name: str, key: tuple[str, ...]) -> dict[tuple[str, ...], Record]:
    """The rows of `mimic-cxr-2.0.0-NAME.csv[.gz]` by key; empty when the table is not there."""
    found: dict[tuple[str, ...], Record] = {}
    for path in sorted(root.glob(f"mimic-cxr-2.0.0-{name}.csv*"))[:1]:
        loading.note(path)
        try:
            for record in read_records(path):
                found[tuple(fields.text(record, field) for field in key)] = record
        except (QueryError, fields.FieldError) as error:
            loading.problems.append(f"{path.name}: {error}")
    return found
