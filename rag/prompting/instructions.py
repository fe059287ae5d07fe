"""Lines of evidence that read like instructions to a model, and characters that only a model would see.

Both are marks of prompt injection (594 attacks on four vision-language models, all open to it: Clusmann et al., Nature
Communications 2025, https://doi.org/10.1038/s41467-024-55631-x). A pattern is a hint and no proof, so such lines are
kept and flagged, never deleted; but no answer may rest on one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from rag.sentences import content_stems

_ORDERS = "instructions?|prompts?|rules|orders|directions|guidelines|text|context|messages?|passages|evidence|sources"
_SAY = "answer|reply|respond|output|print|say|write|repeat|return|conclude|state|report|diagnose|cite|quote"
_PATTERNS = (
    rf"\b(?:ignore|disregard|forget|override|bypass|skip)\b.{{0,40}}\b(?:{_ORDERS}|everything|anything)\b",
    r"\b(?:new|updated|additional|hidden|secret|real|system|developer)[\s-]+(?:instructions?|prompts?|orders?|messages?)\b",
    r"^\W*(?:system|assistant|developer|user|ai|model|instructions?|prompt)\s*(?:prompt|message|note)?\s*[:>\]]",
    r"<\|[^|>]{1,40}\|>|\[/?INST\]|</?(?:system|assistant|user|instructions?)>|^##+\s*(?:system|instruction)",
    r"\b(?:you|the (?:ai|model|assistant|chatbot|llm|reader))\s+(?:are now|must|should|shall|have to|need to)\b"
    rf".{{0,60}}\b(?:{_SAY}|claim|tell|obey|follow|comply|include|append|call|visit|send|use|act|pretend|set)\b",
    rf"^\W*(?:please\s+)?(?:now\s+|always\s+|only\s+|instead\s+)*(?:{_SAY})\b.{{0,30}}\b(?:only|exactly|instead|verbatim|"
    r"with|the (?:word|phrase|token|code|following|sentence|text)|that|this)\b",
    rf"\b(?:instead|rather),?\s+(?:of\s+\S+ing\b.{{0,40}})?(?:please\s+)?(?:{_SAY})\b",
    r"\bas an? (?:ai|language model|assistant)\b|\bif you are an? (?:ai|llm|language model|assistant|model)\b",
    r"\b(?:attention|note to|message (?:to|for)|to) (?:the )?(?:ai|llm|model|language model|assistant|chatbot)\b",
    r"\b(?:call|invoke|run|execute|use)\s+(?:the\s+)?(?:tool|function|command|plugin|api)\b",
    r"\b(?:send|post|upload|transmit|forward|leak|exfiltrate|visit|open|fetch)\b.{0,60}(?:https?:|www\.|\S+@\S+\.\w+)",
    r"!\[[^\]]{0,200}\]\(\s*https?:",
    r"\b(?:cite|use|quote)\s+(?:only\s+)?(?:passage|evidence|source|id|document)\s+E?\d+\b|\bcite\s+E\d+\b",
    r"\b(?:do not|don't|never)\s+(?:cite|mention|reveal|tell|follow|obey|use the other|trust|consult)\b",
    r"\b(?:set|mark)\s+[\"'`]?(?:insufficient|choice|confidence|evidence)\b",
    r"\b(?:canary|jailbreak|prompt injection)\b",
)
_INSTRUCTION = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE)

_INVISIBLE = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u2028\u2029\u202a-\u202e"
    "\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
"""Control, direction and tag characters. The joiners U+200C and U+200D stay: some scripts are written with them."""


def visible(text: str) -> str:
    """The text without characters that are not seen on paper."""
    return _INVISIBLE.sub("", text)


def reads_like_instruction(line: str) -> bool:
    """Whether a line addresses a model rather than a reader: a hint from patterns, English only."""
    plain = unicodedata.normalize("NFKC", visible(line))
    return bool(_INSTRUCTION.search(plain))


@lru_cache(maxsize=512)
def instruction_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Where lines that read like instructions stand: `text[start:end]`, without the line break.

    A line is also read together with the next one, as instructions wrap. What follows a flagged line that ends with a
    colon belongs to it: it is what should be said.
    """
    lines: list[tuple[int, int]] = []
    offset = 0
    for raw in text.splitlines(keepends=True):
        lines.append((offset, offset + len(raw.rstrip("\r\n"))))
        offset += len(raw)
    orders = [reads_like_instruction(text[start:end]) for start, end in lines]
    flagged: set[int] = set()
    for i, (start, end) in enumerate(lines):
        follows = i - 1 in flagged and text[: lines[i - 1][1]].rstrip().endswith(":")
        if orders[i] or follows:
            flagged.add(i)
        wraps = i + 1 < len(lines) and not orders[i] and not orders[i + 1]
        if wraps and reads_like_instruction(f"{text[start:end]} {text[slice(*lines[i + 1])]}"):
            flagged |= {i, i + 1}
    return tuple(lines[i] for i in sorted(flagged) if lines[i][1] > lines[i][0])


def ordered_words(texts: Iterable[str]) -> frozenset[str]:
    """Stems that stand in lines which read like instructions and nowhere else in these texts.

    A statement that has one of them beyond its quote has it from an instruction: what was ordered to be said.
    """
    ordered: set[str] = set()
    told: set[str] = set()
    for text in texts:
        at = 0
        for start, end in (*instruction_spans(text), (len(text), len(text))):
            told.update(content_stems(text[at:start]))
            ordered.update(content_stems(visible(text[start:end])))
            at = end
    return frozenset(ordered - told)


def rests_on_instruction(text: str, start: int, end: int) -> bool:
    """Whether the stretch `text[start:end]` touches a line that reads like an instruction."""
    return any(first < end and last > start for first, last in instruction_spans(text))
