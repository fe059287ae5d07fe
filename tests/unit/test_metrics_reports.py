"""Report metrics: published golden values, NLTK as oracle where it is there, findings by hand-written reports."""

import sys
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.metrics.findings import finding_f1, finding_scores
from eval.metrics.overlap import (
    corpus_bleu,
    meteor,
    r2gen_words,
    report_words,
    rouge_l,
    rouge_words,
    sentence_bleu,
    wordnet_synonyms,
)
from eval.metrics.radeval import RadEvalMetric
from eval.metrics.scores import Score
from eval.metrics.stemming import porter_stem
from rag.errors import EnvironmentProblem, MissingExtra, UsageError

REFERENCE = ["no", "acute", "cardiopulmonary", "process", ".", "the", "lungs", "are", "clear", "."]
REPORT = ["the", "lungs", "are", "clear", ".", "no", "pleural", "effusion", "."]
WORDS = ["the", "cat", "cats", "sat", "sits", "on", "mat", "mats", "running", "runs"]
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12)


def test_published_bleu_values():
    expected = (0.6960, 0.5580, 0.4924, 0.4344)
    assert corpus_bleu([REPORT], [[REFERENCE]]) == pytest.approx(expected, abs=5e-5)
    assert [sentence_bleu(REPORT, [REFERENCE], n) for n in (1, 2, 3, 4)] == pytest.approx(expected, abs=5e-5)


def test_published_rouge_l_value():
    found = rouge_l(rouge_words(" ".join(REPORT)), [rouge_words(" ".join(REFERENCE))])
    assert found == pytest.approx(0.5333, abs=5e-5)


def test_published_meteor_values():
    cat = ["the", "cat", "sat", "on", "the", "mat"]
    assert meteor(cat, [["on", "the", "mat", "sat", "the", "cat"]]) == pytest.approx(0.5)
    assert meteor(cat, [cat]) == pytest.approx(0.9977, abs=5e-5)


def test_overlap_of_nothing():
    assert corpus_bleu([], []) == (0.0, 0.0, 0.0, 0.0)
    assert sentence_bleu([], [REFERENCE]) == 0.0
    assert rouge_l([], [REFERENCE]) == 0.0
    assert meteor([], [REFERENCE]) == 0.0
    with pytest.raises(ValueError, match="at least one reference"):
        corpus_bleu([REPORT], [[]])


def test_corpus_bleu_sums_counts_before_dividing():
    both = corpus_bleu([["a", "b"], ["c"]], [[["a", "b"]], [["d"]]])
    assert both[0] == pytest.approx(2 / 3, abs=1e-6)
    assert both[1] == pytest.approx((2 / 3) ** 0.5, abs=1e-6)


def test_the_closest_reference_sets_the_penalty():
    short, long = ["a", "b", "c"], ["a", "b", "c", "d", "e", "f", "g"]
    assert corpus_bleu([["a", "b", "c"]], [[long, short]])[0] == pytest.approx(1.0, abs=1e-6)


def test_beta_weighs_recall():
    assert rouge_l(["a"], [["a", "b", "c", "d"]], beta=1.2) < rouge_l(["a"], [["a", "b", "c", "d"]])


@settings(deadline=None, max_examples=40)
@given(SENTENCES, SENTENCES)
def test_meteor_without_synonyms_is_nltks_without_wordnet(report, reference):
    nltk_meteor = pytest.importorskip("nltk.translate.meteor_score")

    class NoSynonyms:
        def synsets(self, _):
            return []

    theirs = nltk_meteor.single_meteor_score(reference, report, wordnet=NoSynonyms())
    assert meteor(report, [reference]) == pytest.approx(theirs)


@settings(deadline=None, max_examples=40)
@given(SENTENCES, SENTENCES, st.integers(1, 4))
def test_sentence_bleu_is_nltks_method_1(report, reference, order):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    theirs = bleu.sentence_bleu(
        [reference], report, weights=[1 / order] * order, smoothing_function=bleu.SmoothingFunction().method1
    )
    assert sentence_bleu(report, [reference], order) == pytest.approx(theirs)


def test_synonyms_align_what_stems_do_not():
    def synonyms(word):
        return frozenset({"heart": ("cardiac",)}.get(word, ()))

    assert meteor(["heart"], [["cardiac"]]) == 0.0
    assert meteor(["heart"], [["cardiac"]], synonyms) == 0.5


def test_wordnet_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(MissingExtra, match="WordNet data"):
        wordnet_synonyms()


