"""Patients have timelines: case passages put in order of their days. Pure steps over passages.

Days count from the patient's own reference day within one corpus, so days of two corpora are never compared. What has
no day has no place in the order: it stands last and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from rag.errors import QueryError
from rag.types import CaseLocator, Passage


@dataclass(frozen=True, slots=True)
class Study:
    """What was made of one patient on one occasion: its passages, by record.

    `day` is None when no passage has one, or when it is no finite number. A study whose passages have several days is
    one entry per day.
    """

    document: str
    patient: str
    study: str | None
    day: float | None
    passages: tuple[Passage, ...]


def studies_of(passages: Iterable[Passage]) -> tuple[Study, ...]:
    """The studies of all patients, by document and patient, then in order of time.

    Passages are one study when they share its id and their days do not differ; a passage without a day joins the only
    day its study has. A passage without a study id is a study of its own. Passages without a patient are left out.
    """
    groups: dict[tuple[str, str, str], list[tuple[Passage, CaseLocator]]] = {}
    for passage in passages:
        place = passage.locator
        if isinstance(place, CaseLocator) and place.patient:
            own = f"study {place.study}" if place.study else f"passage {passage.id}"
            groups.setdefault((passage.document, place.patient, own), []).append((passage, place))
    return tuple(sorted((study for group in groups.values() for study in _by_day(group)), key=_order))


def timeline(
    passages: Iterable[Passage],
    patient: str,
    before_day: float | None = None,
    *,
    document: str | None = None,
    undated: bool = True,
    without_study: str | None = None,
) -> tuple[Study, ...]:
    """One patient's studies, earliest first; undated ones last, in the order of their ids.

    With `before_day` only earlier days are left: a study of that same day may be later, so it is not shown. Whether an
    undated study is earlier is unknown; `undated=False` leaves such studies out, as a measurement must.
    `without_study` is the study asked about, left out whatever its day.

    Raises:
        QueryError: `before_day` is not a number, or several documents have a patient of this name and none is chosen.
    """
    if before_day is not None and math.isnan(before_day):
        raise QueryError("the day before which studies are wanted is not a number")
    found = [study for study in studies_of(passages) if study.patient == patient]
    documents = sorted({study.document for study in found})
    if document is not None:
        found = [study for study in found if study.document == document]
    elif len(documents) > 1:
        raise QueryError(f"patient {patient!r} is in several documents ({', '.join(documents)}); choose one")
    return tuple(
        study
        for study in found
        if _is_earlier(study, before_day, undated=undated) and (without_study is None or study.study != without_study)
    )


def compared_with(study: Study, studies: Iterable[Study]) -> tuple[Study, ...]:
    """What a comparison in a report most likely speaks of: the same patient's studies of the last day before it.

    Empty when there is none, or when the study has no day.
    """
    if study.day is None:
        return ()
    earlier = [one for one in studies if _same_patient(one, study) and one.day is not None and one.day < study.day]
    last = max((one.day for one in earlier if one.day is not None), default=None)
    return tuple(one for one in earlier if one.day == last)


def consecutive(studies: Iterable[Study]) -> Iterator[tuple[Study, Study]]:
    """Each study with each study of the patient's next day: (prior, current). Undated studies are in no pair."""
    days: dict[tuple[str, str], dict[float, list[Study]]] = {}
    for study in studies:
        if study.day is not None:
            days.setdefault((study.document, study.patient), {}).setdefault(study.day, []).append(study)
    for by_day in days.values():
        for earlier, later in pairwise(sorted(by_day)):
            yield from product(by_day[earlier], by_day[later])


def in_days(days: float) -> str:
    """A span of time in words: "1 day", "2.5 days"."""
    return "1 day" if days == 1 else f"{days:g} days"


def _by_day(group: Sequence[tuple[Passage, CaseLocator]]) -> Iterator[Study]:
    """The studies of passages that share a study id, one per day."""
    days = {_day(place) for _, place in group}
    dated = days - {None}
    only = next(iter(dated)) if len(dated) == 1 else None
    passages: dict[float | None, list[Passage]] = {}
    for passage, place in sorted(group, key=lambda entry: (entry[1].record, entry[0].id)):
        day = _day(place)
        passages.setdefault(only if day is None else day, []).append(passage)
    first, place = group[0]
    for day, members in passages.items():
        yield Study(first.document, place.patient or "", place.study, day, tuple(members))


def _day(place: CaseLocator) -> float | None:
    return place.day if place.day is not None and math.isfinite(place.day) else None


def _order(study: Study) -> tuple[str, str, bool, float, str, str]:
    undated = study.day is None
    return (study.document, study.patient, undated, study.day or 0.0, study.study or "", study.passages[0].id)


def _is_earlier(study: Study, before_day: float | None, *, undated: bool) -> bool:
    if study.day is None:
        return undated
    return before_day is None or study.day < before_day


def _same_patient(one: Study, other: Study) -> bool:
    return (one.document, one.patient) == (other.document, other.patient)
