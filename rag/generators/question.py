"""What a question asks: its parts, whether it is negated, and the statement it makes with an option."""

from __future__ import annotations

import re

from rag.sentences import STOPWORDS, words

_WH = r"(?:what|which|who|whom|whose|where|when|why|how|in which|to which|from which|by which|for what)"
_AUXILIARY = r"(?:is|are|was|were|do|does|did|can|could|should|would|will|has|have)"
_BREAK = re.compile(
    rf"(?<=[?;])\s+|,?\s+and\s+(?={_WH}\b)|,\s+(?={_WH}\s+{_AUXILIARY}\b)|,\s+and\s+(?={_AUXILIARY}\s)", re.IGNORECASE
)
_POINTS_BACK = re.compile(r"\b(?:it|its|they|their|them|this|these|those|he|she|his|her)\b", re.IGNORECASE)
_NEGATED = re.compile(
    r"\b(?:NOT|EXCEPT|LEAST|FALSE|INCORRECT)\b"
    r"|(?i:\b(?:each|all|any|one|following|these)\b.*\bexcept\b)"
    # Few words between: "which drug is given when heparin is not tolerated" does not ask for what is not so.
    rf"|(?i:\b(?:which|what)(?: of (?:the )?(?:following|these))?(?: [\w-]+){{0,4}}? {_AUXILIARY} (?:not|least|false|"
    r"incorrect|untrue)\b)"
    r"|(?i:\b(?:false|incorrect|untrue) (?:statement|sentence|option|answer|claim)s?\b)",
    re.DOTALL,
)
_BLANK = re.compile(r"_{2,}|\.{4,}|\[blank\]")
_ASKS_FOR_STATEMENT = re.compile(
    r"^\W*(?:which|what|identify|select|choose)\b.{0,40}\b(?:statements?|sentences?|options?|following|these|claims?)\b"
    r"[^?]{0,25}\b(?:true|false|correct|incorrect|accurate)\b",
    re.IGNORECASE,
)


def split_question(text: str) -> tuple[str, ...]:
    """The questions asked at once ("Which ... , and what ...?"), in order; at least one.

    A later part that points back (its, they ...) gets the content words of the first part behind it, so that it can be
    answered alone. A sentence that only sets the scene stays with the question that follows it.
    """
    pieces = [piece.strip() for piece in _BREAK.split(text) if piece and piece.strip()]
    if len(pieces) < 2 or any(len(piece.split()) < 3 for piece in pieces):
        return (text.strip(),)
    subject = " ".join(word for word in words(pieces[0]) if word not in STOPWORDS)
    return (pieces[0], *(f"{piece} ({subject})" if _POINTS_BACK.search(piece) else piece for piece in pieces[1:]))


def is_negated(question: str) -> bool:
    """Whether the right option is the one that does not hold (NOT, EXCEPT, "which is not ...", "which is false")."""
    return bool(_NEGATED.search(question))


def statement(question: str, option: str) -> str:
    """The sentence that would be true if the option were right.

    A blank is filled. "Which of these statements is true?" leaves the option itself, together with what the question
    names beyond that. Otherwise question and option stand side by side.
    """
    option = option.strip()
    if _BLANK.search(question):
        return _BLANK.sub(option.rstrip("."), question, count=1)
    if not names_topic(question):
        return option
    if _ASKS_FOR_STATEMENT.search(question):
        return f"{' '.join(_topic(question))}: {option}"
    return f"{question.strip()} {option}"


def names_topic(question: str) -> bool:
    """Whether a question says what it is about. "Which of these is true?" does not: search with its options."""
    return bool(_topic(question))


def _topic(question: str) -> list[str]:
    return [word for word in words(question) if word not in STOPWORDS and word not in _FRAME]


_FRAME = frozenset(
    ["statement", "statements", "true", "false", "correct", "incorrect", "accurate", "sentence", "sentences", "option",
     "options", "claim", "claims", "best", "describe", "describes", "identify", "select", "choose"]
)  # fmt: skip


_IMAGE_WORDS = (
    "image images picture photo photograph scan film radiograph x-ray x ray xray ct mri mr ultrasound slide fundus "
    "chest figure show shows shown see seen visible finding findings diagnosis abnormality abnormalities abnormal "
    "describe report interpret please likely patient main present"
)
_SHOWN = frozenset(_IMAGE_WORDS.split())


def asks_what_is_shown(question: str) -> bool:
    """Whether a question asks only what its image shows: no word of it names anything to look for."""
    return all(word in _SHOWN for word in words(question) if word not in STOPWORDS)
