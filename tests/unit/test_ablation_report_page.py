"""The HTML page of an ablation: well-formed, complete in itself, and safe whatever the names in a run are."""

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eval.ablation.analysis import analyse
from eval.ablation.comparison import AnalysisOptions
from eval.ablation.rendering.charts import ForestRow, Series, forest_chart, line_chart
from eval.ablation.rendering.drawing import Scale, ticks
from eval.ablation.rendering.drilldown import DrillDownLimits, drill_down
from eval.ablation.rendering.page import html_report
from eval.ablation.reporting import write_reports
from eval.ablation.results import AblationResult, Cell, CellResult, ItemResult
from eval.statistics import BootstrapOptions, Estimate
from eval.statistics_tests import RandomisationOptions

XHTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
QUICK = AnalysisOptions(BootstrapOptions(100), RandomisationOptions(99), RandomisationOptions(99))
HOSTILE = st.text(min_size=1, max_size=12) | st.sampled_from(
    ['</script><script>alert(1)</script>', "<!--", "]]>", '" onload="x', "&amp;", "$title", "${x}", "\x00\x1b",
     "\ud800", "__proto__", "=1+1", "\u202eabc", "http://example.org/x.js"]
)  # fmt: skip


def run(name="run", factor="k", arm="oracle evidence", item="q", n=8, provenance=None) -> AblationResult:
    """Two values of a factor and a control, on a few questions."""

    def rows(shift: int) -> tuple[ItemResult, ...]:
        return tuple(
            ItemResult(
                item=f"{item}{number}",
                metrics={
                    "accuracy": float((number + shift) % 3 > 0),
                    "time": shift + number / 7,
                    "confidence": (number % 5) / 5,
                },
                cluster=f"{name}{number // 2}",
                groups={factor: (arm, name)[number % 2]},
                seconds={name: 0.5 + shift},
                tokens=10 * shift + 5,
                error=f"failed at {name}" if number == 3 else None,
            )
            for number in range(n)
        )

    cells = (
        CellResult(Cell("a", {factor: 1}), rows(0)),
        CellResult(Cell("b", {factor: 2}), rows(1)),
        CellResult(Cell("c", {factor: 1}, "sanity", arm), rows(2)),
        CellResult(Cell("d", {factor: 3}, impossible=f"no {name}"), ()),
    )
    return AblationResult(
        name, {factor: (1, 2, 3)}, ("accuracy", "time"), "a", cells, frozenset({"time"}), provenance or {name: arm}
    )


def page_of(result, folder=None, limits=None):
    analysis = analyse(result, QUICK)
    return html_report(analysis, drill_down(analysis, folder, limits))


def parsed(page):
    return ElementTree.fromstring(page.split("\n", 1)[1])


class Resources(HTMLParser):
    """Everything in a page that a browser would fetch or run, as a lenient parser sees it."""

    def __init__(self, page):
        super().__init__()
        self.scripts, self.links, self.handlers = 0, [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        for name, value in attrs:
            if name in {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}:
                self.links.append(value)
            if name.startswith("on"):
                self.handlers.append(name)


def test_page_is_well_formed_and_self_contained():
    page = page_of(run())
    root = parsed(page)
    found = Resources(page)
    assert found.scripts == 2
    assert found.handlers == []
    assert all(link.startswith("#") for link in found.links)
    assert not re.search(r"url\(|@import", page)
    anchors = {element.get("id") for element in root.iter() if element.get("id")}
    assert {link[1:] for link in found.links} <= anchors
    assert sum(1 for _ in root.iter(f"{SVG}svg")) >= 6


def test_page_says_what_stands_in_the_run():
    words = " ".join(parsed(page_of(run(provenance={"commit": "1f2e"}))).itertext())
    for part in ("8 questions, in 4 clusters", "no run", "not significant", "oracle evidence", "1f2e", "time by k"):
        assert part in words


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_hostile_names_stay_text(name, factor, arm, item):
    page = page_of(run(name, factor, arm, item), limits=DrillDownLimits(questions=3))
    root = parsed(page.encode("utf-8", "replace").decode("utf-8"))
    found = Resources(page)
    assert found.scripts == 2
    assert found.handlers == []
    assert all(link.startswith("#") for link in found.links)
    document = json.loads(root.find(f".//{XHTML}script[@id='data']").text)
    assert len(document["questions"]) == 3


def test_reports_of_hostile_names_can_be_written(tmp_path):
    for path in write_reports(run("</script>\ud800|`*", "a|b\n", "x\x00\t]](", "=q"), tmp_path, QUICK):
        assert path.stat().st_size > 100
    blocks = re.findall(r"(?:^\|.*\n)+", (tmp_path / "report.md").read_text(encoding="utf-8"), re.MULTILINE)
    widths = [{len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines()} for block in blocks]
    assert len(widths) >= 4
    assert all(len(width) == 1 for width in widths)


def samples(folder, rows):
    (folder / "samples.jsonl").write_text("\n".join(rows), encoding="utf-8")


def test_samples_beside_the_run_are_shown(tmp_path):
    from PIL import Image

    Image.fromarray(np.full((900, 500), 128, dtype=np.uint8)).save(tmp_path / "page.png")
    row = {
        "cell": "b", "item": "q1", "question": "Is there <b>effusion</b>?", "gold": "A", "choice": "A",
        "answer": "Yes.",
        "evidence": [{"kind": "page", "document": "atlas", "page": 3, "text": "blunted", "image": "page.png"},
                     {"text": "x", "image": "../secret.png"}, "plain"], "checks": {"quote": True},
    }  # fmt: skip
    samples(tmp_path, [json.dumps(row), "{broken", json.dumps({"cell": "b", "item": "elsewhere"})])
    document = json.loads(drill_down(analyse(run(), QUICK), tmp_path).document)
    question = next(one for one in document["questions"] if one["id"] == "q1")
    answer = question["answers"]["1"]
    assert question["question"] == row["question"]
    assert answer["answer"] == "A: Yes."
    assert answer["checks"] == "quote passed"
    assert [piece["image"] for piece in answer["evidence"]] == ["page.png", None, None]
    assert answer["evidence"][0]["source"] == "kind page, document atlas, page 3"
    assert list(document["images"]) == ["page.png"]
    assert document["images"]["page.png"].startswith("data:image/jpeg;base64,")


def test_broken_sample_lines_are_counted_in_the_log(tmp_path, caplog):
    samples(tmp_path, ["{broken", "[]", json.dumps({"item": "q0", "text": "Which lobe?"})])
    document = json.loads(drill_down(analyse(run(), QUICK), tmp_path).document)
    assert "2 lines" in caplog.text
    assert next(one for one in document["questions"] if one["id"] == "q0")["question"] == "Which lobe?"


@pytest.mark.parametrize(("limits", "most"), [(DrillDownLimits(questions=3), 3), (DrillDownLimits(characters=900), 7)])
def test_drill_down_is_capped_and_says_so(limits, most):
    made = drill_down(analyse(run(), QUICK), None, limits)
    assert 0 < made.shown <= most
    assert made.total == 8
    assert len(made.document) < 6000
    assert f"{made.shown} of 8 questions" in page_of(run(), limits=limits)


def test_questions_on_which_cells_disagree_come_first():
    document = json.loads(drill_down(analyse(run(), QUICK), None).document)
    gaps = [abs(one["scores"][0][0] - one["scores"][1][0]) for one in document["questions"]]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] == 1


