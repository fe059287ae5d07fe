"""The domain router's decisions, and what they do to a ranking."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.domains.names import IMAGE_DOMAINS
from rag.errors import QueryError
from rag.routing import BoostOptions, DomainRouter, Route, boost, weigh
from rag.types import CaseLocator, FactLocator, Hit, Passage, Query

IMAGE = Query(images=(Path("film.png"),))
VECTOR = np.ones((1, 4), np.float32)


class Judge:
    """A domain model that has made up its mind."""

    def __init__(self, **shares):
        self.shares = {name.replace("_", "-"): share for name, share in shares.items()}

    def posterior(self, vectors):
        return dict(self.shares)


def hit(name, rank, **meta):
    return Hit(Passage(name, "case", "set", name, CaseLocator(name), meta=meta), 1.0 / rank)


def names(hits):
    return [hit.passage.id for hit in hits]


HITS = [hit("slide", 1, domain="pathology"), hit("film", 2, domain="radiology", modality="X-ray"), hit("bare", 3)]
FACT = Hit(Passage("fact", "fact", "graph", "a b c", FactLocator("a", "b", "c")), 0.1)


def test_the_image_decides_and_says_why():
    route = DomainRouter(images=Judge(radiograph=0.9, pathology=0.06, unknown=0.04)).decide(IMAGE, image=VECTOR)
    assert route.domains["radiograph"] > 0.85
    assert sum(route.domains.values()) == pytest.approx(1)
    assert route.only is None
    assert route.trace()["reasons"] == ["image: radiograph 0.90, pathology 0.06, unknown 0.04"]


def test_words_name_a_domain_that_the_image_model_does_not_know():
    router = DomainRouter(images=Judge(radiograph=0.05, pathology=0.05, unknown=0.9))
    query = Query(text="Dermoscopy of a skin lesion", images=(Path("x.png"),))
    assert router.decide(query, image=VECTOR).domains["clinical-photo"] > 0.5
    assert router.decide(IMAGE, image=VECTOR).domains["unknown"] > 0.6


def test_without_prototypes_words_decide_and_the_trace_says_so():
    route = DomainRouter().decide(Query(text="an X-ray of the chest", images=(Path("x.png"),)), image=VECTOR)
    assert route.domains["radiograph"] > 0.5
    assert "no image prototypes" in route.reasons[0]
    blank = DomainRouter().decide(IMAGE)
    assert blank.domains["unknown"] > 0.7
    judged = DomainRouter(images=Judge(radiograph=1.0, unknown=0.0)).decide(IMAGE)
    assert judged.reasons == ("the query image has no vector in the image channel",)


def test_a_text_question_is_text_until_words_say_otherwise():
    assert DomainRouter().decide(Query(text="What is warfarin?")).domains == {"text": 1.0}
    assert DomainRouter().decide(Query(text="fundus photograph")).domains["ophthalmology"] > 0.8


def test_a_tag_decides_over_the_image():
    router = DomainRouter(images=Judge(pathology=1.0, unknown=0.0))
    route = router.decide(IMAGE, image=VECTOR, tags={"Modality": "US"})
    assert max(route.domains, key=route.domains.get) == "ultrasound"
    assert route.reasons[0] == "tag Modality US: ultrasound"


def test_what_is_asked_for_wins():
    router = DomainRouter(images=Judge(pathology=1.0, unknown=0.0))
    route = router.decide(IMAGE, image=VECTOR, tags={"Modality": "US"}, domain="endoscopy")
    assert (route.domains, route.only, route.asked) == ({"endoscopy": 1.0}, "endoscopy", True)
    with pytest.raises(QueryError, match="did you mean 'endoscopy'"):
        router.decide(IMAGE, domain="endoscopie")
    filtered = Query(text="x", filters={"domain": ("clinical_photo",)})
    assert router.decide(filtered).only == "clinical-photo"
    assert router.decide(Query(text="x", filters={"domain": ("pathology", "ophthalmology")})).only is None


def test_only_a_nearly_certain_image_leaves_hits_out():
    sure = DomainRouter(images=Judge(radiograph=0.995, pathology=0.005)).decide(IMAGE, image=VECTOR)
    kept, dropped = weigh([*HITS, FACT], sure)
    assert names(kept) == ["film", "bare", "fact"]
    assert [(entry.hit.passage.id, entry.reason) for entry in dropped] == [
        ("slide", "domain pathology, the question is about radiograph")
    ]
    unsure = DomainRouter(images=Judge(radiograph=0.9, pathology=0.1)).decide(IMAGE, image=VECTOR)
    kept, dropped = weigh(HITS, unsure)
    assert names(kept) == ["film", "bare", "slide"]
    assert dropped == ()


def test_a_library_without_the_domain_still_shows_something_unless_asked():
    inferred = Route({}, {"endoscopy": 1.0}, only="endoscopy")
    assert len(weigh(HITS, inferred)[0]) == 3
    asked = Route({}, {"endoscopy": 1.0}, only="endoscopy", asked=True)
    assert names(weigh(HITS, asked)[0]) == ["bare"]


def test_an_unknown_image_or_a_text_question_changes_no_order():
    for posterior in ({"unknown": 1.0}, {"text": 1.0}, {"text": 0.5, "unknown": 0.5}):
        assert names(boost(HITS, posterior)) == names(HITS)


def test_cases_called_non_medical_are_of_no_domain():
    photo = hit("photo", 1, domain="other")
    assert names(boost([photo, *HITS], {"pathology": 1.0})) == ["slide", "bare", "photo", "film"]


def test_options_are_checked_and_strength_zero_changes_nothing():
    with pytest.raises(ValueError, match="strength"):
        BoostOptions(strength=1.5)
    assert names(boost(HITS, {"radiograph": 1.0}, BoostOptions(strength=0.0))) == names(HITS)


shares = st.dictionaries(st.sampled_from((*IMAGE_DOMAINS, "text", "unknown")), st.floats(0.01, 1), min_size=1)
rankings = st.lists(st.sampled_from((*IMAGE_DOMAINS, "other", "")), max_size=30)


@given(rankings, shares)
def test_boosting_loses_nothing_and_keeps_the_order_within_a_domain(domains, weights):
    total = sum(weights.values())
    posterior = {domain: weight / total for domain, weight in weights.items()}
    hits = [hit(f"{place:02d}", place + 1, domain=domain) for place, domain in enumerate(domains)]
    boosted = boost(hits, posterior)
    assert sorted(names(boosted)) == names(hits)
    assert [entry.score for entry in boosted] == sorted((entry.score for entry in boosted), reverse=True)
    for domain in set(domains):
        own = [entry.passage.id for entry in boosted if entry.passage.meta["domain"] == domain]
        assert own == sorted(own)


def test_documents_that_the_question_names_come_first_and_none_is_lost():
    router = DomainRouter(documents=("graph", "set"))
    route = router.decide(Query("What does the graph collection say of a?"))
    assert route.documents == ("graph",)
    assert "documents that the question names: graph" in route.reasons
    assert route.trace()["documents"] == ["graph"]
    ranked, dropped = weigh([*HITS, FACT], route)
    assert names(ranked) == ["fact", "slide", "film", "bare"]
    assert not dropped
    assert names(weigh([*HITS, FACT], route, BoostOptions(strength=0))[0]) == names([*HITS, FACT])
    assert "documents" not in router.decide(Query("What is a?")).trace()
    assert weigh(HITS, route)[0] == HITS
