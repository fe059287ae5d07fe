"""Choice questions about images: GEMeX, GMAI-MMBench, MedFrameQA."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from eval.items import fields
from eval.items.item import AnswerType, Item, ItemImage
from eval.items.loading import Loading
from eval.items.reading import Record

_KINDS: dict[str, AnswerType] = {
    "open": "open",
    "closed": "closed",
    "close": "closed",
    "single": "choice",
    "multi": "multi",
}
_PATIENT = re.compile(r"(?:^|/)(p\d{6,8})(?=/)")
_FRAMES = 5
_GROUPS = ("category", "l2-category", "clinical vqa task", "department", "perceptual granularity", "modality", "organ")


def read_gemex(files: Sequence[Path], loading: Loading) -> None:
    """GEMeX (Liu et al., 2024, https://arxiv.org/abs/2411.16778): open, closed, single and multiple choice with boxes.

    The boxes count in the image as the authors resized it.
    """
    for file in files:
        loading.read(file, partial(_gemex, loading, file))


def _gemex(loading: Loading, file: Path, record: Record) -> Item:
    choices = fields.options(record, "choices")
    kind = _gemex_kind(record, file, choices)
    answers = fields.texts(record, "answer")
    if kind in {"choice", "multi"}:
        parts = [part for one in answers for part in (re.split(r"[,;]\s*", one) if len(one) < 12 else [one])]
        answers = tuple(fields.letter_of(part, choices) for part in parts)
    if not answers:
        raise fields.FieldError("the field answer is missing or empty")
    name = fields.text(record, "image_path")
    patient = _PATIENT.search(name)
    yes_no = kind == "closed" and fields.answer_type_of(answers) == "yesno"
    return Item(
        id=f"{file.stem}-{record.place.rpartition(':')[2]}",
        dataset=loading.dataset,
        answer_type="yesno" if yes_no else kind,
        question=fields.text(record, "question"),
        split="test" if "test" in {file.parent.name, *file.stem.split("_")} else "train",
        images=(loading.image(name, file.parent, *list(file.parents)[1:3], file.parent / "images"),),
        options=choices if kind in {"choice", "multi"} else {},
        answers=answers,
        groups={"kind": kind},
        patient=patient[1] if patient else None,
        report=fields.maybe_text(record, "ori_report"),
        regions=fields.regions(record, "visual_locations", fields.texts(record, "visual_regions")),
    )


def _gemex_kind(record: Record, file: Path, choices: dict[str, str]) -> AnswerType:
    said = f"{fields.maybe_text(record, 'type') or ''} {file.stem}".lower()
    for word, kind in _KINDS.items():
        if word in said:
            return kind
    return "choice" if choices else "open"


def read_gmai(files: Sequence[Path], loading: Loading) -> None:
    """GMAI-MMBench (Chen et al., 2024, https://arxiv.org/abs/2408.03361): a table with images in base64.

    The answers of the test split are withheld: its items have none, and cannot be scored.
    """
    for file in files:
        loading.read(file, partial(_gmai, loading, file))


def _gmai(loading: Loading, file: Path, record: Record) -> Item:
    letters = [letter for letter in "ABCDEFGH" if (fields.maybe_text(record, letter) or "nan").lower() != "nan"]
    choices = {letter: fields.text(record, letter) for letter in letters}
    answer = fields.maybe_text(record, "answer")
    identity = fields.text(record, "index")
    return Item(
        id=identity,
        dataset=loading.dataset,
        answer_type="choice",
        question=fields.text(record, "question"),
        split=fields.maybe_text(record, "split") or ("val" if "val" in file.stem.lower() else "test"),
        images=(_base64_image(loading, record, identity),),
        options=choices,
        answers=(fields.letter_of(answer, choices),) if answer and answer.lower() != "nan" else (),
        groups={name: value for name in _GROUPS if (value := fields.maybe_text(record, name))},
    )


def _base64_image(loading: Loading, record: Record, identity: str) -> ItemImage:
    try:
        data = base64.b64decode(fields.maybe_text(record, "image") or "", validate=True)
    except binascii.Error as error:
        raise fields.FieldError(f"the image is not base64: {error}") from error
    return loading.embedded(data, identity)


def read_medframeqa(files: Sequence[Path], loading: Loading) -> None:
    """MedFrameQA (Yu et al., 2025): choice questions over two to five frames of a video, in order."""
    for file in files:
        loading.read(file, partial(_medframeqa, loading, file))


def _medframeqa(loading: Loading, file: Path, record: Record) -> Item:
    choices = fields.options(record)
    identity = fields.maybe_text(record, "question_id", "id") or f"{file.stem}-{record.key}"
    frames = []
    for number in range(1, _FRAMES + 1):
        image = record.data.get(f"image_{number}")
        data = image.get("bytes") if isinstance(image, dict) else image
        if data:
            frames.append(loading.embedded(data, f"{identity}-{number}"))
    return Item(
        id=identity,
        dataset=loading.dataset,
        answer_type="choice",
        question=fields.text(record, "question"),
        split="test",
        images=tuple(frames),
        options=choices,
        answers=(fields.letter_of(fields.text(record, "correct_answer"), choices),),
        groups={
            **fields.groups(record, system="system", organ="organ", modality="modality"),
            "frames": str(len(frames)),
        },
        study=fields.maybe_text(record, "video_id"),
    )
