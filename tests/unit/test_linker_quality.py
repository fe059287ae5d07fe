"""How much of hand-written sentences the linker finds: the floors it must not fall below."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from knowledge.linking import Linker
from knowledge.triples import Concept, key_of

DATA = tomllib.loads((Path(__file__).parents[1] / "data" / "linking.toml").read_text("utf-8"))
STYLES = {"chest": "radiology", "pathology": "pathology", "fundus": "ophthalmology", "skin_and_clinic": "dermatology"}
_MARK = re.compile(r"\[([^|\]]+)(?:\|([^\]]+))?\]")


def read(line):
    """The sentence without marks, and the expected (start, end, key) of each. A line may be one mention alone."""
    if "[" not in line and "|" in line:
        line = f"[{line}]"
    text, expected, position = "", set(), 0
    for match in _MARK.finditer(line):
        text += line[position : match.start()]
        expected.add((len(text), len(text) + len(match[1]), key_of(match[2] or match[1])))
        text += match[1]
        position = match.end()
    return text + line[position:], expected


def linker():
    return Linker(Concept(key_of(name), name, tuple(forms)) for name, forms in DATA["ontology"].items())


def counts(linker, lines, domain=""):
    """Right, found and expected mentions."""
    right = found = wanted = 0
    for line in lines:
        text, expected = read(line)
        got = {(link.start, link.end, link.concept) for link in linker.link(text, domain)}
        right, found, wanted = right + len(got & expected), found + len(got), wanted + len(expected)
    return right, found, wanted


@pytest.mark.parametrize(("split", "floor"), [("tuned", 0.95), ("held", 0.85)])
def test_precision_and_recall_stay_above_their_floors(split, floor, capsys):
    here = linker()
    rows = {style: counts(here, DATA[style][split]) for style in STYLES}
    rows["all"] = tuple(sum(column) for column in zip(*rows.values(), strict=True))
    with capsys.disabled():
        for style, (right, found, wanted) in rows.items():
            sys.stdout.write(
                f"\n{split} {style}: precision {right / found:.3f} recall {right / wanted:.3f} of {wanted}"
            )
    right, found, wanted = rows["all"]
    assert right / found >= floor
    assert right / wanted >= floor


def test_there_are_enough_sentences_of_each_style():
    sizes = {style: len(DATA[style]["tuned"]) + len(DATA[style]["held"]) for style in STYLES}
    assert sum(sizes.values()) >= 150
    assert min(sizes.values()) >= 40
    for style in STYLES:
        assert len(set(DATA[style]["tuned"])) == len(DATA[style]["tuned"])
