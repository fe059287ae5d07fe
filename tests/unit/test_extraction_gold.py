"""The extractor against our own labelled sentences, and what inserting "no evidence of" or "possible" does to it."""

import random
from collections import Counter

import pytest

from benchmarks.extraction import SECTIONS, figures, gold
from knowledge.extraction import extract

GOLD = gold()


def test_the_sentences_are_what_the_figures_claim():
    rows = [sentence.row for sentence in GOLD]
    splits = Counter(row["split"] for row in rows)
    assert len(rows) >= 400
    assert len({row["id"] for row in rows}) == len(rows)
    assert splits["held"] >= 0.32 * (splits["held"] + splits["dev"])
    assert {row["section"] for row in rows} == set(SECTIONS)
    assert {one.polarity for sentence in GOLD for one in sentence.entities} == {"present", "absent", "uncertain"}


def test_every_label_stands_in_its_sentence():
    for sentence in GOLD:
        text = " ".join(sentence.row["text"].lower().split())
        spoken = {entity.words for entity in sentence.entities}
        assert all(words in text for words in spoken), sentence.row["id"]
        for relation in sentence.relations:
            ends = (relation.tail,) if relation.name == "modify" else (relation.head, relation.tail)
            assert spoken.issuperset(ends), (sentence.row["id"], relation)


@pytest.mark.parametrize("split", ["dev", "held", "fresh", "last"])
def test_floors(split):
    found = figures([sentence for sentence in GOLD if sentence.row["split"] == split])
    assert found["polarity"] >= 0.95
    assert found["entity"] >= 0.93
    assert found["relation"] >= 0.85


FINDINGS = (
    "pleural effusion", "pneumothorax", "consolidation", "cotton wool spots", "drusen", "papilledema", "necrosis",
    "granulomas", "squamous cell carcinoma", "vasculitis", "cellulitis", "petechiae", "hydronephrosis", "a fracture",
    "retinal detachment", "lymphadenopathy", "dysplasia", "a nodule", "ground-glass opacities", "ulceration",
)  # fmt: skip
MODIFIERS = ("", "small ", "left ", "focal ", "small left ", "multiple ", "diffuse bilateral ")
FRAMES = (
    "There is {}.", "{} is seen.", "CT shows {}.", "{} in the left lower lobe.", "{} is present in the macula.",
    "FINDINGS: {}.", "Sections show {} in the dermis.", "The optic disc is pale. There is {} at the macula.",
    "The heart is enlarged, with {} in the right lung.", "Biopsy of the colon reveals {}.", "- {}", "We see {} today.",
    "Lungs are clear. {} of the right kidney.", "Cardiomegaly is unchanged; there is {} at the left base.",
)  # fmt: skip


def cases(number):
    every = [(frame, words, name) for frame in FRAMES for words in MODIFIERS for name in FINDINGS]
    fitting = [one for one in every if not (one[1] and one[2].startswith("a "))]
    return random.Random(11).sample(fitting, number)


def read(text):
    found = extract(text, style="report", document="d", passage="p", tier="report")
    return {
        (one.triple.head, one.triple.relation, one.triple.tail, one.triple.change): one.triple.polarity for one in found
    }


def about(statement, key):
    return key in (statement[0], statement[2])


@pytest.mark.parametrize(("inserted", "expected"), [("no evidence of ", "absent"), ("possible ", "uncertain")])
def test_inserting_a_cue_turns_the_polarity_and_nothing_else(inserted, expected):
    for frame, words, name in cases(500):
        key = name.removeprefix("a ")
        # "possible" takes the article's place behind it: "a possible nodule".
        cued = inserted + words + key if expected == "uncertain" else inserted + words + name
        before, after = read(frame.format(words + name)), read(frame.format(cued))
        assert before, frame
        assert before.keys() == after.keys(), (frame, words, name, before, after)
        for statement, polarity in before.items():
            turned = about(statement, key) and statement[1] != "is_a"
            assert after[statement] == (expected if turned else polarity), (frame, words, name, statement)
        assert any(about(statement, key) for statement in before)