@pytest.mark.parametrize(
    ("word", "stem"),
    [
        ("caresses", "caress"), ("ponies", "poni"), ("ties", "tie"), ("agreed", "agre"), ("hopping", "hop"),
        ("filing", "file"), ("conflated", "conflat"), ("happy", "happi"), ("enjoy", "enjoy"), ("relational", "relat"),
        ("generalizations", "gener"), ("radiology", "radiolog"), ("controlling", "control"), ("rate", "rate"),
        ("adoption", "adopt"), ("skies", "sky"), ("is", "is"), ("opacities", "opac"), ("effusions", "effus"),
        ("dying", "die"), ("fully", "fulli"), ("carefully", "care"), ("died", "die"),
    ],
)  # fmt: skip
def test_porters_stems(word, stem):
    assert porter_stem(word) == stem


@settings(deadline=None)
@given(st.text("abcdefgilmnorstuvwy", min_size=1, max_size=12))
def test_stems_are_those_of_nltk(word):
    porter = pytest.importorskip("nltk.stem.porter").PorterStemmer()
    assert porter_stem(word) == porter.stem(word)


def test_how_reports_become_words():
    assert report_words("Heart size 3.5 cm; follow-up?") == ["heart", "size", "3.5", "cm", ";", "follow-up", "?"]
    assert rouge_words("No Effusions.", stemmed=True) == ["no", "effus"]
    assert r2gen_words("1. Clear lungs, no effusion.. 2. Heart normal.") == (
        ["clear", "lungs", "no", "effusion", ".", "heart", "normal", "."]
    )
    assert r2gen_words("  ") == ["."]
    assert r2gen_words("Clear.\nNormal.", "iu_xray") == ["clear", "normal", "."]
    assert r2gen_words("Clear.\nNormal.") == ["clear", ".", "normal", "."]
    assert r2gen_words("follow-up (XXXX) of ___ mass") == ["follow-up", "xxxx", "of", "mass", "."]


def test_findings_are_compared_by_what_they_say():
    found = finding_scores(
        ["Small right pleural effusion. No pneumothorax.", "Cardiomegaly."],
        ["Small left pleural effusion. No pneumothorax.", "The heart is normal in size. Mild pulmonary edema."],
    )
    by_label = {one.label: one for one in found.labels}
    assert (by_label["Pleural Effusion"].both, by_label["Pleural Effusion"].f1) == (1, 1.0)
    assert by_label["Cardiomegaly"].only_generated == 1
    assert by_label["Edema"].only_reference == 1
    assert by_label["Fracture"].f1 is None
    assert found.micro_14.value == pytest.approx(0.5)
    assert found.macro_5 == Score(pytest.approx(1 / 3), 3, 2)
    assert (found.hallucinated, found.omitted) == (Score(0.5, 2), Score(0.5, 2))
    assert found.side_accuracy == Score(0.0, 1)
    assert found.negative_f1.value > 0


def test_a_denial_is_not_a_finding():
    assert finding_f1("No pneumothorax.", "Pneumothorax.") == 0.0
    assert finding_f1("Hello.", "Good day.") is None


@pytest.mark.parametrize(("uncertain", "expected"), [("present", 1.0), ("absent", 0.0), ("own_class", 0.0)])
def test_doubt_counts_as_told(uncertain, expected):
    assert finding_f1("Possible pneumonia.", "Pneumonia.", uncertain) == expected
    assert finding_f1("Possible pneumonia.", "Probable pneumonia.", "own_class") == 1.0


def test_no_report_has_no_score():
    found = finding_scores([], [])
    assert (found.micro_14.value, found.hallucinated.value, found.macro_14.n) == (None, None, 0)
    with pytest.raises(ValueError, match="shorter"):
        finding_scores(["x"], [])


class FakeEvaluator:
    def __init__(self, metrics, per_sample, show_progress):
        assert (per_sample, show_progress) == (True, False)
        self.metrics = metrics

    def __call__(self, refs, hyps):
        if self.metrics == ["broken"]:
            raise OSError("no weights")
        return {self.metrics[0]: [0.5 for _ in refs], "overall": 0.5}


def test_radeval_is_an_adapter(monkeypatch):
    monkeypatch.setitem(sys.modules, "radeval", types.SimpleNamespace(RadEval=FakeEvaluator))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert RadEvalMetric("radgraph").score(["a", "b"], ["c", "d"]) == {"radeval:radgraph": [0.5, 0.5]}
    with pytest.raises(EnvironmentProblem, match="no weights"):
        RadEvalMetric("broken").score(["a"], ["b"])
    with pytest.raises(UsageError, match="1 reports for 0"):
        RadEvalMetric("radgraph").score(["a"], [])
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with pytest.raises(EnvironmentProblem, match="may fetch weights"):
        RadEvalMetric("radgraph").score(["a"], ["b"])
    assert RadEvalMetric("radgraph", allow_downloads=True).score(["a"], ["b"]) == {"radeval:radgraph": [0.5]}


def test_radeval_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "radeval", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingExtra, match="radeval:green"):
        RadEvalMetric("green").score(["a"], ["b"])
