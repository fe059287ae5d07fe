"""Domain prototypes: fitting, calibration, `unknown`, files, prompts."""

from dataclasses import replace

import numpy as np
import pytest

from indexers.domains.examples import Examples, assign_folds, case_examples
from indexers.domains.files import FILE, load_prototypes, save_prototypes
from indexers.domains.fitting import FitOptions, fit_prototypes
from indexers.domains.library import fit_domains
from indexers.domains.prototypes import whitening_metric
from indexers.domains.softmax import fit_softmax, fit_temperature, log_sum_exp, softmax
from indexers.domains.zero_shot import PromptDomains, prompt_domains, shipped_prompts
from indexers.encoders.unit_rows import unit_rows
from indexers.stores.memory import MemoryStore
from rag.domains.names import DOMAINS
from rag.errors import ConfigError, IndexMismatch, QueryError, StoreError
from rag.types import CaseLocator, Passage, Point, VectorSpec

DIM = 24


def clusters(noise=0.15, seed=0, **sizes):
    """Images of each domain around its own direction; two images per patient."""
    rng = np.random.default_rng(seed)
    domains = [name.replace("_", "-") for name, n in sizes.items() for _ in range(n)]
    centres = np.array([np.eye(DIM)[DOMAINS.index(domain)] for domain in domains])
    rows = unit_rows(centres + rng.normal(0, noise, centres.shape))
    groups = tuple(f"patient {place // 2}" for place in range(len(domains)))
    return Examples(rows, tuple(domains), tuple(domains), groups)


def far(n, seed=1):
    """Images like none of the clusters."""
    rng = np.random.default_rng(seed)
    return unit_rows(np.eye(DIM)[DIM - 1] + rng.normal(0, 0.15, (n, DIM)))


def called(fitted, vectors):
    return fitted.call(fitted.posteriors(vectors))


def test_new_images_are_told_apart_and_strange_ones_are_unknown():
    fitted = fit_prototypes(clusters(pathology=60, radiograph=60, unknown=40))
    new = clusters(seed=5, pathology=50, radiograph=50)
    assert np.mean([a == b for a, b in zip(called(fitted, new.vectors), new.domains, strict=True)]) > 0.97
    assert called(fitted, clusters(seed=6, unknown=30).vectors).count("unknown") > 27


def test_without_examples_of_unknown_strange_images_score_below_held_out_ones():
    fitted = fit_prototypes(clusters(pathology=60, radiograph=60))
    assert fitted.known is not None
    assert called(fitted, far(40)).count("unknown") > 35
    assert called(fitted, clusters(seed=5, pathology=40).vectors).count("unknown") < 8


def test_a_corpus_with_one_domain_still_knows_what_is_not_of_it():
    fitted = fit_prototypes(clusters(ophthalmology=60))
    assert fitted.names == ("ophthalmology", "unknown")
    assert called(fitted, far(40)).count("unknown") > 35
    assert called(fitted, clusters(seed=5, ophthalmology=40).vectors).count("ophthalmology") > 32


def test_nothing_labelled_gives_no_prototypes():
    empty = Examples(np.empty((0, 0), np.float32), (), (), ())
    assert fit_prototypes(empty) is None
    assert fit_prototypes(clusters(pathology=14)) is None
    assert fit_prototypes(clusters(unknown=60)) is None
    one_patient = replace(clusters(pathology=60), groups=("same",) * 60)
    assert fit_prototypes(one_patient) is None


def test_a_rare_domain_has_no_prototype_and_is_unknown():
    fitted = fit_prototypes(clusters(pathology=60, radiograph=60, endoscopy=12))
    assert fitted.names == ("radiograph", "pathology", "unknown")
    assert called(fitted, clusters(seed=5, endoscopy=20).vectors).count("unknown") > 17
    assert fitted.counts == {"pathology": 60, "radiograph": 60, "unknown": 12}


