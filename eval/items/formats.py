"""Every benchmark form that is read, and which of them a folder holds: told from the files, not from their names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.items.choices import read_gemex, read_gmai, read_medframeqa
from eval.items.comparisons import find_temmed, read_mediconfusion, read_mmxu, read_temmed
from eval.items.corpora import find_collection, is_vidore_questions, read_collection, read_vidore_questions
from eval.items.image_questions import (
    read_hub_table,
    read_llava_med,
    read_mmed_rag,
    read_path_vqa,
    read_slake,
    read_vqa_rad,
)
from eval.items.loading import ItemSet, Loading, LoadOptions
from eval.items.own import read_own
from eval.items.reading import Form, form_of, suffix_of
from eval.items.reports import find_mimic, read_medevalkit_reports, read_mimic, read_r2gen
from eval.items.texts import (
    MIRAGE_SIZES,
    read_bioasq,
    read_medmcqa,
    read_medqa,
    read_mirage,
    read_pubmedqa,
)
from rag.errors import QueryError

_DEPTH = 3
_JSON = frozenset((".json", ".jsonl"))
_NAMELESS = frozenset(("own", "collection", "hub_table", "llava_med", "vidore_questions"))
"""Forms that many benchmarks share: the folder's name says which."""


Read = Callable[[Sequence[Path], Loading], None]


@dataclass(frozen=True, slots=True)
class FolderFormat:
    """A benchmark of several files that belong together: `find` names them, or none when the place is another's."""

    name: str
    find: Callable[[Path], tuple[Path, ...]]
    read: Read


@dataclass(frozen=True, slots=True)
class Format:
    """A benchmark whose files stand alone: told by the form of a file. `sizes`: published items per split."""

    name: str
    fits: Callable[[Form], bool]
    read: Read
    sizes: Mapping[str, int] = field(default_factory=dict)


def _is_vqa_rad(form: Form) -> bool:
    return form.suffix in _JSON and form.has("question", "answer", "phrase_type")


def _is_slake(form: Form) -> bool:
    return form.suffix in _JSON and form.has("question", "answer", "base_type", "content_type")


def _is_path_vqa(form: Form) -> bool:
    return form.suffix == ".pkl" and form.has("image", "question", "answer")


def _is_hub_table(form: Form) -> bool:
    return form.suffix == ".parquet" and form.keys == {"image", "question", "answer"}


def _is_llava_med(form: Form) -> bool:
    return form.suffix in _JSON and (form.has("image", "conversations") or form.has("image", "conversatons"))


def _is_r2gen(form: Form) -> bool:
    return form.shape == "splits" and form.has("id", "report", "image_path")


def _is_mmed_rag(form: Form) -> bool:
    questions = form.suffix == ".jsonl" and form.has("question_id", "question", "answer", "image")
    return questions or (form.shape == "list" and form.has("id", "report", "image_path"))


def _is_medevalkit(form: Form) -> bool:
    return form.shape == "list" and form.has("image") and bool(form.keys & {"findings", "impression"})


def _is_mmxu(form: Form) -> bool:
    return form.suffix in _JSON and form.has("question", "options", "answer", "cur_image_path", "prior_image_path")


def _is_gemex(form: Form) -> bool:
    return form.suffix in _JSON and form.has("question", "answer", "image_path", "visual_locations")


def _is_gmai(form: Form) -> bool:
    return form.suffix == ".tsv" and form.has("index", "image", "question", "A", "B")


def _is_mediconfusion(form: Form) -> bool:
    return form.shape == "mapping" and form.has("question", "option_A", "option_B", "im_1_correct", "im_2_correct")


def _is_medframeqa(form: Form) -> bool:
    return form.suffix == ".parquet" and form.has("question", "options", "correct_answer", "image_1")


def _is_mirage(form: Form) -> bool:
    return form.shape == "nested" and form.has("question", "options", "answer")


def _is_pubmedqa(form: Form) -> bool:
    released = form.shape == "mapping" and form.has("QUESTION", "CONTEXTS", "final_decision")
    return released or (form.suffix == ".jsonl" and form.has("pmid", "question", "answer", "contexts"))


def _is_medqa(form: Form) -> bool:
    rows = form.suffix == ".jsonl" and form.has("question", "options", "answer")
    return rows and bool(form.keys & {"answer_idx", "meta_info", "meta"})


def _is_medmcqa(form: Form) -> bool:
    released = form.has("question", "opa", "opb", "opc", "opd")
    return released or (form.suffix == ".jsonl" and form.has("question", "options", "answer", "subject", "explanation"))


def _is_bioasq(form: Form) -> bool:
    released = form.shape == "splits" and form.has("id", "body", "type")
    return released or (form.suffix == ".jsonl" and form.has("id", "type", "question", "ideal_answer"))


