"""`vesalius calibrate` on the sample library: what it stores and prints, and what it refuses."""

import argparse
import json

import pytest

from pipelines.calibration import FILE, load_calibration
from pipelines.library import Library
from rag.cli import calibrate
from rag.errors import UsageError
from rag.selectors import SelectionOptions, make_selector
from rag.types import Query

pytestmark = pytest.mark.usefixtures("forwards_once")


def run(*words):
    top = argparse.ArgumentParser()
    calibrate.add(top.add_subparsers())
    args = top.parse_args(["calibrate", *map(str, words)])
    return args.run(args)


def first(sample, tmp_path, n):
    lines = (sample.queries / "pages.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "some.jsonl"
    path.write_text("".join([line for line in lines if '"gold"' in line][:n]))
    return path


def test_a_library_is_calibrated_and_the_selector_works(sample_copy, sample, tmp_path, capsys):
    queries = first(sample, tmp_path, 36)
    assert run("--library", sample_copy, "--queries", queries, "--channels", "dense", "--json", "--quiet") == 0
    printed = json.loads(capsys.readouterr().out)
    assert {row["selector"] for row in printed["entries"]} == {"fixed", "risk", "conformal", "log-ratio", "top-ratio"}
    assert printed["file"] == str(sample_copy / FILE)
    with Library.open(sample_copy) as library:
        calibration = load_calibration(sample_copy, library.manifest.fingerprint)
        assert calibration is not None
        assert {row["encoder"] for row in printed["entries"] if row["channel"] == "dense"} == {
            next(row.encoder for row in library.manifest.channels if (row.kind, row.name) == ("page", "dense"))
        }
        query = Query(text="How is a pneumothorax recognised on the chest film?")
        hits = library.search(query, k=30, kinds=("page",))
        selector = make_selector("conformal", SelectionOptions("dense", least=1, most=30), calibration)
        evidence = selector.select(query, hits)
    assert 0 < len(evidence.hits) < len(hits)
    assert any("below the threshold" in row.reason for row in evidence.dropped)


def test_comparing_writes_nothing(sample_copy, sample, tmp_path, capsys):
    queries = first(sample, tmp_path, 36)
    assert run("--library", sample_copy, "--queries", queries, "--channels", "dense", "--compare") == 0
    assert "| gap of dense |" in capsys.readouterr().out
    assert not (sample_copy / FILE).exists()


def test_too_few_queries_and_unknown_channels_are_refused(sample_copy, sample, tmp_path):
    few = first(sample, tmp_path, 5)
    with pytest.raises(UsageError, match="too few"):
        run("--library", sample_copy, "--queries", few, "--quiet")
    with pytest.raises(UsageError, match="these hits have scores of"):
        run("--library", sample_copy, "--queries", few, "--channels", "nothing", "--quiet")
    with pytest.raises(UsageError, match="--depth"):
        run("--library", sample_copy, "--queries", few, "--depth", "0")
    assert not (sample_copy / FILE).exists()
