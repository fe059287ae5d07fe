"""The wordings of relational questions: what is asked, over which relations, in words for tuning and in words held out.

A template names relations by their canonical names (knowledge/relations.toml), read from the answer or the start.
`{a}` and `{b}` are names of concepts. Nothing that is tuned on one set of wordings may see the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Shape = Literal["intersection", "chain", "shared", "single"]
Role = Literal["tune", "judge"]
SHAPES: tuple[Shape, ...] = ("intersection", "chain", "shared", "single")
ROLES: tuple[Role, ...] = ("tune", "judge")


@dataclass(frozen=True, slots=True)
class Template:
    """One sort of question.

    intersection: the answer D has `a` by the first relation and `b` by the second. chain: `a` leads by the first
    relation to D, and D by the second to the answer; a relation that starts with "^" is followed from tail to head.
    shared: `a` and `b` both have the answer by the relation. single: `a` has the answer by the relation.
    """

    shape: Shape
    relations: tuple[str, ...]
    wordings: Mapping[Role, tuple[str, ...]]


def _template(shape: Shape, relations: str, tune: tuple[str, ...], judge: tuple[str, ...]) -> Template:
    return Template(shape, tuple(relations.split()), {"tune": tune, "judge": judge})


TEMPLATES: tuple[Template, ...] = (
    _template(
        "intersection", "located_at has_finding",
        ("Which disease that is located in the {a} has the phenotype {b}?",),
        ("Name a condition of the {a} in which patients show {b}.",
         "{b} together with involvement of the {a}: which disorder is it?"),
    ),
    _template(
        "intersection", "is_a has_finding",
        ("Which kind of {a} has the symptom {b}?",),
        ("What type of {a} presents with {b}?", "A patient with {b} is said to have a form of {a}. Which one?"),
    ),
    _template(
        "intersection", "has_finding has_finding",
        ("Which disease has both {a} and {b} as symptoms?",),
        ("{a} and {b} occur together. What could the diagnosis be?",
         "What condition would explain {a} as well as {b}?"),
    ),
    _template(
        "intersection", "is_a located_at",
        ("Which {a} is located in the {b}?",),
        ("What sort of {a} arises in the {b}?", "Name a {a} of the {b}."),
    ),
    _template(
        "chain", "^treated_by has_finding",
        ("What symptom does the disease treated by {a} have?",),
        ("How does the illness that {a} is given for show itself?",
         "What would a patient who needs {a} complain of?"),
    ),
    _template(
        "chain", "^treated_by located_at",
        ("Where is the disease located that is treated by {a}?",),
        ("Which part of the body is affected by the condition for which {a} is prescribed?",),
    ),
    _template(
        "chain", "^treated_by is_a",
        ("What kind of disease is the one treated with {a}?",),
        ("To which group of disorders does the indication of {a} belong?",),
    ),
    _template(
        "chain", "^has_finding treated_by",
        ("Which drug treats a disease with the symptom {a}?",),
        ("What medicine is given for a condition that presents with {a}?",),
    ),
    _template(
        "chain", "^transmitted_by has_finding",
        ("What symptom does the disease transmitted by {a} have?",),
        ("What do people suffer from after an infection spread through {a}?",),
    ),
    _template(
        "shared", "has_finding",
        ("Which sign do {a} and {b} share?",),
        ("What clinical feature is common to {a} and {b}?", "How do {a} and {b} look alike to a clinician?"),
    ),
    _template(
        "shared", "located_at",
        ("Which location do {a} and {b} share?",),
        ("Which organ do both {a} and {b} affect?",),
    ),
    _template(
        "shared", "treated_by",
        ("Which treatment do {a} and {b} share?",),
        ("What medication helps in {a} and also in {b}?",),
    ),
    _template(
        "single", "has_finding",
        ("What is a symptom of {a}?",),
        ("How does {a} present?", "What features would you expect in {a}?"),
    ),
    _template(
        "single", "located_at",
        ("Where is {a} located?",),
        ("Which organ does {a} affect?", "In what part of the body does {a} occur?"),
    ),
    _template(
        "single", "treated_by",
        ("What is the treatment of {a}?",),
        ("Which medicine helps against {a}?",),
    ),
    _template(
        "single", "is_a",
        ("What kind of disease is {a}?",),
        ("To which group of disorders does {a} belong?",),
    ),
    _template(
        "single", "transmitted_by",
        ("How is {a} transmitted?",),
        ("By what route does one catch {a}?",),
    ),
    _template(
        "single", "causes",
        ("What does {a} cause?",),
        ("What does {a} lead to?",),
    ),
)  # fmt: skip
