"""Answer scoring under a name: the clean default, and rules under which published figures were made.

A preset turns one item and one reply into named values; `summarise` means them with their denominators. A result always
carries the preset's name and version. Replicas are written from reading the scripts: compare with the originals' output
on your own data before you quote a difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from eval.items.item import Item
from eval.metrics import choices, closed, words
from eval.metrics.normalise import clean
from eval.metrics.scores import Score, mean_score
from rag.errors import ConfigError

Values = Mapping[str, float | None]
"""Metric name to value; None where the rule cannot score the item."""

Rule = Callable[[Item, str], Values]


@dataclass(frozen=True, slots=True)
class AnswerPreset:
    """How replies are scored. `version` grows when a rule changes; `source` is what it was read from.

    `answered` holds the rule per kind of answer; kinds without a rule are not scored.
    """

    name: str
    version: int
    source: str
    answered: Mapping[str, Rule]

    def score(self, item: Item, reply: str) -> Values:
        """The values of one reply; empty when the preset has no rule for the item's kind, or it has no gold."""
        rule = self.answered.get(item.answer_type)
        return {} if rule is None or not item.answers else rule(item, reply)


def summarise(values: Sequence[Values]) -> dict[str, Score]:
    """The mean of each metric over the items it applies to. `left_out`: scored by the preset, but not by the metric."""
    names = dict.fromkeys(name for one in values for name in one)
    return {name: mean_score(one[name] for one in values if name in one) for name in names}


def _strict_closed(item: Item, reply: str) -> Values:
    known = tuple(item.options.values()) or (closed.PUBMEDQA_LABELS if "maybe" in item.answers else ())
    given = [closed.strict_closed(reply, gold, known) for gold in item.answers]
    scored = [value for value in given if value is not None]
    return {"accuracy": max(scored) if scored else None}


def _category_closed(item: Item, reply: str) -> Values:
    known = tuple(item.options.values())
    return {"accuracy": closed.strict_closed(reply, item.answers[0], known, leading_word=False)}


def _strict_choice(item: Item, reply: str) -> Values:
    letter = choices.parse_choice(reply, item.options)
    return {"accuracy": float(letter in item.answers), "parsed": float(letter is not None)}


def _strict_multi(item: Item, reply: str) -> Values:
    said = frozenset(letter for letter in item.options if letter in _letters(reply, item.options))
    exact, f1 = choices.set_scores([frozenset(item.answers)], [said])
    return {"set_accuracy": exact.value, "set_f1": f1.value, "parsed": float(bool(said))}


def _strict_open(item: Item, reply: str) -> Values:
    overlaps = [words.token_overlap(reply, gold) for gold in item.answers]
    return {
        "exact_match": words.exact_match(reply, item.answers),
        "token_f1": max(one.f1 for one in overlaps),
        "token_recall": max(one.recall for one in overlaps),
    }


def _llava_closed(item: Item, reply: str) -> Values:
    return {"accuracy": closed.llava_med_closed(reply, item.answers[0])}


def _llava_open(item: Item, reply: str) -> Values:
    overlap = words.llava_med_overlap(reply, item.answers[0])
    return {
        "recall": overlap.recall, "precision": overlap.precision, "f1": overlap.f1,
        "exact": words.llava_med_exact(reply, item.answers[0]),
    }  # fmt: skip


def _path_vqa_open(item: Item, reply: str) -> Values:
    overlap = words.llava_med_overlap(reply, item.answers[0], str.lower)
    return {
        "f1": overlap.f1, "recall": overlap.recall,
        "exact": words.llava_med_exact(reply, item.answers[0], str.lower),
    }  # fmt: skip


def _path_vqa_closed(item: Item, reply: str) -> Values:
    said, wanted = reply.lower(), item.answers[0].lower().strip(". ")
    return {"accuracy": float(("yes" in said or "no" in said) and wanted in said)}


def _equal(item: Item, reply: str) -> Values:
    """SLAKE's own baseline answers from a closed list, so equality in lower case is its accuracy."""
    return {"accuracy": float(any(reply.strip().lower() == gold.strip().lower() for gold in item.answers))}


def _medevalkit_closed(item: Item, reply: str) -> Values:
    return {"accuracy": closed.medevalkit_closed(reply, item.answers[0])}


