"""Encoders by domain: who reads a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.domains.encoders import EncoderAssignment
from rag.domains.names import DOMAINS
from rag.errors import ConfigError

ASSIGNED = EncoderAssignment("image", {"pathology": "plip", "ophthalmology": "flair"})


def test_the_weight_follows_the_posterior():
    weights = ASSIGNED.weights({"pathology": 0.7, "ophthalmology": 0.1, "radiograph": 0.1, "unknown": 0.1})
    assert weights == pytest.approx({"plip": 0.7, "flair": 0.1, "image": 0.2})


def test_a_domain_without_an_encoder_is_read_by_the_default():
    assert ASSIGNED.weights({"endoscopy": 1.0}) == {"image": 1.0}
    assert ASSIGNED.channel("endoscopy") == ASSIGNED.channel("unknown") == "image"
    assert ASSIGNED.channel("pathology") == "plip"


def test_hardly_counting_encoders_are_not_asked():
    assert ASSIGNED.weights({"pathology": 0.97, "radiograph": 0.03}) == {"plip": 1.0}
    assert EncoderAssignment("image", least=0.9).weights({"pathology": 0.5}) == {"image": 1.0}


def test_an_assigned_encoder_must_exist():
    ASSIGNED.require(["image", "plip", "flair"])
    with pytest.raises(ConfigError, match="'flair' of domain ophthalmology"):
        ASSIGNED.require(["image", "plip"])
    with pytest.raises(ConfigError, match="every other"):
        EncoderAssignment("image").require([])


@given(st.dictionaries(st.sampled_from(DOMAINS), st.floats(0.001, 1), min_size=1))
def test_weights_sum_to_one(weights):
    total = sum(weights.values())
    shared = ASSIGNED.weights({domain: weight / total for domain, weight in weights.items()})
    assert sum(shared.values()) == pytest.approx(1)
    assert all(share > 0 for share in shared.values())
