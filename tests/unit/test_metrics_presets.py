"""The presets score the same reply differently, and only what they have a rule for."""

import pytest

from eval.items import Item
from eval.metrics.presets import PRESETS, STRICT, preset_of, summarise
from eval.metrics.scores import Score
from rag.errors import ConfigError

YES_NO = Item("1", "d", "yesno", "Is it?", answers=("no",))
OPEN = Item("2", "d", "open", "Where?", answers=("left lung opacity",))
CHOICE = Item("3", "d", "choice", "Which?", options={"A": "cyst", "B": "mass"}, answers=("B",))
MULTI = Item("4", "d", "multi", "Which?", options={"A": "cyst", "B": "mass", "C": "air"}, answers=("A", "C"))
MAYBE = Item("5", "d", "yesno", "Does it?", options={"A": "yes", "B": "no", "C": "maybe"}, answers=("maybe",))


@pytest.mark.parametrize(
    ("preset", "item", "reply", "expected"),
    [
        ("strict", YES_NO, "Normal.", {"accuracy": 0.0}),
        ("llava_med_2023", YES_NO, "Normal.", {"accuracy": 1.0}),
        ("path_vqa", YES_NO, "Normal.", {"accuracy": 1.0}),
        ("medevalkit", YES_NO, "Normal.", {"accuracy": 1.0}),
        ("slake", YES_NO, "Normal.", {"accuracy": 0.0}),
        ("slake", YES_NO, " No", {"accuracy": 1.0}),
        ("temmed", YES_NO, "Normal.", {"accuracy": 1.0}),
        ("temmed", YES_NO, "It is.", {"accuracy": None}),
        ("pubmedqa", MAYBE, "The answer is maybe.", {"accuracy": 1.0, "parsed": 1.0}),
        ("pubmedqa", MAYBE, "Unclear.", {"accuracy": 0.0, "parsed": 0.0}),
        ("strict", MAYBE, "maybe", {"accuracy": 1.0}),
        ("strict", CHOICE, "It is a mass.", {"accuracy": 1.0, "parsed": 1.0}),
        ("strict", CHOICE, "A or B", {"accuracy": 0.0, "parsed": 0.0}),
        ("mirage", CHOICE, "A or B", {"accuracy": 0.0, "parsed": 1.0}),
        ("mirage", CHOICE, "It is a mass.", {"accuracy": 0.0, "parsed": 0.0}),
        ("medevalkit", CHOICE, "massive", {"accuracy": 1.0}),
        ("mediconfusion", CHOICE, "(B)", {"accuracy": 1.0, "parsed": 1.0}),
        ("strict", MULTI, "A and C", {"set_accuracy": 1.0, "set_f1": 1.0, "parsed": 1.0}),
        ("strict", MULTI, "Answer: A, B", {"set_accuracy": 0.0, "set_f1": 0.5, "parsed": 1.0}),
        ("strict", MULTI, "a cyst with air", {"set_accuracy": 1.0, "set_f1": 1.0, "parsed": 1.0}),
        ("strict", MULTI, "none", {"set_accuracy": 0.0, "set_f1": 0.0, "parsed": 0.0}),
        ("mirage", YES_NO, "no", {}),
        ("temmed", OPEN, "no", {}),
    ],
)  # fmt: skip
def test_what_each_preset_makes_of_a_reply(preset, item, reply, expected):
    assert preset_of(preset).score(item, reply) == expected


def test_open_figures_differ_by_preset():
    reply = "left left lung"
    assert preset_of("llava_med_2023").score(OPEN, reply)["recall"] == 0.75
    assert preset_of("path_vqa").score(OPEN, reply)["f1"] == pytest.approx(6 / 7)
    assert STRICT.score(OPEN, reply) == pytest.approx({"exact_match": 0, "token_f1": 2 / 3, "token_recall": 2 / 3})
    assert preset_of("medevalkit").score(OPEN, reply)["f1"] == pytest.approx(0.8)


def test_an_item_without_gold_is_not_scored():
    assert STRICT.score(Item("w", "d", "choice", "?", options={"A": "x"}), "A") == {}


def test_a_summary_keeps_what_was_left_out():
    temmed = preset_of("temmed")
    found = summarise([temmed.score(YES_NO, reply) for reply in ("no", "yes", "hard to say")])
    assert found == {"accuracy": Score(0.5, 2, 1)}
    assert summarise([]) == {}


def test_presets_have_names_of_their_own():
    assert len({preset.name for preset in PRESETS}) == len(PRESETS)
    with pytest.raises(ConfigError, match="no answer preset 'strickt'; the presets are strict"):
        preset_of("strickt")
