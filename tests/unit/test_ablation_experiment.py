"""Experiment files: what is wrong in them is said before anything runs; designs; the stage cache; the command."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.ablation.arms import why_no_arm
from eval.ablation.cache import key_of
from eval.ablation.designs import MOST_FREQUENT, SHUFFLED_EVIDENCE, design_cells, sanity_cells
from eval.ablation.experiment import load_experiment, parse_experiment, shipped_experiments
from eval.ablation.factors import Switches, check_factors, load_checked, setup_of
from eval.ablation.scoring import answer_scores, check_metrics, right_choice
from eval.datasets import QueryItem
from rag.cli.app import main
from rag.errors import ConfigError
from rag.types import Query


def made(**changes):
    data = {"name": "x", "library": "lib", "questions": ["q.jsonl"], "metrics": ["accuracy"]}
    return parse_experiment({**data, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factrs": {}}, "unknown key 'factrs'; did you mean 'factors'"),
        ({"repeats": 0}, "repeats = 0"),
        ({"factors": {"selecter": ["gap"]}}, "unknown factor or setting 'selecter'; did you mean 'selector'"),
        ({"factors": {"fusion.dept": [1]}}, "did you mean 'fusion.depth'"),
        ({"factors": {"selector": ["fixed", "gab"]}}, "did you mean 'gap'"),
        ({"factors": {"strategy": ["singel"]}}, "did you mean 'single'"),
        ({"factors": {"kinds": ["pagges"]}}, "kinds are pages, figures, cases, facts"),
        ({"factors": {"retrieval": ["maybe"]}}, "use on or off"),
        ({"factors": {"k": [5, 5]}}, "names a level twice"),
        ({"factors": {"k": []}}, "has no level"),
        ({"factors": {"k": [0]}}, "answer.k = 0"),
        ({"base": {"preset": "text"}}, "named at the top"),
        ({"preset": "embeded"}, "did you mean 'embedded'"),
    ],
)
def test_what_is_unknown_is_named_with_the_nearest(changes, message):
    with pytest.raises(ConfigError) as caught:
        check_factors(made(**changes))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": {"k": 9}}, "factor k has no level 9"),
        ({"baseline": {"kk": 2}}, "there is no factor 'kk'; did you mean 'k'"),
        ({"exclude": [{"k": 2}]}, "the baseline is excluded"),
        ({"exclude": [{}]}, "would exclude every cell"),
    ],
)
def test_a_design_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ConfigError) as caught:
        design_cells(made(factors={"k": [2, 4], "router": [True, False]}, **changes))
    assert message in str(caught.value)


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'ndcg@5'"):
        check_metrics(["ndgc@5"])


FACTORS = {"k": [2, 4, 8], "router": [True, False], "channels": ["all", ["dense", "bm25"]]}


def names(cells):
    return [tuple(cell.levels.values()) for cell in cells]


def test_designs_give_the_cells_that_they_say():
    assert names(design_cells(made(factors=FACTORS))) == [
        (2, True, "all"), (4, True, "all"), (8, True, "all"), (2, False, "all"), (2, True, "dense+bm25"),
    ]  # fmt: skip
    full = design_cells(made(factors=FACTORS, design="full", exclude=[{"k": 8, "router": False}]))
    assert len(full) == 12 - 2
    listed = design_cells(made(factors=FACTORS, design={"list": [{"k": 8}, {"router": False}]}))
    assert names(listed) == [(2, True, "all"), (8, True, "all"), (2, False, "all")]
    assert len(design_cells(made())) == 1


@given(st.integers(2, 12), st.integers(0, 50))
def test_a_fraction_holds_the_baseline_and_is_balanced(size, seed):
    cells = design_cells(made(factors=FACTORS, design={"fractional": size}, seed=seed))
    assert len(cells) == len({cell.id for cell in cells}) == size
    assert names(cells)[0] == (2, True, "all")
    on = sum(cell.levels["router"] is True for cell in cells)
    assert abs(2 * on - size) <= 2


def test_cell_ids_depend_on_levels_and_arm_alone():
    one = design_cells(made(factors={"k": [2], "router": [True]}))[0]
    other = design_cells(made(factors={"router": [True, False], "k": [2, 4]}, name="y"))[0]
    assert one.id == other.id
    assert len({cell.id for cell in (one, *sanity_cells(made(factors={"k": [2], "router": [True]})))}) == 7


def test_levels_become_settings_and_switches():
    experiment = made(
        base={"fusion": {"depth": 50}, "guard": False},
        factors={
            "way": [{"name": "plain", "set": {"k": 3, "channels": "all-late+bm25"}}, "x"][:1],
            "sources": ["cases"],
        },
    )
    setup = setup_of(experiment, design_cells(experiment)[0])
    assert setup.overrides == {"fusion.depth": 50, "answer.k": 3, "select.most": 3}
    assert setup.switches == Switches(without=("late", "bm25"), kinds=("case",), guard=False)


def test_every_shipped_experiment_is_sound():
    assert {"sample", "selectors", "mmed-rag", "patho-agenticrag", "page-image-vs-text", "leaky-vs-safe"} <= set(
        shipped_experiments()
    )
    for name in shipped_experiments():
        experiment = load_experiment(name, ["limit=3", "answer.k=4"])
        check_metrics(experiment.metrics)
        check_factors(experiment)
        assert experiment.limit == 3
        assert experiment.base["answer.k"] == 4
        assert design_cells(experiment)


@pytest.mark.parametrize("selector", ["fixed", "mixture", "gap", "log-ratio"])
def test_k_bounds_what_any_selector_keeps(selector):
    experiment = made(base={"selector": selector}, factors={"k": [4, 1]})
    for cell in design_cells(experiment):
        settings = load_checked(experiment, setup_of(experiment, cell))
        k = cell.levels["k"]
        assert (settings.answer.k, settings.select.most) == (k, k)
        assert settings.select.least == min(2, k)


def test_keys_depend_on_stage_and_on_all_that_they_are_made_from():
    assert key_of("rank", {"a": 1, "b": 2}) == key_of("rank", {"b": 2, "a": 1})
    assert len({key_of("rank", {"a": 1}), key_of("lists", {"a": 1}), key_of("rank", {"a": "1"})}) == 3


def item(answer, options=("left", "right"), letters=()):
    return QueryItem(Query("Which side?", id="q", options=options), "set", answer=answer, letters=letters)


@pytest.mark.parametrize(
    ("row", "right"),
    [
        (item("B"), "B"),
        (item("right"), "B"),
        (item("Right "), "B"),
        (item("2", letters=("1", "2")), "B"),
        (item("up"), None),
        (item(None), None),
        (item("A", options=()), None),
    ],
)
def test_the_right_letter_is_read_from_letter_or_text(row, right):
    assert right_choice(row) == right


def test_an_abstention_is_wrong_and_a_metric_that_does_not_apply_is_absent():
    answer = {
        "claims": [], "abstained": True, "confidence": 0.1, "failed_checks": [["supported"]], "usage": {},
        "choice": None, "citations": [], "evidence": [], "text": "No answer",
    }  # fmt: skip
    scores = answer_scores(item("B"), answer, ["accuracy", "support", "cites-gold", "dropped-claims"])
    assert scores == {"accuracy": 0.0, "dropped-claims": 1.0, "answered": 0.0, "abstained": 1.0, "confidence": 0.1}


def test_a_control_that_needs_what_is_not_there_says_so():
    assert "one question" in (why_no_arm(SHUFFLED_EVIDENCE, [item("B")]) or "")
    assert "no question is a multiple choice" in (why_no_arm(MOST_FREQUENT, [item(None)]) or "")


def test_the_command_names_what_is_wrong(tmp_path, capsys):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\nmetrics: [accuracy]\nfactors: {selector: [fixd]}\nlibrary: nowhere\nquestions: q.jsonl\n")
    assert main(["ablate", "plan", str(path)]) == 2
    assert "did you mean 'fixed'" in capsys.readouterr().err
    assert main(["ablate", "plan", "no-such-experiment"]) == 2
    assert "one that ships: " in capsys.readouterr().err
    assert main(["ablate", "cache", "verify", "--cache", str(tmp_path / "stages"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sound"] == 0
    assert main(["ablate", "compare", str(tmp_path), str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err


def test_a_switch_is_named_as_experiment_files_write_it():
    cells = design_cells(made(factors={"k": [2], "router": [True, False]}, design="full"))
    assert [cell.name for cell in cells] == ["k=2, router=on", "k=2, router=off"]
