"""Closed answers (yes or no, or one of a few categories): the strict rule, and the rules of published scripts.

Every rule returns 1, 0, or None for an item that it cannot score. Substring rules reward wrong medicine (`no` is found
in `normal`); they stand here for comparison with published figures only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval.metrics.normalise import challenge, clean

YES_NO = ("yes", "no")
PUBMEDQA_LABELS = ("yes", "no", "maybe")

_FINAL = re.compile(r"\\boxed\{([^{}]*)\}|<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_ANSWER_IS = re.compile(r"answer\s*(?:is|:)\s*:?\s*", re.IGNORECASE)


def strict_category(text: str, categories: Sequence[str]) -> str | None:
    """The one category that a text names by whole words; None when it names none or several.

    A category inside a longer one that is named (lung in left lung) does not count again. After SURE-VQA's closed rule,
    https://arxiv.org/abs/2411.19688, with longest matches.
    """
    said = clean(text)
    spans: list[tuple[int, int, str]] = []
    for category in dict.fromkeys(categories):
        wanted = clean(category)
        if wanted:
            found = re.finditer(rf"(?<!\S){re.escape(wanted)}(?!\S)", said)
            spans.extend((match.start(), match.end(), category) for match in found)
    named = {
        category
        for start, end, category in spans
        if not any(a <= start and end <= b and (b - a) > (end - start) for a, b, _ in spans)
    }
    return next(iter(named)) if len(named) == 1 else None


def strict_closed(reply: str, gold: str, categories: Sequence[str] = (), *, leading_word: bool = True) -> float | None:
    """1 when the reply names the gold category and no other, by whole words.

    Without categories a yes/no gold has those two, and any other gold is the only category. `leading_word`: a reply
    that opens with yes, no or maybe says that, whatever follows ("Yes, there is no effusion"); SURE-VQA has it False.
    None when the gold itself names several categories or none.
    """
    known = categories or (YES_NO if clean(gold) in YES_NO else (gold,))
    wanted = strict_category(gold, known)
    if wanted is None:
        return None
    said = _opening(reply, known) if leading_word else None
    return float((said or strict_category(reply, known)) == wanted)


def llava_med_closed(reply: str, gold: str) -> float:
    """LLaVA-Med: 1 when the normalised reply holds `yes` or `no` as a substring, and the gold as a substring.

    So `normal` satisfies no, `eyes` yes, and a closed answer other than yes and no is nearly always wrong.
    """
    said, wanted = challenge(reply), challenge(gold)
    return float(("yes" in said or "no" in said) and wanted in said)


def medevalkit_closed(reply: str, gold: str) -> float:
    """MedEvalKit: yes/no by which of the two occurs alone as a substring of the final answer, otherwise equality."""
    said = final_answer(reply).lower().replace("\n", "").replace(".", "").strip()
    wanted = gold.lower().strip().rstrip(".")
    if wanted not in YES_NO:
        return float(said == wanted)
    named = [word for word in YES_NO if word in said]
    return float(named == [wanted])


def temmed_closed(reply: str, gold: str) -> float | None:
    """TemMed-Bench: the first letters of the reply decide; None when they are neither yes nor no (its script stops)."""
    said = _leading_yes_no(reply)
    return None if said is None else float(said == _leading_yes_no(gold))


def final_answer(reply: str) -> str:
    """The last boxed or tagged answer, else what follows the last "answer is" or "answer:", else the whole reply."""
    marked = [first or second for first, second in _FINAL.findall(reply)]
    return marked[-1].strip() if marked else _ANSWER_IS.split(reply)[-1].strip()


def decision(reply: str, labels: Sequence[str] = PUBMEDQA_LABELS) -> str | None:
    """The label that the final answer names alone, by whole words; else the one the whole reply names alone."""
    return strict_category(final_answer(reply), labels) or strict_category(reply, labels)


def _opening(reply: str, categories: Sequence[str]) -> str | None:
    """The yes, no or maybe that a reply opens with, unless another follows at once ("yes or no", "yes/no")."""
    names = {clean(category): category for category in categories}
    said = clean(reply).split()
    if not said or said[0] not in names or not names.keys() <= set(PUBMEDQA_LABELS):
        return None
    return None if set(said[1:3]) & {"or", "and", "maybe"} or said[1:2] == ["no"] else names[said[0]]


def _leading_yes_no(text: str) -> str | None:
    said = text.strip().lower()
    return "yes" if said.startswith("yes") else "no" if said.startswith("no") else None