def _medevalkit_open(item: Item, reply: str) -> Values:
    overlap = words.set_overlap(reply, item.answers[0])
    same = reply.strip().lower() == item.answers[0].strip().lower()
    return {"exact": float(same), "precision": overlap.precision, "recall": overlap.recall, "f1": overlap.f1}


def _medevalkit_choice(item: Item, reply: str) -> Values:
    chosen = choices.medevalkit_choice(reply, item.options)
    return {"accuracy": float(chosen in item.answers)}


def _mirage_choice(item: Item, reply: str) -> Values:
    letter = choices.mirage_choice(reply, "".join(item.options))
    return {"accuracy": float(letter in item.answers), "parsed": float(letter is not None)}


def _temmed_closed(item: Item, reply: str) -> Values:
    return {"accuracy": closed.temmed_closed(reply, item.answers[0])}


def _decision(item: Item, reply: str) -> Values:
    said = closed.decision(reply)
    right = {clean(gold) for gold in item.answers}
    return {"accuracy": float(said in right), "parsed": float(said is not None)}


def _letters(reply: str, options: Mapping[str, str]) -> frozenset[str]:
    """The letters that stand alone in a list such as `A, C` or `A and C`; of a longer reply its final answer."""
    text = closed.final_answer(reply).strip().rstrip(".")
    parts = text.replace(" and ", ",").replace(";", ",").replace("&", ",").split(",")
    bare = {part.strip().strip("()").strip().upper() for part in parts}
    named = frozenset(letter for letter in options if letter.upper() in bare)
    if named:
        return named
    said = clean(reply)
    return frozenset(letter for letter, text in options.items() if f" {clean(text)} " in f" {said} ")


def _kinds(yes_no: Rule, other: Rule, choice: Rule | None = None) -> dict[str, Rule]:
    """Rules for yes/no and closed questions, for open ones, and for choices where there is one."""
    rules = {"yesno": yes_no, "closed": yes_no, "open": other}
    return rules if choice is None else {**rules, "choice": choice}


STRICT = AnswerPreset(
    "strict", 1, "whole words, option letters; SURE-VQA's closed rule with longest matches and a leading yes or no",
    {**_kinds(_strict_closed, _strict_open, _strict_choice), "multi": _strict_multi},
)  # fmt: skip

PRESETS: tuple[AnswerPreset, ...] = (
    STRICT,
    AnswerPreset("sure_vqa", 1, "IML-DKFZ/sure-vqa: closed by category, token figures beside it",
                 _kinds(_category_closed, _strict_open)),
    AnswerPreset("llava_med_2023", 1, "microsoft/LLaVA-Med fc39e79: substring closed accuracy, open recall",
                 _kinds(_llava_closed, _llava_open)),
    AnswerPreset("path_vqa", 1, "UCSD-AI4H/PathVQA: as LLaVA-Med without normalisation",
                 _kinds(_path_vqa_closed, _path_vqa_open)),
    AnswerPreset("slake", 1, "SLAKE paper: equality for open and closed answers", _kinds(_equal, _equal)),
    AnswerPreset("medevalkit", 1, "alibaba-damo-academy/MedEvalKit, its three open figures rightly named",
                 _kinds(_medevalkit_closed, _medevalkit_open, _medevalkit_choice)),
    AnswerPreset("mirage", 1, "Teddy-XiongGZ/MIRAGE: ordered letter patterns, else wrong", {"choice": _mirage_choice}),
    AnswerPreset("mediconfusion", 1, "MShahabSepehri/MediConfusion, multiple choice mode: one letter, else invalid",
                 {"choice": _strict_choice}),
    AnswerPreset("temmed", 1, "Levi-ZJY/TemMed-Bench: the reply's first letters; others are left out",
                 {"yesno": _temmed_closed}),
    AnswerPreset("pubmedqa", 1, "PubMedQA: yes, no or maybe; macro F1 from `class_scores`", {"yesno": _decision}),
)  # fmt: skip
"""Every preset; look one up with `preset_of`."""


def preset_of(name: str) -> AnswerPreset:
    """The preset of that name.

    Raises:
        ConfigError: there is none; the message names those that are.
    """
    for preset in PRESETS:
        if preset.name == name:
            return preset
    raise ConfigError(f"there is no answer preset {name!r}; the presets are {', '.join(one.name for one in PRESETS)}")