def test_labels_finer_than_domains_add_up():
    plain = clusters(pathology=40, radiograph=40)
    histology = replace(
        clusters(seed=3, clinical_photo=40), domains=("pathology",) * 40, labels=("pathology: book",) * 40
    )
    both = Examples(
        np.concatenate([plain.vectors, histology.vectors]),
        plain.domains + histology.domains,
        plain.labels + histology.labels,
        plain.groups + tuple(f"book {group}" for group in histology.groups),
    )
    fitted = fit_prototypes(both)
    assert len(fitted.labels) == 3
    assert called(fitted, clusters(seed=7, clinical_photo=20).vectors).count("pathology") > 15


def test_vectors_of_another_size_are_refused():
    fitted = fit_prototypes(clusters(pathology=60))
    with pytest.raises(QueryError, match="24 dimensions, these have 3"):
        fitted.posteriors(np.ones((1, 3), np.float32))


def test_a_metric_takes_whitening_back():
    whitening = np.vstack([np.diag([1.0, 4.0]), [0, 0]]).astype(np.float32)
    assert whitening_metric(whitening) == pytest.approx([1.0, 0.5])
    assert whitening_metric(whitening, 1.0) == pytest.approx([1.0, 0.25])


def test_files_keep_everything_and_belong_to_one_encoder(tmp_path):
    for examples in (clusters(pathology=60, unknown=20), clusters(pathology=60)):
        fitted = fit_prototypes(examples, encoder="abc")
        save_prototypes(tmp_path, fitted)
        loaded = load_prototypes(tmp_path, "abc")
        assert loaded.posteriors(examples.vectors) == pytest.approx(fitted.posteriors(examples.vectors))
        assert (loaded.labels, loaded.domains, loaded.counts) == (fitted.labels, fitted.domains, fitted.counts)
        assert (loaded.unknown_at, loaded.known) == (fitted.unknown_at, fitted.known)
    with pytest.raises(IndexMismatch, match=r"domains\.npz was fitted on vectors of encoder abc"):
        load_prototypes(tmp_path, "def")
    assert load_prototypes(tmp_path / "nowhere", "abc") is None
    for broken in (b"not a file", b""):
        (tmp_path / FILE).write_bytes(broken)
        with pytest.raises(StoreError, match="remove it"):
            load_prototypes(tmp_path, "abc")


def test_folds_keep_patients_whole_and_spread_domains():
    examples = clusters(pathology=40, radiograph=20)
    folds = assign_folds(examples.groups, examples.labels, 5)
    assert all(len(set(folds[[own == group for own in examples.groups]])) == 1 for group in examples.groups)
    assert np.bincount(folds, minlength=5).tolist() == [12] * 5
    assert assign_folds(examples.groups, examples.labels, 5).tolist() == folds.tolist()


def test_examples_come_from_cases_that_tell_their_domain():
    store = MemoryStore({"case": (VectorSpec("image", "multi", 2),)})
    rows = {"a": "pathology", "b": "other", "c": "", "d": "pathology"}
    points = []
    for name, domain in rows.items():
        locator = CaseLocator(name, patient="p1" if name == "a" else None)
        passage = Passage(
            f"00000000-0000-0000-0000-00000000000{name}", "case", "set", name, locator, meta={"domain": domain}
        )
        points.append(Point(passage, {} if name == "d" else {"image": np.array([[1, 0], [0, 1]], np.float32)}))
    store.upsert(points)
    found = case_examples(store)
    assert (found.domains, found.groups) == (("pathology", "unknown"), ("set/p1", "set/b"))
    assert found.labels == ("pathology: pathology", "unknown: other")
    assert found.vectors.tolist() == [[1, 0], [1, 0]]
    assert len(case_examples(MemoryStore({"case": (VectorSpec("image", "multi", 2),)}))) == 0


def test_softmax_regression_agrees_with_its_optimality_conditions():
    examples = clusters(noise=0.4, pathology=30, radiograph=12)
    targets = np.array([examples.domains[0] == own for own in examples.domains]).astype(np.intp)
    rows = examples.vectors.astype(np.float64)
    weights = fit_softmax(rows, targets, 2, ridge=0.5)
    sizes = np.bincount(targets)
    weight = (1 / np.sqrt(sizes[targets])) / (1 / np.sqrt(sizes[targets])).mean()
    residual = weight[:, None] * (softmax(rows @ weights[:-1] + weights[-1]) - np.eye(2)[targets])
    assert np.abs(rows.T @ residual + 0.5 * weights[:-1]).max() < 1e-2
    assert np.abs(residual.sum(axis=0)).max() < 1e-2


