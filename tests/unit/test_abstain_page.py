"""What the abstention benchmark computes from rows, and the page that it writes."""

import json
import math

import numpy as np
import pytest

from benchmarks.abstain_figures import curve_rows, figures, held_out, left_out_books, measured
from benchmarks.abstain_page import write_page
from rag.grounding.abstention import AnswerRow


def rows(n: int = 40) -> list[AnswerRow]:
    """Questions of two books: answerable ones score high, nonsense lowest, removed ones in between."""
    rng = np.random.default_rng(0)
    found = []
    for i in range(n):
        book = "page/heart/" if i % 2 else "page/drugs/"
        for arm, centre in (("answerable", 3.0), ("removed", 0.5), ("removed_gold", 1.5), ("other_book", -1.0)):
            one, two = centre + rng.normal(), centre + rng.normal()
            have = arm == "answerable"
            right = have or (arm == "removed_gold" and i % 4 == 0)
            signals = {"answer": one, "dense": two}
            found.append(AnswerRow(f"{i}/{arm}", arm, have, right, 1 / (1 + math.exp(-one)), f"{book}{i}", signals))
        found.append(
            AnswerRow(f"n{i}", "nonsense", False, False, 0.01, f"nonsense/{i}", {"answer": -4.0, "dense": -4.0})
        )
    return found


def test_an_arm_counts_once_and_what_the_rest_of_the_book_tells_is_told_apart() -> None:
    found = measured(rows(), splits=6)
    assert found["n"] == {"answerable": 40, "removed": 40, "removed_gold": 40, "other_book": 40, "nonsense": 40}
    assert "removed_gold" not in found["removed"]["modelled"]
    assert "removed" not in found["removed_gold"]["modelled"]
    assert 0 < found["removed_gold"]["modelled"]["still_told"]["mean"] <= 0.25
    assert json.loads(json.dumps(found, allow_nan=False)) is not None


def test_held_out_signals_withhold_more_and_spreads_hold_their_mean() -> None:
    found = held_out([row for row in rows() if row.arm != "removed_gold"], 10)
    for fit in found.values():
        assert all(one["low"] <= one["mean"] <= one["high"] for one in fit.values())
    assert found["modelled"]["nonsense"]["mean"] == 1.0
    assert found["modelled"]["false_abstention"]["mean"] < 0.15
    assert found["modelled"]["withheld"]["mean"] > found["default"]["withheld"]["mean"]


def test_shares_are_those_of_a_hand_made_case() -> None:
    made = [
        AnswerRow("a", "answerable", True, True, 0.9),
        AnswerRow("b", "answerable", True, False, 0.8),
        AnswerRow("c", "answerable", True, True, 0.2),
        AnswerRow("d", "removed_gold", False, True, 0.7),
        AnswerRow("e", "removed_gold", False, True, 0.1),
    ]
    assert figures(made, 0.5) == pytest.approx(
        {
            "withheld": 0.5,
            "false_abstention": 1 / 3,
            "right_withheld": 0.5,
            "right_of_answered": 0.5,
            "removed_gold": 0.5,
            "still_told": 0.5,
        }
    )


def test_a_book_is_measured_by_what_others_gave_and_only_when_large_enough() -> None:
    found = left_out_books(rows())
    assert set(found) == {"heart", "drugs"}
    assert found["heart"]["false_abstention"] < 0.3
    assert left_out_books(rows(12)) == {}


def test_the_page_shows_every_arm_the_curves_and_the_texts(tmp_path) -> None:
    path = tmp_path / "abstain.md"
    write_page(
        path, curve_rows(rows()), measured(rows(), 4), {"source": "What was asked.", "remarks": "What it means."}
    )
    page = path.read_text()
    for words in ("What was asked.", "What it means.", "| removed: withheld | 40 |", "| removed_gold: withheld | 40 |"):
        assert words in page
    assert "| heart | " in page
    assert "**without an answer, in sum: withheld** | 120 |" in page
    drawing = (tmp_path / "images" / "abstain.svg").read_text()
    assert drawing.count("<polyline") == 3
