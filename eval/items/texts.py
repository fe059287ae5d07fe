"""Questions without images: MIRAGE, PubMedQA, MedQA, MedMCQA, BioASQ."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from eval.items import fields
from eval.items.item import AnswerType, GoldEvidence, Item
from eval.items.loading import Loading
from eval.items.reading import Record, form_of, read_records
from rag.errors import QueryError

MIRAGE_SIZES = {"mmlu": 1089, "medqa": 1273, "medmcqa": 4183, "pubmedqa": 500, "bioasq": 618}
"""Items per set, Xiong et al., 2024, https://arxiv.org/abs/2402.13178."""

PUBMEDQA_LABELS = ("yes", "no", "maybe")
_BIOASQ_KINDS: dict[str, AnswerType] = {"yesno": "yesno", "factoid": "open", "list": "open", "summary": "open"}


def read_mirage(files: Sequence[Path], loading: Loading) -> None:
    """MIRAGE's `benchmark.json`: five sets of choice questions. The retriever is given the question only."""
    for file in files:
        loading.read(file, partial(_mirage, loading))


def _mirage(loading: Loading, record: Record) -> Item:
    choices = fields.options(record)
    return Item(
        id=f"{record.part}-{record.key}",
        dataset=loading.dataset,
        answer_type="choice",
        question=fields.text(record, "question"),
        split=record.part,
        options=choices,
        answers=(fields.letter_of(fields.text(record, "answer"), choices),),
        groups={"set": record.part},
        gold=tuple(GoldEvidence(("document", pmid)) for pmid in fields.texts(record, "PMID", "pmid")),
    )


def read_pubmedqa(files: Sequence[Path], loading: Loading) -> None:
    """PubMedQA (Jin et al., 2019, https://doi.org/10.18653/v1/D19-1259): yes, no or maybe, with the abstract's text.

    Beside `ori_pqal.json` the file `test_ground_truth.json` tells which are the test questions.
    """
    for file in files:
        ids = file.parent / "test_ground_truth.json"
        tests = frozenset(record.key for record in read_records(ids)) if ids.is_file() else frozenset()
        loading.note(ids)
        loading.read(file, partial(_pubmedqa, loading, tests))


def _pubmedqa(loading: Loading, tests: frozenset[str], record: Record) -> Item:
    pmid = fields.maybe_text(record, "pmid") or record.key
    answer = fields.text(record, "final_decision", "answer")
    choices = fields.options(record)
    said = (choices.get(answer) or answer).lower()
    if said not in PUBMEDQA_LABELS:
        raise fields.FieldError(f"the answer {answer!r} is none of yes, no, maybe")
    return Item(
        id=fields.maybe_text(record, "id") or pmid,
        dataset=loading.dataset,
        answer_type="yesno",
        question=fields.text(record, "QUESTION", "question"),
        split=fields.maybe_text(record, "split") or ("test" if pmid in tests else "train" if tests else ""),
        options=dict(zip("ABC", PUBMEDQA_LABELS, strict=True)),
        answers=(said,),
        groups={"year": year} if (year := fields.maybe_text(record, "YEAR", "year")) else {},
        gold=(GoldEvidence(("document", pmid)),),
        contexts=fields.texts(record, "CONTEXTS", "contexts"),
        report=fields.maybe_text(record, "LONG_ANSWER", "long_answer"),
    )


def read_medqa(files: Sequence[Path], loading: Loading) -> None:
    """MedQA (Jin et al., 2021, https://arxiv.org/abs/2009.13081): JSON lines of USMLE questions."""
    for file in files:
        loading.read(file, partial(_medqa, loading, file))


def _medqa(loading: Loading, file: Path, record: Record) -> Item:
    choices = fields.options(record)
    answer = fields.text(record, "answer_idx", "answer")
    return Item(
        id=fields.maybe_text(record, "id") or f"{file.stem}-{record.place.rpartition(':')[2]}",
        dataset=loading.dataset,
        answer_type="choice",
        question=fields.text(record, "question"),
        split=fields.maybe_text(record, "split") or _split(file),
        options=choices,
        answers=(fields.letter_of(answer, choices),),
        groups={"step": step} if (step := fields.maybe_text(record, "meta_info", "meta")) else {},
    )


def read_medmcqa(files: Sequence[Path], loading: Loading) -> None:
    """MedMCQA (Pal et al., 2022, https://arxiv.org/abs/2203.14371): four options by subject.

    `cop` names the right option, from 1 in the released files and from 0 in others; the file's own values tell which.
    """
    for file in files:
        first = 0 if _has_zero(file) else 1
        loading.read(file, partial(_medmcqa, loading, file, first))


def _has_zero(file: Path) -> bool:
    if "cop" not in form_of(file).keys:
        return False
    try:
        return any(str(record.data.get("cop")) == "0" for record in read_records(file))
    except QueryError:
        return False


def _medmcqa(loading: Loading, file: Path, first: int, record: Record) -> Item:
    if "cop" in record.data:
        choices = {letter: fields.text(record, f"op{letter.lower()}") for letter in "ABCD"}
        place = int(fields.text(record, "cop")) - first
        answers = ("ABCD"[place],) if 0 <= place < 4 else ()
    else:
        choices = fields.options(record)
        answers = (fields.letter_of(fields.text(record, "answer"), choices),)
    named = {"subject": ("subject_name", "subject"), "topic": ("topic_name", "topic"), "choice_type": ("choice_type",)}
    return Item(
        id=fields.maybe_text(record, "id") or f"{file.stem}-{record.place.rpartition(':')[2]}",
        dataset=loading.dataset,
        answer_type="choice",
        question=fields.text(record, "question"),
        split=_split(file),
        options=choices,
        answers=answers,
        groups={group: value for group, names in named.items() if (value := fields.maybe_text(record, *names))},
    )


def read_bioasq(files: Sequence[Path], loading: Loading) -> None:
    """BioASQ task B (Krithara et al., 2023, https://doi.org/10.1038/s41597-023-02068-4), released or as rows."""
    for file in files:
        loading.read(file, partial(_bioasq, loading, file))


def _bioasq(loading: Loading, file: Path, record: Record) -> Item:
    kind = fields.text(record, "type").lower()
    exact = fields.texts(record, "exact_answer")
    answers = exact or fields.texts(record, "ideal_answer")
    if not answers:
        raise fields.FieldError("neither exact_answer nor ideal_answer is filled")
    snippets = record.data.get("snippets") or record.data.get("gold_snippets") or []
    documents = [name.rstrip("/").rpartition("/")[2] for name in fields.texts(record, "documents", "gold_pmids")]
    return Item(
        id=fields.text(record, "id"),
        dataset=loading.dataset,
        answer_type=_BIOASQ_KINDS.get(kind, "open"),
        question=fields.text(record, "body", "question"),
        split=fields.maybe_text(record, "split") or _split(file),
        answers=answers,
        groups={"kind": kind, **fields.groups(record, batch="batch")},
        gold=tuple(GoldEvidence(("document", pmid)) for pmid in dict.fromkeys(documents)),
        contexts=tuple(str(snippet["text"]) for snippet in snippets),
        report="\n".join(fields.texts(record, "ideal_answer")) or None,
    )


def _split(file: Path) -> str:
    words = file.stem.lower().replace("-", "_").split("_")
    return next((name for name in ("train", "dev", "test", "val") if name in words), "")