def test_temperature_takes_back_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 3))
    targets = np.array([rng.choice(3, p=row) for row in softmax(logits)])
    assert fit_temperature(logits * 4, targets) == pytest.approx(4.0, rel=0.1)
    assert log_sum_exp(np.array([[1000.0, 1000.0]])) == pytest.approx(1000 + np.log(2))


class Words:
    """A space with one direction per domain: a text lies where its prompt list does, an image where it is told to."""

    def __init__(self, form="dense"):
        self.spec = VectorSpec("clip", form, DIM)
        self.fingerprint = "words"
        self.place = {prompt: DOMAINS.index(name) for name, prompts in shipped_prompts().items() for prompt in prompts}

    def encode_passages(self, passages):
        return [None for _ in passages]

    def encode_queries(self, queries):
        return [np.eye(DIM, dtype=np.float32)[[self.place[query.text]]] for query in queries]


def test_prompts_call_images_without_any_labelled_one():
    asked = prompt_domains(Words())
    images = clusters(pathology=10, endoscopy=10, unknown=10)
    best = [asked.names[place] for place in asked.posteriors(images.vectors).argmax(axis=1)]
    assert best == list(images.domains)
    assert set(asked.names) == set(DOMAINS) - {"text"}


def test_prompts_are_calibrated_on_labelled_images():
    asked = prompt_domains(Words())
    noisy = clusters(noise=0.5, pathology=100, radiograph=100)
    calibrated = asked.calibrated(noisy.vectors, noisy.domains)
    sure = calibrated.posteriors(noisy.vectors).max(axis=1).mean()
    right = np.mean(
        [asked.names[p] == d for p, d in zip(asked.posteriors(noisy.vectors).argmax(1), noisy.domains, strict=True)]
    )
    assert abs(sure - right) < 0.1 < asked.posteriors(noisy.vectors).max(axis=1).mean() - right
    with pytest.raises(ConfigError, match="no labelled image"):
        PromptDomains(("pathology",), np.ones((1, DIM), np.float32)).calibrated(noisy.vectors, ("endoscopy",) * 200)


def test_an_encoder_that_reads_no_text_cannot_be_asked():
    class Blind(Words):
        def encode_queries(self, queries):
            return [None for _ in queries]

    for encoder in (Blind(), Words("multi")):
        with pytest.raises(ConfigError, match="an image-text encoder"):
            prompt_domains(encoder)


def test_options_decide_from_how_many_images_a_domain_counts():
    examples = clusters(pathology=30, endoscopy=12)
    assert fit_prototypes(examples, options=FitOptions(fewest=12)).names == ("pathology", "endoscopy", "unknown")


def test_a_library_fits_its_domains_and_forgets_them_with_its_cases(tmp_path):
    store = MemoryStore({"case": (VectorSpec("image", "multi", DIM),)})
    examples = clusters(pathology=40, ophthalmology=40)
    for place, (row, domain) in enumerate(zip(examples.vectors, examples.domains, strict=True)):
        name = f"00000000-0000-0000-0000-{place:012d}"
        passage = Passage(name, "case", f"set {domain}", "x", CaseLocator(name), meta={"domain": domain})
        store.upsert([Point(passage, {"image": row[None]})])
    fitted = fit_domains(store, tmp_path, encoder="abc", whitening=np.vstack([np.eye(DIM), np.zeros(DIM)]))
    assert fitted.names == ("pathology", "ophthalmology", "unknown")
    assert load_prototypes(tmp_path, "abc").labels == fitted.labels
    store.delete("case", "set pathology")
    store.delete("case", "set ophthalmology")
    assert fit_domains(store, tmp_path, encoder="abc") is None
    assert load_prototypes(tmp_path, "abc") is None
