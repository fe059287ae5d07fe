"""What every judge promises."""

from __future__ import annotations

import numpy as np
import pytest

from rag.protocols import Judge

_QUOTE = "A 4.5 mm nodule is seen in the left lung, without effusion."


class JudgeContract:
    """Inherit, and give `make_judge`."""

    def make_judge(self) -> Judge:
        raise NotImplementedError

    def test_plays_the_role(self) -> None:
        assert isinstance(self.make_judge(), Judge)

    @pytest.mark.parametrize("seed", range(20))
    def test_support_is_a_share_for_any_text(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        pieces = ["left", "no", "5 mm", "骨折", "\n", ".", "%", "nodule", "Größe", "1,0.0", "", "n't"]
        claim, quote = (" ".join(rng.choice(pieces, size=rng.integers(0, 9))) for _ in range(2))
        assert 0.0 <= self.make_judge().support(claim, quote) <= 1.0

    def test_a_quote_supports_itself(self) -> None:
        assert self.make_judge().support(_QUOTE, _QUOTE) > 0.9

    def test_an_unrelated_quote_does_not_support(self) -> None:
        assert self.make_judge().support("Insulin lowers blood glucose.", _QUOTE) < 0.2

    @pytest.mark.parametrize("quote", ["", "   "])
    def test_no_quote_no_support(self, quote: str) -> None:
        assert self.make_judge().support(_QUOTE, quote) == 0.0

    @pytest.mark.parametrize(
        "claim",
        [
            "A 4.5 mm nodule is seen in the right lung.",
            "A 45 mm nodule is seen in the left lung.",
            "A 4.5 cm nodule is seen in the left lung.",
            "No nodule is seen in the left lung.",
            "Effusion in the left lung.",
        ],
        ids=["side", "number", "unit", "negated", "affirmed"],
    )
    def test_a_medical_slip_is_not_supported(self, claim: str) -> None:
        assert self.make_judge().support(claim, _QUOTE) < 0.5

    @pytest.mark.parametrize(
        "claim",
        [
            "A severe chronic effusion has increased.",
            "A mild acute effusion has increased.",
            "A mild chronic effusion has decreased.",
            "A mild chronic effusion has not increased.",
        ],
        ids=["degree", "course", "change", "denial"],
    )
    def test_an_exchanged_degree_course_or_change_is_not_supported(self, claim: str) -> None:
        assert self.make_judge().support(claim, "A mild chronic effusion has increased.") < 0.5
