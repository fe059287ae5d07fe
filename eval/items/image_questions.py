"""Questions about one image: VQA-RAD, SLAKE, PathVQA, the LLaVA-Med form of the three, and MMed-RAG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from eval.items import fields
from eval.items.item import Item
from eval.items.loading import Loading
from eval.items.reading import Record

_IMAGE_TOKEN = re.compile(r"\s*<image>\s*", re.IGNORECASE)
_DECLINED = re.compile(r"does not (?:provide|mention|contain|specify)", re.IGNORECASE)


def read_vqa_rad(files: Sequence[Path], loading: Loading) -> None:
    """VQA-RAD (Lau et al., 2018, https://doi.org/10.1038/sdata.2018.251): the public JSON file and its image folder.

    Test is what has a phrase type that begins with `test`. Paraphrases share `linked` and an image; the case is the
    study.
    """
    for file in files:
        loading.read(file, partial(_vqa_rad, loading, file))


def _vqa_rad(loading: Loading, file: Path, record: Record) -> Item:
    phrase = fields.text(record, "phrase_type").strip().lower()
    answer = fields.text(record, "answer")
    name = fields.text(record, "image_name", "image")
    folders = (file.parent, file.parent / "images", file.parent / "VQA_RAD Image Folder", file.parent.parent)
    groups = fields.groups(record, linked="qid_linked_id")
    kinds = (fields.maybe_text(record, "question_type") or "").upper().replace(" ", "").split(",")
    organ = fields.maybe_text(record, "image_organ", "organ")
    return Item(
        id=fields.text(record, "id", "qid"),
        dataset=loading.dataset,
        answer_type=fields.answer_type_of([answer], fields.maybe_text(record, "answer_type")),
        question=fields.text(record, "question"),
        split=fields.maybe_text(record, "split") or ("test" if phrase.startswith("test") else "train"),
        images=(loading.image(name, *folders),),
        answers=(answer,),
        groups={
            **groups,
            "phrase_type": phrase,
            **({"question_type": ",".join(sorted(filter(None, kinds)))} if any(kinds) else {}),
            **({"organ": organ.upper()} if organ else {}),
        },
        study=fields.maybe_text(record, "image_case_url", "medpix_case_url"),
    )


def read_slake(files: Sequence[Path], loading: Loading) -> None:
    """SLAKE (Liu et al., 2021, https://arxiv.org/abs/2102.09542): one JSON list per split and `imgs/`.

    Only questions in the language of the options are kept; others are no problem.
    """
    for file in files:
        loading.read(file, partial(_slake, loading, file))


def _slake(loading: Loading, file: Path, record: Record) -> Item | None:
    language = fields.maybe_text(record, "q_lang") or "en"
    if loading.options.language not in {"", language}:
        return None
    answer = fields.text(record, "answer")
    name = fields.text(record, "img_name", "image")
    triple = fields.texts(record, "triple")
    groups = fields.groups(
        record, content_type="content_type", modality="modality", organ="location", base_type="base_type"
    )
    knowledge = len(triple) == 3 and triple[1] != "_"
    return Item(
        id=fields.text(record, "id", "qid"),
        dataset=loading.dataset,
        answer_type=fields.answer_type_of([answer], fields.maybe_text(record, "answer_type")),
        question=fields.text(record, "question"),
        split=_split(record, file),
        images=(loading.image(name, file.parent / "imgs", file.parent, file.parent / "images"),),
        answers=(answer,),
        groups={**groups, "language": language, **({"triple": "#".join(triple)} if knowledge else {})},
        study=Path(name).parts[0] if len(Path(name).parts) > 1 else None,
    )


def read_path_vqa(files: Sequence[Path], loading: Loading) -> None:
    """PathVQA (He et al., 2020, https://arxiv.org/abs/2003.10286): `qas/SPLIT/SPLIT_qa.pkl` and `images/SPLIT/`.

    The pickles are read as plain data; one that holds code is refused.
    """
    for file in files:
        loading.read(file, partial(_path_vqa, loading, file))


def _path_vqa(loading: Loading, file: Path, record: Record) -> Item:
    split = file.stem.removesuffix("_qa").removesuffix("_vqa")
    name, answer = fields.text(record, "image"), fields.text(record, "answer")
    root = file.parent.parent.parent
    folders = [base / "images" / split for base in (root, file.parent)] + [file.parent / split, file.parent]
    return Item(
        id=f"{split}-{record.key}",
        dataset=loading.dataset,
        answer_type=fields.answer_type_of([answer]),
        question=fields.text(record, "question"),
        split=split,
        images=(loading.image(name, *folders),),
        answers=(answer,),
    )


def read_hub_table(files: Sequence[Path], loading: Loading) -> None:
    """The table form of VQA-RAD and PathVQA: question, answer and an embedded image, nothing else."""
    for file in files:
        loading.read(file, partial(_hub_row, loading, file))


def _hub_row(loading: Loading, file: Path, record: Record) -> Item:
    answer = fields.text(record, "answer")
    image = record.data.get("image")
    data = image.get("bytes") if isinstance(image, dict) else image if isinstance(image, bytes) else None
    return Item(
        id=f"{file.stem}-{record.key}",
        dataset=loading.dataset,
        answer_type=fields.answer_type_of([answer]),
        question=fields.text(record, "question"),
        split=_split(record, file),
        images=(loading.embedded(data, f"{file.stem}-{record.key}"),),
        answers=(answer,),
    )


def read_llava_med(files: Sequence[Path], loading: Loading) -> None:
    """LLaVA-Med's form of the three: a list of {id, image, answer_type, conversations}."""
    for file in files:
        loading.read(file, partial(_llava_med, loading, file))


def _llava_med(loading: Loading, file: Path, record: Record) -> Item:
    turns = record.data.get("conversations") or record.data.get("conversatons") or []
    said = {turn["from"]: turn["value"] for turn in reversed(turns)}
    question, answer = (_IMAGE_TOKEN.sub(" ", str(said[who])).strip() for who in ("human", "gpt"))
    return Item(
        id=f"{file.stem}-{fields.text(record, 'id')}-{record.key}",
        dataset=loading.dataset,
        answer_type=fields.answer_type_of([answer], fields.maybe_text(record, "answer_type")),
        question=question,
        split=_split(record, file),
        images=(loading.image(fields.text(record, "image"), file.parent / "images", file.parent, file.parent.parent),),
        answers=(answer,),
    )


def read_mmed_rag(files: Sequence[Path], loading: Loading) -> None:
    """MMed-RAG (Xia et al., 2024, https://arxiv.org/abs/2410.13085): JSON lines of questions, JSON lists of reports.

    Harvard's answers hold a gold abstention ("The summary does not provide this information."): not answerable.
    """
    for file in files:
        loading.read(file, partial(_mmed_rag_report if file.suffix == ".json" else _mmed_rag, loading, file))


def _mmed_rag(loading: Loading, file: Path, record: Record) -> Item:
    answer, name = fields.text(record, "answer"), fields.text(record, "image")
    return Item(
        id=f"{_source(file)}-{fields.text(record, 'question_id')}",
        dataset=loading.dataset,
        answer_type=fields.answer_type_of([answer]),
        question=_IMAGE_TOKEN.sub(" ", fields.text(record, "question")).strip(),
        split=_split(record, file),
        images=(loading.image(name, *_image_folders(file)),),
        answers=(answer,),
        groups={"source": _source(file)},
        study=name.partition("/")[0] if "/" in name else None,
        report=fields.maybe_text(record, "report"),
        answerable=not _DECLINED.search(answer),
    )


def _mmed_rag_report(loading: Loading, file: Path, record: Record) -> Item:
    names = fields.texts(record, "image_path", "image")
    report = fields.text(record, "report")
    return Item(
        id=f"{_source(file)}-report-{fields.text(record, 'id')}",
        dataset=loading.dataset,
        answer_type="report",
        split=_split(record, file),
        images=tuple(loading.image(name, *_image_folders(file)) for name in names),
        answers=(report,),
        groups={"source": _source(file)},
        patient=fields.maybe_text(record, "subject_id"),
        study=fields.maybe_text(record, "study_id") or fields.text(record, "id"),
        report=report,
    )


def _image_folders(file: Path) -> list[Path]:
    """Beside the file, and the image folders of the levels above it."""
    above = [file.parent, *list(file.parents)[1:4]]
    return [place for base in above for place in (base / "images", base / "images" / _source(file), base)]


def _source(file: Path) -> str:
    """The name iuxray of `iuxray_test.jsonl`."""
    return (
        re.sub(r"_?(?:train|val|test|report|vqa|radiology|pathology|ophthalmology)(?=_|$)", "", file.stem) or file.stem
    )


def _split(record: Record, file: Path) -> str:
    """The record's split, else the one that the file is named for."""
    given = fields.maybe_text(record, "split")
    if given:
        return given
    words = re.split(r"[^a-z]+", file.stem.lower())
    names = {"train": "train", "training": "train", "val": "val", "validate": "val", "validation": "val",
             "dev": "val", "test": "test"}  # fmt: skip
    return next((names[word] for word in words if word in names), "")
