"""Denials and doubts of any field of medicine, one sentence each: + present, - absent, ? uncertain."""

import pytest

from knowledge.extraction import RuleExtractor

SIGNS = {"present": "+", "absent": "-", "uncertain": "?"}


def spoken(text):
    return " ".join(
        text[one.start : one.end].split()[-1] + SIGNS[one.polarity]
        for reading in RuleExtractor().readings(text, "report")
        for one in reading.mentions
        if one.category == "observation" and one.kept
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Retinal hemorrhages are absent.", "hemorrhages-"),
        ("Negative for malignancy.", "malignancy-"),
        ("The lesion is free of ulceration.", "lesion+ ulceration-"),
        ("Patient denies nausea, vomiting, or diarrhea.", "nausea- vomiting- diarrhea-"),
        ("Macular edema: none.", "edema-"),
        ("Hemorrhage was not seen, but exudates were noted.", "Hemorrhage- exudates+"),
        ("No drusen; hard exudates present.", "drusen- exudates+"),
        ("There is no mass, but there is a cyst.", "mass- cyst+"),
        ("Neither cyst nor abscess was found.", "cyst- abscess-"),
        ("No vasculitis, necrosis or granuloma.", "vasculitis- necrosis- granuloma-"),
        ("Rule out glaucoma.", ""),
        ("History of melanoma. New nodule on the arm.", "nodule+"),
        ("Cannot rule out lymphoma.", "lymphoma?"),
        ("Lymphoma versus reactive hyperplasia.", "Lymphoma? hyperplasia?"),
        ("Favor benign nevus.", "nevus?"),
        ("Findings could represent tuberculosis or sarcoidosis.", "tuberculosis? sarcoidosis?"),
        ("Cataract is probable.", "Cataract?"),
        ("Edema has completely resolved.", "Edema-"),
        ("No change in the nodule.", "nodule+"),
        ("Evidence of prior infarct.", "infarct+"),
        ("Lungs clear, no effusion, no pneumothorax, heart enlarged.", "clear+ effusion- pneumothorax- enlarged+"),
        ("No nodules in the right lung; a 5 mm nodule is seen on the left.", "nodules- nodule+"),
        ("Not consistent with psoriasis.", "psoriasis-"),
        ("Carcinoma is not present at the margin.", "Carcinoma-"),
        ("Fails to show any enhancement.", "enhancement-"),
        ("Non-caseating granulomas and non-small cell carcinoma.", "granulomas+ carcinoma+"),
        ("Gram-negative bacteria are seen.", "bacteria+"),
    ],
)
def test_polarity(text, expected):
    assert spoken(text) == expected
