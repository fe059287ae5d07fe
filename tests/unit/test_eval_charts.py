"""The interval chart: well-formed, to scale, and honest about what is undefined."""

from xml.etree import ElementTree

from eval.charts import interval_chart
from eval.statistics import Estimate

SVG = "{http://www.w3.org/2000/svg}"


def test_dots_lie_to_scale_and_undefined_figures_have_none():
    rows = [
        ("fused & <b>", Estimate(0.5, 0.25, 0.75)),
        ("late", Estimate(1.0, 0.9, 1.0)),
        ("none", Estimate(None, None, None)),
    ]
    root = ElementTree.fromstring(interval_chart(rows, "nDCG@5 < 1"))
    half, full = (float(dot.get("cx")) for dot in root.iter(f"{SVG}circle"))
    bar = next(line for line in root.iter(f"{SVG}line") if line.get("stroke-width"))
    zero = 2 * half - full
    assert float(bar.get("x1")) - zero == (full - zero) * 0.25
    assert float(bar.get("x2")) - zero == (full - zero) * 0.75
    labels = [text.text for text in root.iter(f"{SVG}text")]
    assert "fused & <b>" in labels
    assert "none" in labels
    assert "0.500" in labels
