"""The symbolic checker: rules from a file, chains that hold and chains that do not."""

import pytest

from pipelines.consistency import check_chain, contradictory, parse_rules, read_rules, rules_for, shipped_rules
from pipelines.report import without_contradictions
from rag.errors import ConfigError
from rag.generators.vlm_request import Written
from rag.types import Draft, DraftClaim

MARROW = """
terms:
  good smear: {phrases: [smear is of good quality]}
  poor smear: {phrases: [smear is of poor quality]}
  readable: {phrases: [cells can be assessed]}
  leukaemia: {phrases: [acute leukaemia]}
rules:
  - never_together: [good smear, poor smear]
  - never_together: [poor smear, leukaemia]
  - implies: [leukaemia, readable]
"""


@pytest.mark.parametrize(
    ("chain", "broken"),
    [
        (["The smear is of good quality.", "The cells can be assessed.", "This is acute leukaemia."], []),
        (["The smear is of good quality.", "The smear is of poor quality."], [(0, 1)]),
        (["The smear is of poor quality.", "No more can be said.", "This is acute leukaemia."], [(0, 2)]),
        (["No cells can be assessed.", "This is acute leukaemia."], [(0, 1)]),
        (["This is acute leukaemia."], []),
        ([], []),
    ],
)
def test_a_graph_of_four_nodes(chain, broken):
    assert [(one.first, one.second) for one in check_chain(chain, parse_rules(MARROW))] == broken


@pytest.mark.parametrize(
    "chain",
    [
        ["Normal heart size.", "There is cardiomegaly."],
        ["The lungs are clear.", "Right lower lobe consolidation."],
        ["No pleural effusion.", "Small left pleural effusion."],
        ["Both costophrenic angles are sharp.", "Moderate pleural effusion."],
        ["Normal chest radiograph.", "Pneumothorax on the right."],
    ],
)
def test_chains_that_contradict_themselves(chain):
    assert contradictory(chain) == {0, 1}
    assert contradictory(chain[::-1]) == {0, 1}


@pytest.mark.parametrize(
    "chain",
    [
        ["The heart is enlarged.", "No pleural effusion.", "No pneumothorax."],
        ["Right pleural effusion.", "No left pleural effusion."],
        ["Consolidation in the right lower zone.", "Lung opacity on the right."],
        ["The lungs are clear.", "The heart is enlarged."],
        ["A tendon joins a muscle to a bone."],
    ],
)
def test_chains_that_hold(chain):
    assert check_chain(chain) == ()


def test_the_shipped_rules_are_read():
    assert len(shipped_rules()) >= 15
    assert "normal heart excludes enlarged heart" in {rule.name for rule in shipped_rules()}


@pytest.mark.parametrize(
    "text",
    [
        "- a",
        "terms: {}",
        "terms: {a: {phrases: []}}\nrules: []",
        "terms: {a: {label: Nonsense, polarity: present}}\nrules: []",
        "terms: {a: {phrases: [x]}}\nrules: [{never_together: [a, b]}]",
        "terms: {a: {phrases: [x]}}\nrules: [{forbid: [a, a]}]",
        "terms: {a: {phrases: [x]}}\nrules: [3]", "{", "",
    ],
)  # fmt: skip
def test_rules_that_cannot_be_used_are_named(text):
    with pytest.raises(ConfigError):
        parse_rules(text)


def test_rules_of_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_rules(tmp_path / "no.yaml")


def test_a_report_keeps_to_rules_of_your_own(tmp_path):
    (tmp_path / "rules.yaml").write_text(MARROW)
    texts = ["The smear is of poor quality.", "The smear is of good quality.", "The marrow is cellular."]
    claims = tuple(DraftClaim(text, "p1", text) for text in texts)
    written = Written(Draft(claims, confidence=1.0), ("findings",) * 3)
    kept, events = without_contradictions(written, rules_for(tmp_path / "rules.yaml"))
    assert [claim.text for claim in kept.draft.claims] == ["The marrow is cellular."]
    assert [(event["rule"], event["claims"]) for event in events] == [("good smear excludes poor smear", [0, 1])]
    assert without_contradictions(written, rules_for(None))[0] == written
