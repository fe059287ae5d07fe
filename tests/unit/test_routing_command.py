"""`eval routing` on the sample library: its own drawings of films, slides and fundi."""

import argparse
import json

import pytest

from eval.routing_run import RoutingOptions, run_routing
from indexers.domains.examples import case_examples
from indexers.domains.fitting import FitOptions
from indexers.domains.library import fit_domains
from rag.cli import evaluate_routing
from rag.errors import UsageError
from rag.routing import DomainRouter
from rag.types import Query


def call(*words):
    top = argparse.ArgumentParser()
    evaluate_routing.add(top.add_subparsers())
    args = top.parse_args(["routing", *words])
    return args.run(args)


def test_one_split_is_refused_before_a_library_is_opened(tmp_path):
    with pytest.raises(UsageError, match="two splits"):
        call("--library", str(tmp_path), "--folds", "1")


def test_the_command_prints_one_document_or_tables(sample_folder, capsys):
    assert call("--library", str(sample_folder), "--router-only", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["retrieval"] == {}
    assert shown["router"]["f1"]["radiograph"] > 0.9
    assert call("--library", str(sample_folder), "--router-only") == 0
    assert "| is \\ called |" in capsys.readouterr().out


def test_the_whole_run_on_the_sample_library(sample_library):
    metric = evaluate_routing.image_metric(sample_library)
    [dim] = {c.spec.dim for c in sample_library.parts.channels() if (c.kind, c.name) == ("case", "image")}
    assert metric.shape == (dim,)
    options = RoutingOptions(metric, folds=3, fit=FitOptions(fewest=4))
    report = run_routing(sample_library, options)
    assert report.router.macro_f1 > 0.8
    image, text = report.retrieval
    assert image.wrong[1].value <= image.wrong[0].value
    assert text.wrong[1].value <= text.wrong[0].value
    json.dumps(report.as_json())
    assert "| image | nDCG@10 |" in report.markdown()


def test_the_sample_library_fits_its_domains(sample_library, tmp_path):
    fitted = fit_domains(sample_library.store, tmp_path, encoder="own")
    assert fitted.names == ("radiograph", "pathology", "ophthalmology", "unknown")
    examples = case_examples(sample_library.store)
    called = fitted.call(fitted.posteriors(examples.vectors))
    assert sum(own == found for own, found in zip(examples.domains, called, strict=True)) > 0.9 * len(examples)


def test_without_prototypes_the_demo_routes_by_words():
    route = DomainRouter().decide(Query(text="fundus photograph", images=("x.png",)))
    assert route.domains["ophthalmology"] > 0.5
    assert "no image prototypes" in route.reasons[0]
