"""Rules of the labeller, one by one, and properties that hold for every sentence."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knowledge.findings import label_report, label_study, study_labels

POLARITIES = {"+": "present", "-": "absent", "?": "uncertain"}


def said(text):
    """Findings in short form: "Pneumothorax-"."""
    marks = {polarity: mark for mark, polarity in POLARITIES.items()}
    return [finding.label + marks[finding.polarity] for finding in label_report(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No pneumothorax or effusion, but left consolidation.", "Pneumothorax- Pleural_Effusion- Consolidation+"),
        ("No pneumothorax, small left effusion.", "Pneumothorax- Pleural_Effusion+"),
        ("No effusion, new consolidation, or pneumothorax.", "Pleural_Effusion- Consolidation- Pneumothorax-"),
        ("There is no effusion, and a nodule is seen.", "Pleural_Effusion- Lung_Lesion+"),
        ("Neither effusion nor pneumothorax.", "Pleural_Effusion- Pneumothorax-"),
        ("Effusion and consolidation are absent.", "Pleural_Effusion- Consolidation-"),
        ("There is cardiomegaly and pneumonia cannot be excluded.", "Cardiomegaly+ Pneumonia?"),
        ("Pneumonia has been ruled out.", "Pneumonia-"),
        ("Pneumonia cannot be ruled out.", "Pneumonia?"),
        ("The pneumothorax has resolved.", "Pneumothorax-"),
        ("No change in effusion.", "Pleural_Effusion+"),
        ("Effusion has not resolved.", "Pleural_Effusion+"),
        ("The lung is not without consolidation.", "Consolidation+"),
        ("Effusion is not absent.", "Pleural_Effusion+"),
        ("No opacity to suggest pneumonia.", "Lung_Opacity- Pneumonia-"),
        ("No convincing radiographic evidence of edema.", "Edema-"),
        ("Atelectasis or pneumonia.", "Atelectasis? Pneumonia?"),
        ("Nodule or mass in the right upper lobe.", "Lung_Lesion+ Lung_Lesion+"),
        ("Atelectasis rather than pneumonia.", "Atelectasis? Pneumonia?"),
        ("The following are absent: effusion, edema.", "Pleural_Effusion- Edema-"),
        ("Effusion, pneumothorax: absent.", "Pleural_Effusion- Pneumothorax-"),
        ("Pleural effusion: no effusion.", "Pleural_Effusion-"),
        ("+ infiltrate, -effusion, -ptx", "Lung_Opacity+ Pleural_Effusion- Pneumothorax-"),
        ("No cough and CXR shows an effusion.", "Pleural_Effusion+"),
        ("No infiltrate, lines in place.", "Lung_Opacity- Support_Devices+"),
        ("No radiographic evidence of acute cardiopulmonary disease.", "No_Finding+"),
        ("There is an acute process.", ""),
        ("Effusion, which has resolved.", "Pleural_Effusion-"),
        ("Evaluate for pneumonia. History of pneumothorax.", ""),
        ("Pericardial effusion. Lens opacity. Macular edema. Renal failure.", ""),
        ("The heart is not enlarged.", "Cardiomegaly-"),
        ("The lungs are not clear.", "Lung_Opacity+"),
        ("Lungs are otherwise clear.", ""),
        ("", ""),
        ("...", ""),
    ],
)  # fmt: skip
def test_scope(text, expected):
    assert [one.replace(" ", "_") for one in said(text)] == expected.split()


@pytest.mark.parametrize(
    ("text", "laterality", "severity", "change"),
    [
        ("Small left effusion.", "left", "mild", None),
        ("Effusion on the right, moderate, unchanged.", "right", "moderate", "unchanged"),
        ("Small right and moderate left effusions.", "bilateral", "moderate", None),
        ("Mild to moderate effusion.", None, "moderate", None),
        ("Effusion is slightly increased.", None, None, "increased"),
        ("Moderate effusion (previously large).", None, "moderate", None),
        ("On the left, there is a new effusion.", "left", None, "new"),
        ("Effusion, L>R.", "bilateral", None, None),
        ("No large left effusion.", "left", None, None),
        ("Effusion has resolved.", None, None, "resolved"),
        ("Near complete resolution of effusion.", None, None, "decreased"),
        ("Effusion has decreased from moderate to small.", None, "mild", "decreased"),
        ("Effusion persists but has improved.", None, None, "decreased"),
        ("No interval change in effusion.", None, None, "unchanged"),
        ("Effusion in the left base, right base clear.", "left", None, None),
        ("Effusion with the patient's right atrium enlarged.", None, None, None),
    ],
)
def test_modifiers(text, laterality, severity, change):
    (finding,) = label_report(text)
    assert (finding.laterality, finding.severity, finding.change) == (laterality, severity, change)


def test_sections_that_only_ask_or_remember_are_not_read():
    text = (
        "INDICATION: Pneumonia?\nCOMPARISON: Film with large effusion.\nFINDINGS: No edema.\nIMPRESSION: Cardiomegaly."
    )
    findings = label_report(text)
    assert [(finding.label, finding.section) for finding in findings] == [
        ("Edema", "findings"),
        ("Cardiomegaly", "impression"),
    ]


def test_lines_broken_for_want_of_room_stay_one_sentence():
    assert said("FINDINGS: There is no focal\nconsolidation, effusion, or\npneumothorax.\nCardiomegaly.") == [
        "Consolidation-", "Pleural Effusion-", "Pneumothorax-", "Cardiomegaly+",
    ]  # fmt: skip


def test_typing_errors_are_forgiven_and_other_words_are_not_bent():
    assert said("no pnuemothorax, mild atelectesis, consoldation RLL") == [
        "Pneumothorax-",
        "Atelectasis+",
        "Consolidation+",
    ]
    assert said("The injection was given. Internal fixation of the device.") == []


def test_study_takes_the_strongest_state():
    assert label_study("No effusion on the right. Possible effusion. Small left effusion.") == {
        "Pleural Effusion": "present"
    }
    assert label_study("No effusion. Effusion cannot be excluded.") == {"Pleural Effusion": "uncertain"}
    assert label_study("Nothing of note is written here.") == {}


def test_no_finding_needs_a_report_that_says_so():
    assert label_study("No pneumothorax. ET tube in place.") == {
        "No Finding": "present", "Pneumothorax": "absent", "Support Devices": "present",
    }  # fmt: skip
    assert label_study("Normal chest radiograph.") == {"No Finding": "present"}
    assert "No Finding" not in label_study("No acute process. Possible small effusion.")
    assert label_study("ET tube in place.") == {"Support Devices": "present"}


def test_heart_failure_leaves_cardiomegaly_uncertain():
    assert label_study("Congestive heart failure.") == {"Cardiomegaly": "uncertain", "Edema": "present"}
    assert label_study("Heart failure. Heart size is normal.")["Cardiomegaly"] == "absent"
    assert "Cardiomegaly" not in label_study("No heart failure.")
    assert study_labels(()) == {}


NAMES = {
    "pneumothorax": "Pneumothorax", "pleural effusion": "Pleural Effusion", "consolidation": "Consolidation",
    "atelectasis": "Atelectasis", "pulmonary edema": "Edema", "cardiomegaly": "Cardiomegaly", "pneumonia": "Pneumonia",
    "pulmonary nodule": "Lung Lesion", "opacity": "Lung Opacity", "rib fracture": "Fracture", "mass": "Lung Lesion",
    "pleural thickening": "Pleural Other", "mediastinal widening": "Enlarged Cardiomediastinum",
    "infiltrate": "Lung Opacity", "vascular congestion": "Edema", "pleural plaque": "Pleural Other",
    "chest tube": "Support Devices", "hemothorax": "Pleural Effusion", "lobar collapse": "Atelectasis",
    "clavicle fracture": "Fracture",
}  # fmt: skip
MODIFIERS = (
    "", "small ", "left ", "new ", "right apical ", "moderate ", "persistent ", "small bilateral ", "mild left ",
    "stable ",
)  # fmt: skip
FRAMES = (
    "{}.", "There is {}.", "FINDINGS: {}.", "There is {} in the lower lung.", "cxr w/ {}", "IMPRESSION:\n1. {}.",
    "The film shows {}.", "Today {} is seen.", "{} is present.", "Again noted is {} on the portable view.", "We see {}",
    "- {}",
)  # fmt: skip


def test_inserting_no_evidence_of_flips_present_to_absent():
    """Metamorphic test over 500 of 2,400 sentences: label, place and side stay, polarity flips."""
    cases = [(frame, modifier, name) for frame in FRAMES for modifier in MODIFIERS for name in NAMES]
    for frame, modifier, name in random.Random(7).sample(cases, 500):
        before = label_report(frame.format(modifier + name))
        after = label_report(frame.format("no evidence of " + modifier + name))
        assert [finding.label for finding in before] == [finding.label for finding in after] == [NAMES[name]], (
            frame,
            name,
        )
        assert (before[0].polarity, after[0].polarity) == ("present", "absent"), frame.format(modifier + name)
        assert before[0].text == after[0].text
        assert before[0].laterality == after[0].laterality


UNRELATED = (
    "The patient was seen in clinic.", "Dr. Jones was informed at 4.30 p.m.", "Degenerative changes of the spine.",
    "The aorta is tortuous.", "Image quality is good.", "Surgical clips project over the abdomen? no matter.",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(NAMES)), min_size=1, max_size=3, unique=True),
    denied=st.lists(st.booleans(), min_size=3, max_size=3),
    unrelated=st.sampled_from(UNRELATED[:5]),
    place=st.integers(0, 3),
)
def test_an_unrelated_sentence_never_changes_the_findings(names, denied, unrelated, place):
    sentences = [("No " if no else "There is ") + name + "." for name, no in zip(names, denied, strict=False)]
    with_other = [*sentences[:place], unrelated, *sentences[place:]]

    def core(lines):
        return [
            (one.label, one.polarity, one.text, one.laterality, one.change) for one in label_report(" ".join(lines))
        ]

    assert core(sentences) == core(with_other)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([
            *NAMES, *MODIFIERS, "no", "without", "not", "and", "or", ",", ".", ";", ":", "\n", "-", "?", "(", "left",
            "both", "resolved", "unchanged", "possible", "but", "with", "heart", "lungs", "clear", "normal", "İ", "’s",
            "enlarged", "FINDINGS:", "history of", "cannot be excluded", "is", "4.5", "more", "likely", "than",
        ]),
        max_size=25,
    )
)  # fmt: skip
def test_any_word_salad_is_read_with_exact_offsets(pieces):
    text = " ".join(pieces)
    findings = label_report(text)
    assert label_report(text) == findings
    for finding in findings:
        assert text[finding.start : finding.end] == finding.text
        assert finding.text.strip() == finding.text != ""
        if finding.polarity == "absent":
            assert finding.severity is None
            assert finding.change in (None, "resolved")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_accepted(text):
    assert all(text[finding.start : finding.end] == finding.text for finding in label_report(text))
