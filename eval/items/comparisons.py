"""Questions about two images: MMXU and TemMed-Bench (now and before), MediConfusion (two that look alike)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from eval.items import fields
from eval.items.item import CorpusRecord, Item, ItemImage
from eval.items.loading import Loading
from eval.items.reading import Record, read_records

_PATIENT = re.compile(r"(?:^|/)(p\d{6,8})(?=/)")
_STUDY = re.compile(r"(?:^|/)(s\d{6,9})(?=/|\.|$)")
_TEMMED = ("TestSet_VQA_ReportGeneration_Final", "TestSet_SelectedVQA_2000", "TestSet_ImagePairSelection",
           "TrainSet_KnowledgeCorpus_Final")  # fmt: skip


def read_mmxu(files: Sequence[Path], loading: Loading) -> None:
    """MMXU (Mu et al., 2025): four options about a current and a prior chest X-ray of MIMIC-CXR-JPG."""
    for file in files:
        loading.read(file, partial(_mmxu, loading, file))


def _mmxu(loading: Loading, file: Path, record: Record) -> Item:
    choices = fields.options(record)
    now, before = (fields.texts(record, f"{when}_image_path") for when in ("cur", "prior"))
    if not now:
        raise fields.FieldError("the field cur_image_path is missing or empty")
    patient, study = _PATIENT.search(now[0]), _STUDY.search(now[0])
    folders = (file.parent, file.parent / "images", file.parent.parent)
    names = fields.texts(record, "related_region_name")
    return Item(
        id=f"{file.stem}-{fields.maybe_text(record, 'id') or record.place.rpartition(':')[2]}",
        dataset=loading.dataset,
        answer_type="choice",
        question=fields.text(record, "question"),
        split="val" if "dev" in file.stem.lower() else "test",
        images=tuple(loading.image(name, *folders) for name in now),
        prior_images=tuple(loading.image(name, *folders) for name in before),
        options=choices,
        answers=(fields.letter_of(fields.text(record, "answer"), choices),),
        groups=fields.groups(record, content_type="content_type"),
        patient=patient[1] if patient else None,
        study=study[1] if study else None,
        report=fields.maybe_text(record, "cur_report"),
        prior_report=fields.maybe_text(record, "prior_report"),
        regions=fields.regions(record, "cur_image_bboxs", names),
    )


def find_temmed(root: Path) -> tuple[Path, ...]:
    """TemMed-Bench's test file and what belongs to it, from a folder or the test file itself."""
    folder = root.parent if root.is_file() and root.stem == _TEMMED[0] else root
    if not folder.is_dir() or not (folder / f"{_TEMMED[0]}.json").is_file():
        return ()
    return tuple(path for name in _TEMMED if (path := folder / f"{name}.json").is_file())


def read_temmed(files: Sequence[Path], loading: Loading) -> None:
    """TemMed-Bench (Zhang et al., 2025): yes/no questions, change reports, image pair selection, and its corpus.

    With the file of selected questions only those are kept. The images are CheXpert Plus's; paths say
    jpg, files are png.
    """
    present = {file.stem: file for file in files}
    main = present[_TEMMED[0]]
    records = list(read_records(main))
    loading.note(main)
    selected = _selected(present.get(_TEMMED[1]), loading)
    for record in records:
        loading.take(record, partial(_temmed_row, loading, main, selected))
    if _TEMMED[2] in present:
        loading.read(present[_TEMMED[2]], partial(_temmed_pairs, loading, main, records))
    if _TEMMED[3] in present:
        _temmed_corpus(present[_TEMMED[3]], loading)


def _selected(file: Path | None, loading: Loading) -> frozenset[tuple[int, int]] | None:
    if file is None:
        return None
    loading.note(file)
    found = set()
    for record in read_records(file):
        try:
            found.add((int(fields.text(record, "img_id")), int(fields.text(record, "question_id"))))
        except ValueError as error:
            loading.problems.append(f"{record.place}: {error}")
    return frozenset(found)


