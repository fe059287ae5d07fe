"""The record that every benchmark becomes: one question with its images, its right answers and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from eval.gold import Unit
from rag.types import Query

AnswerType = Literal["yesno", "closed", "choice", "multi", "open", "report", "retrieval"]
"""yesno: yes or no (or maybe). closed: one of a few words. choice: one letter. multi: several letters. open: free text.
report: a whole report. retrieval: no answer, only gold evidence."""

ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)


@dataclass(frozen=True, slots=True)
class ItemImage:
    """An image as the benchmark names it. `path` is None when the file is missing, or embedded and not extracted."""

    name: str
    path: Path | None = None
    embedded: bool = False

    @property
    def missing(self) -> bool:
        """Whether the image is nowhere."""
        return self.path is None and not self.embedded


@dataclass(frozen=True, slots=True)
class GoldEvidence:
    """A unit (page, case, fact, or document of the benchmark's own corpus) that is right, with its grade above 0."""

    unit: Unit
    grade: float = 1.0


@dataclass(frozen=True, slots=True)
class Region:
    """A place in an image: `bounds` are x0, y0, x1, y1 in pixels as the benchmark gives them, of image number `image`.

    GEMeX counts in images that its authors resized: compare the size before you draw.
    """

    bounds: tuple[float, float, float, float]
    name: str = ""
    image: int = 0


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a benchmark.

    `options` maps letters to texts in order. `answers` are the right ones: letters for choice and multi (all of them
    right together in multi), else texts any of which is right. `groups` are subgroup fields such as modality.
    `contexts` are texts that the benchmark gives with the question. `pair` joins items that are scored together.
    `report` is the reference report, `prior_report` that of the earlier study. `answerable` is False where the right
    reply is to decline.
    """

    id: str
    dataset: str
    answer_type: AnswerType
    question: str = ""
    split: str = ""
    images: tuple[ItemImage, ...] = ()
    prior_images: tuple[ItemImage, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, ...] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    patient: str | None = None
    study: str | None = None
    pair: str | None = None
    gold: tuple[GoldEvidence, ...] = ()
    contexts: tuple[str, ...] = ()
    report: str | None = None
    prior_report: str | None = None
    regions: tuple[Region, ...] = ()
    answerable: bool = True

    @property
    def every_image(self) -> tuple[ItemImage, ...]:
        """Current and prior images."""
        return self.images + self.prior_images

    @property
    def complete(self) -> bool:
        """Whether no image is missing."""
        return not any(image.missing for image in self.every_image)

    @property
    def cluster(self) -> str:
        """What items are not independent within: patient, else study, first image, or the item itself."""
        for kind, name in (("patient", self.patient), ("study", self.study)):
            if name:
                return f"{kind}:{name}"
        return f"image:{self.images[0].name}" if self.images else f"item:{self.id}"

    def as_query(self) -> Query:
        """The item as a question to the system; gold, answers and contexts stay behind.

        Raises:
            ValueError: the item has neither a question nor an image file.
        """
        return Query(
            text=self.question,
            images=tuple(image.path for image in self.images if image.path),
            id=self.id,
            options=tuple(self.options.values()),
            prior_images=tuple(image.path for image in self.prior_images if image.path),
            patient=self.patient,
            study=self.study,
        )


@dataclass(frozen=True, slots=True)
class CorpusRecord:
    """A document of the benchmark's own corpus, under the name that gold evidence uses."""

    id: str
    text: str = ""
    title: str = ""
    images: tuple[ItemImage, ...] = ()
    prior_images: tuple[ItemImage, ...] = ()