def test_forest_is_to_scale_and_hollow_without_significance():
    rows = [
        ForestRow("near", Estimate(0.1, 0.0, 0.2), "better", "p = 0.01"),
        ForestRow("far", Estimate(0.3, 0.2, 0.4), "quiet", "not significant"),
        ForestRow("none", Estimate(None, None, None), "quiet", "no shared question"),
    ]
    root = ElementTree.fromstring(forest_chart(rows, "difference"))
    dots = list(root.iter(f"{SVG}circle"))
    bars = [line for line in root.iter(f"{SVG}line") if "bar" in (line.get("class") or "")]
    zero = next(float(line.get("x1")) for line in root.iter(f"{SVG}line") if line.get("class") == "zero")
    near, far = (float(dot.get("cx")) - zero for dot in dots)
    assert far == pytest.approx(3 * near, abs=0.3)
    assert [dot.get("class") for dot in dots] == ["better", "quiet"]
    assert float(bars[0].get("x1")) == pytest.approx(zero, abs=0.2)


def test_lines_draw_every_point_and_one_band():
    points = tuple((float(k), Estimate(k / 10, k / 10 - 0.05, k / 10 + 0.05)) for k in (1, 3, 5))
    root = ElementTree.fromstring(line_chart([Series("one", points), Series("two", points[:2])], ("k", "recall")))
    assert len(list(root.iter(f"{SVG}circle"))) == 5
    assert len(list(root.iter(f"{SVG}polygon"))) == 1
    assert {"1", "3", "5", "k", "recall"} <= {text.text for text in root.iter(f"{SVG}text")}


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_lie_within_and_scales_stay_inside(low, extent):
    high = low + extent
    made = ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), extent)
    assert len(made) <= 12
    assert all(low - slack <= tick <= high + slack for tick in made)
    assert all(10 <= Scale(low, high, 10, 20)(value) <= 20 for value in (*made, low - 1, high + 1))


@pytest.mark.parametrize(
    "rows",
    [
        (ItemResult("q", {}, "p"),),
        (ItemResult("q", {"accuracy": None}, "p", error="x"),),
        (ItemResult("q", {"accuracy": 1.0}, "p"),),
        (ItemResult("q", {"accuracy": 1.0, "confidence": 0.5, "abstained": 1.0}, "p", seconds={"a": 0.0}, tokens=1),),
        (ItemResult("q", {"accuracy": float("nan"), "confidence": 2.0}, "p"), ItemResult("r", {"accuracy": 0.5}, "p")),
    ],
    ids=["nothing", "failed", "one", "abstained", "not a number"],
)
@pytest.mark.parametrize("cells", [1, 3])
def test_poor_runs_have_a_report_too(tmp_path, rows, cells):
    made = tuple(CellResult(Cell(f"c{k}", {"k": k, "way": "x"}), rows) for k in range(cells))
    result = AblationResult("poor", {"k": (0, 1, 2), "way": ("x",)}, ("accuracy",), "c0", made)
    write_reports(result, tmp_path, QUICK)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    main = parsed(page).find(f".//{XHTML}main")
    assert "nan" not in " ".join(main.itertext()).split()
    assert not any("nan" in value for element in main.iter() for value in element.attrib.values())
    assert "and 0 controls" in page