def _is_own(form: Form) -> bool:
    return form.suffix == ".jsonl" and form.has("id") and bool(form.keys & {"question", "text", "image"})


FOLDER_FORMATS: tuple[FolderFormat, ...] = (
    FolderFormat("mimic_cxr", find_mimic, read_mimic),
    FolderFormat("temmed_bench", find_temmed, read_temmed),
    FolderFormat("collection", find_collection, read_collection),
)
"""Looked for first, by the names of their files; the folder is then theirs alone."""

FORMATS: tuple[Format, ...] = (
    Format("vqa_rad", _is_vqa_rad, read_vqa_rad, {"test": 451}),
    Format("slake", _is_slake, read_slake, {"test": 1061}),
    Format("path_vqa", _is_path_vqa, read_path_vqa, {"test": 6761}),
    Format("llava_med", _is_llava_med, read_llava_med),
    Format("r2gen", _is_r2gen, read_r2gen),
    Format("mmed_rag", _is_mmed_rag, read_mmed_rag),
    Format("medevalkit_reports", _is_medevalkit, read_medevalkit_reports),
    Format("mmxu", _is_mmxu, read_mmxu, {"test": 3000}),
    Format("gemex", _is_gemex, read_gemex),
    Format("gmai_mmbench", _is_gmai, read_gmai),
    Format("mediconfusion", _is_mediconfusion, read_mediconfusion, {"test": 352}),
    Format("medframeqa", _is_medframeqa, read_medframeqa, {"test": 2851}),
    Format("mirage", _is_mirage, read_mirage, MIRAGE_SIZES),
    Format("pubmedqa", _is_pubmedqa, read_pubmedqa, {"test": 500}),
    Format("bioasq", _is_bioasq, read_bioasq),
    Format("medqa", _is_medqa, read_medqa, {"test": 1273}),
    Format("medmcqa", _is_medmcqa, read_medmcqa),
    Format("vidore_questions", is_vidore_questions, read_vidore_questions),
    Format("hub_table", _is_hub_table, read_hub_table),
    Format("own", _is_own, read_own),
)
"""In the order in which they may claim a file: the own form, which fits most rows, comes last."""


def data_files(place: Path) -> tuple[Path, ...]:
    """The data files at a place: the file itself, or those up to three folders down, in order of their paths."""
    if place.is_file():
        return (place,)
    found: list[Path] = []
    for folder, inner, names in os.walk(place):
        here = Path(folder)
        if len(here.relative_to(place).parts) >= _DEPTH:
            inner.clear()
        found.extend(here / name for name in names if suffix_of(Path(name)))
    return tuple(sorted(found))


def detect_formats(place: Path) -> dict[str, tuple[Path, ...]]:
    """The forms found at a file or folder, each with its files; a file belongs to the first form that it fits.

    Raises:
        QueryError: the place does not exist.
    """
    if not place.exists():
        raise QueryError(f"{place} does not exist; give the folder or file of a benchmark")
    for whole in FOLDER_FORMATS:
        files = whole.find(place)
        if files:
            return {whole.name: files}
    found: dict[str, list[Path]] = {}
    for path in data_files(place):
        form = form_of(path)
        name = next((known.name for known in FORMATS if known.fits(form)), None)
        if name is not None:
            found.setdefault(name, []).append(path)
    return {name: tuple(files) for name, files in found.items()}


def load_items(place: Path, options: LoadOptions | None = None, form: str | None = None) -> ItemSet:
    """Load the benchmark at a file or folder. `form` names one of `FORMATS` where several are found.

    Raises:
        QueryError: nothing known is there, or several forms and none is named.
        DatasetError: nothing could be loaded, or what the options say to stop at.
        MissingExtra: a Parquet file, and pyarrow is not installed.
    """
    known: dict[str, tuple[Read, Mapping[str, int]]] = {
        **{one.name: (one.read, {}) for one in FOLDER_FORMATS},
        **{one.name: (one.read, one.sizes) for one in FORMATS},
    }
    if form is not None and form not in known:
        raise QueryError(f"there is no form {form!r}; the forms are {', '.join(known)}")
    found = detect_formats(place)
    names = [form] if form else list(found)
    if len(names) > 1:
        raise QueryError(f"{place} holds several forms ({', '.join(names)}); name one, or give one of its files")
    if not names or names[0] not in found:
        wanted = f" in the form {form}" if form else " in a known form"
        raise QueryError(f"{place} holds no benchmark{wanted}; the forms are {', '.join(known)}")
    [name] = names
    read, sizes = known[name]
    root = place.resolve() if place.is_dir() else place.resolve().parent
    loading = Loading(root.name if name in _NAMELESS else name, place, options or LoadOptions())
    read(found[name], loading)
    return loading.finish(name, sizes)
