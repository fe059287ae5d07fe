"""Fields of a record: read, checked, and named in the message when they cannot be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

from eval.items.item import AnswerType, Region
from eval.items.reading import Record

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class FieldError(ValueError):
    """A field is missing or has another form."""


def text(record: Record, *names: str) -> str:
    """The first of these fields that is filled, as text; numbers are read as text. Raises FieldError."""
    found = maybe_text(record, *names)
    if found is None:
        raise FieldError(f"the field {' or '.join(names)} is missing or empty")
    return found


def maybe_text(record: Record, *names: str) -> str | None:
    """As `text`, but None when none is filled."""
    for name in names:
        value = record.data.get(name)
        if value is None or (isinstance(value, float) and isnan(value)):
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise FieldError(f"the field {name} is {_short(value)}, not a text")
        if str(value).strip():
            return str(value).strip()
    return None


def texts(record: Record, *names: str) -> tuple[str, ...]:
    """The first of these fields as a tuple of texts: a list, nested lists, or one text; empty when absent."""
    for name in names:
        value = record.data.get(name)
        if value is not None:
            return tuple(_flat(value, name))
    return ()


def groups(record: Record, **fields: str) -> dict[str, str]:
    """Subgroup fields, group name to value: each is the named field as text; what is not filled is left out."""
    found = {group: maybe_text(record, field) for group, field in fields.items()}
    return {group: value for group, value in found.items() if value}


def options(record: Record, name: str = "options") -> dict[str, str]:
    """Letter to text, from a mapping, a list, or a list of "A: ..." texts; empty when absent.

    Raises:
        FieldError: another form, an empty text, or more than 26.
    """
    value = record.data.get(name)
    if value is None:
        return {}
    if isinstance(value, Mapping):
        given = {str(letter).strip(): _option(each, name) for letter, each in value.items() if each is not None}
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        given = lettered([_option(each, name) for each in value])
    else:
        raise FieldError(f"the field {name} is {_short(value)}, not a list or a mapping of options")
    return given


def lettered(choices: Sequence[str]) -> dict[str, str]:
    """Options by letter in their order; a letter that every text already begins with ("A: ...") is taken off."""
    if len(choices) > len(_LETTERS):
        raise FieldError(f"there are {len(choices)} options, more than letters")
    letters = _LETTERS[: len(choices)]
    own = all(
        choice[:1] == letter and choice[1:2] in {":", ".", ")"} for letter, choice in zip(letters, choices, strict=True)
    )
    return {
        letter: choice[2:].strip() if own else choice for letter, choice in zip(letters, choices, strict=True)
    }  # fmt: skip


def letter_of(answer: str, choices: Mapping[str, str]) -> str:
    """The option's letter, from a letter (`B`, `(b)`, `B: text`) or from the text of exactly one option.

    Raises:
        FieldError: neither.
    """
    bare = answer.strip().strip("().:").strip()
    for letter in choices:
        if bare.lower() == letter.lower() or answer.strip().startswith((f"{letter}:", f"{letter}.", f"{letter})")):
            return letter
    same = [letter for letter, choice in choices.items() if choice.strip().lower() == answer.strip().lower()]
    if len(same) == 1:
        return same[0]
    raise FieldError(f"the answer {_short(answer)} is none of the options {', '.join(choices)}")


def answer_type_of(answers: Sequence[str], given: str | None = None) -> AnswerType:
    """The type `yesno` when every answer is yes or no, else closed or open as the benchmark says, or open."""
    if answers and all(answer.strip().rstrip(".").lower() in {"yes", "no"} for answer in answers):
        return "yesno"
    return "closed" if (given or "").strip().upper() == "CLOSED" else "open"


def regions(record: Record, name: str, labels: Sequence[str] = (), image: int = 0) -> tuple[Region, ...]:
    """Boxes [x0, y0, x1, y1] of a field, in pixels, with their names.

    Raises:
        FieldError: a box is not four numbers.
    """
    value = record.data.get(name) or []
    boxes = [value] if value and isinstance(value[0], int | float) else value
    found = []
    for number, box in enumerate(boxes):
        if not isinstance(box, Sequence) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
            raise FieldError(f"the field {name} holds {_short(box)}, not a box of four numbers")
        x0, y0, x1, y1 = (float(side) for side in box)
        found.append(Region((x0, y0, x1, y1), labels[number] if number < len(labels) else "", image))
    return tuple(found)


def _flat(value: object, name: str) -> list[str]:
    if isinstance(value, str):
        return [value.strip()] if value.strip() else []
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, Sequence):
        return [one for each in value for one in _flat(each, name)]
    raise FieldError(f"the field {name} is {_short(value)}, not a text or a list of texts")


def _option(value: Any, name: str) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise FieldError(f"the field {name} holds {_short(value)}, not the text of an option")
    return str(value).strip()


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