def _pair(loading: Loading, file: Path, record: Record) -> tuple[ItemImage, ItemImage]:
    """The image now and the one before."""
    folders = (file.parent, file.parent / "images", file.parent.parent)
    now, before = (
        loading.image(fields.text(record, name), *folders) for name in ("image_path", "historical_image_path")
    )
    return now, before


def _temmed_row(
    loading: Loading, file: Path, selected: frozenset[tuple[int, int]] | None, record: Record
) -> Iterator[Item]:
    now, before = _pair(loading, file, record)
    patient = re.search(r"(patient\d+)", now.name)
    name = patient[1] if patient else None
    change = fields.maybe_text(record, "condition_changes_report")
    for number, asked in enumerate(record.data.get("VQA_Final") or ()):
        if selected is None or (int(record.key), number) in selected:
            answer = str(asked["VQA_answer"]).strip()
            yield Item(
                f"{record.key}-{number}", loading.dataset, fields.answer_type_of([answer]), str(asked["VQA_question"]),
                "test", (now,), (before,), answers=(answer,), groups={"task": "vqa"}, patient=name, report=change,
            )  # fmt: skip
    if change:
        yield Item(
            f"{record.key}-report", loading.dataset, "report", split="test", images=(now,), prior_images=(before,),
            answers=(change,), groups={"task": "report"}, patient=name, report=change,
        )  # fmt: skip


def _temmed_pairs(loading: Loading, file: Path, tests: Sequence[Record], record: Record) -> Item:
    places = {letter: int(place) for letter, place in record.data["option"].items()}
    unknown = [place for place in places.values() if not 0 <= place < len(tests)]
    if unknown:
        raise fields.FieldError(f"the option names test item {unknown[0]}, and there are {len(tests)}")
    pairs = [_pair(loading, file, tests[place]) for place in places.values()]
    choices = {letter: f"image pair {number}" for number, letter in enumerate(places, start=1)}
    return Item(
        id=f"pairs-{record.key}",
        dataset=loading.dataset,
        answer_type="choice",
        question=fields.text(record, "condition_change"),
        split="test",
        images=tuple(now for now, _ in pairs),
        prior_images=tuple(before for _, before in pairs),
        options=choices,
        answers=(fields.letter_of(fields.text(record, "right_option"), choices),),
        groups={"task": "pair_selection"},
    )


def _temmed_corpus(file: Path, loading: Loading) -> None:
    loading.note(file)
    for record in read_records(file):
        try:
            now, before = _pair(loading, file, record)
            text = fields.text(record, "condition_changes_report")
        except fields.FieldError as error:
            loading.problems.append(f"{record.place}: {error}")
            continue
        loading.corpus.append(CorpusRecord(record.key, text, images=(now,), prior_images=(before,)))


def read_mediconfusion(files: Sequence[Path], loading: Loading) -> None:
    """MediConfusion (Sepehri et al., 2024, https://arxiv.org/abs/2409.15477): an entry is two items of one `pair`."""
    for file in files:
        loading.read(file, partial(_mediconfusion, loading, file))


def _mediconfusion(loading: Loading, file: Path, record: Record) -> Iterator[Item]:
    choices = {letter: fields.text(record, f"option_{letter}") for letter in "AB"}
    folders = (file.parent, file.parent / "images", file.parent.parent / "images")
    for number in (1, 2):
        name = fields.text(record, f"im_{number}_local", f"im_{number}")
        yield Item(
            id=f"{record.key}-{number}",
            dataset=loading.dataset,
            answer_type="choice",
            question=fields.text(record, "question"),
            split="test",
            images=(loading.image(name if Path(name).suffix else f"{name}.jpg", *folders),),
            options=choices,
            answers=(fields.letter_of(fields.text(record, f"im_{number}_correct"), choices),),
            groups={"category": ",".join(dict.fromkeys(fields.texts(record, f"category_{number}")))},
            pair=record.key,
        )
