"""The identifier detector: what it finds, what it must leave alone, and what case corpora do with it."""

import json
import re
import traceback
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.sources.case_identifiers import REFUSED_SHARE
from indexers.sources.cases import CaseParser
from indexers.sources.identifiers import describe, find_identifiers, find_in_name, mask
from pipelines.sample.records import planned
from rag.errors import SourceError

FOUND_BY_KIND = {
    "name": (
        "Dr.Ironwood | Mr. de la Cruz | Ms. van der Berg | Dr. A. B. Ceeling | Q. Marlowe, MD | Jane Roebuck, M.D. | "
        "ordered by ROEBUCK JANE | Smithson Jane MBBS | "
        "Mr. Oakenshield | Mrs Amelia Brightwater | Dr. J. Okonkwo | DR. HALLOWAY | Patient: Ferncastle, "
        "Rowena | Patient name: ROWENA FERNCASTLE | FERNCASTLE^ROWENA^Q | Referring physician: Tobias "
        "Underhill | Electronically signed by Ursula Vane, MD | Dictated by: K. Marlowe | Jennifer "
        "McAllister | O'Malley, Patrick | Prof. Dr. Weissmüller | Name: Ingrid Sørensen | MARGARET "
        "HOLLOWAY | Attending: Xu Liang | Miss Delacroix-Boone"
    ),
    "number": (
        "ID: AB123456 | Medicare 1EG4-TE5-MK73 | case no. 2021-44812 | surgical number S21-12345 | S21-12345 | "
        "MRN: 00482913 | MRN 4829-13 | Medical record number: AB-48291 | Accession #: RAD2024-00317 | "
        "accession number 7719302 | Patient ID: X99-1201 | Hospital No. 55120-A | account number: "
        "88-1234-99 | Case 20194417 was read | 1.2.840.113619.2.55.3.604688119.971 | Policy number: "
        "ZX8891-22"
    ),
    "social security": ("078-05-1120"),
    "phone": ("(415) 555-0132 | 415-555-0132 | +44 20 7946 0958 | Tel: 030 901820 | 1.415.555.0132 | pager 55-1209"),
    "email": ("r.ferncastle@mail.example.org"),
    "address": ("12 Old Mill Road | 4417B N. Willow Creek Lane | P.O. Box 8812 | Springfield, IL 62704 | SW1A 2AA"),
    "web": ("https://portal.example.org/p/1 | www.example.org/p?id=7 | 192.168.14.201"),
    "date": (
        "DOB: 03-04-56 | born May 14 | 14-MAR-21 | 14MAR2021 | the 14th of March | "
        "03/14/2021 | 14.03.2021 | 2021-03-14 | 20210314 | March 14, 2021 | 14 March 2021 | 14th of Mar "
        "2021 | 3/14/21 | on Sept 3 | JAN 5, 2020"
    ),
    "age": ("92-year-old | 101 years old | aged 93 | 95 y/o | age: 90"),
    "device": ("Serial number: SN-88213A | S/N 4471X9 | lot # B22-901"),
}
FOUND = [(kind, text) for kind, texts in FOUND_BY_KIND.items() for text in texts.split(" | ")]

CLEAN = [
    "The heart is normal in size. Lungs are clear. No pleural effusion or pneumothorax.",
    "Findings: 3 x 4 x 2.5 cm mass in the right upper lobe, previously 2.1 cm. Impression: T2 N1 M0 carcinoma.",
    "A 67-year-old man with Parkinson disease and a Charles Bonnet syndrome. James Paget's disease is excluded.",
    "Blood pressure 120/80 mm Hg, pulse 72/min, SpO2 98%, glucose 5.4 mmol/L, platelets 250,000/uL, CD4 1200000.",
    "Degeneration at L4/5 and C5-C6; T12 fracture; MR. No contrast was given. Grade 2/3 meniscal tear.",
    "Patient: 54 year old female. Patient presents with cough. Radiologist impression: normal. Name: Lipoma",
    "Hounsfield 40-60; sequences T1, T2, FLAIR; slice 1.25 mm; kVp 120; mAs 250; TR/TE 500/15; B-value 1000.",
    "Ki-67 95%; 5-year survival 92 percent; 99 years of data; 90% stenosis; score 10/10; 1.5/2.0/3 units.",
    "H&E, 400x. Langhans giant cells; Reed-Sternberg cells; Virchow node; Hodgkin lymphoma, CD15+ CD30+ CD20-.",
    "Dr Watson sign", "Doctor: none", "The May-Thurner lesion; march fracture; 2 may occur; Sept wall defect.",
    "(credit: modification of work by John Hendrix, www.example.org) Smooth muscle. LM x 1600.",
    "Micrograph by Robert Koch. A 60-69 year old. PMID 12345678. ICD-10 C34.1, 10.1016/j.x.2020.01.001",
    "Discussed with Dr. XXXX and Dr. ___ on ___ at 3:40 pm. Patient: XXXX. Physician: [**Last Name**].",
    "Mother: Rh negative. Charles Bonnet Syndrome. James Paget University Hospital; St Mary Abbots; San Jose General.",
    "As reported by Virchow and colleagues, and described by Smith (2010). Sister Mary Joseph nodule.",
    "Silver Spring, MD. CD45-1234 cells; TP53, IL-21, BRCA1-2024; HE4; grade 2-3. Dose 100-1500 mg; 5 may 20; ID of 3.",
    "Study performed at 14:30. Compared with the prior of 3 months ago. Room 4. Right-sided line, tip at the SVC.",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), FOUND, ids=[text for _, text in FOUND])
def test_found_in_any_sentence(kind, text):
    for sentence in (text, f"Impression: normal. {text}. No effusion.", f"({text}) was noted\n\nHeart normal."):
        found = find_identifiers(sentence)
        assert kind in {item.kind for item in found}, sentence
        value = re.split(r"[:#]| by ", text)[-1].replace(",", "").split()
        longest = max(value, key=lambda word: (any(c.isdigit() for c in word), len(word)))
        assert longest not in mask(sentence)


@pytest.mark.parametrize("text", CLEAN)
def test_medical_text_is_left_alone(text):
    assert mask(text) == text


def test_kinds_are_counted_and_nothing_is_quoted():
    found = find_identifiers("Mr. Oakenshield, MRN: 00482913, saw Mrs Brightwater.")
    assert describe(found) == "2 name, 1 number"


def test_known_words_are_found_in_any_case():
    assert mask(
        "SMYTHE and smythe, not Smythers.", find_identifiers("SMYTHE and smythe, not Smythers.", {"Smythe"})
    ) == ("[name] and [name], not Smythers.")


def test_ids_and_file_names_may_be_numbers_but_not_names():
    for name in (
        "00000013_005.png",
        "p10000032/s50414267/02aa804e.jpg",
        "hannover-024e7871",
        "fig_20200127.png",
        "BS10-HE1",
    ):
        assert find_in_name(name) == ()
    for name in ("Jennifer_McAllister.png", "Ferncastle^Rowena", "mail_a.b@example.org", "078-05-1120"):
        assert find_in_name(name)


@given(st.text())
def test_spans_are_in_order_apart_and_inside(text):
    found = find_identifiers(text)
    assert all(0 <= item.start < item.end <= len(text) for item in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(st.lists(st.sampled_from([text for _, text in FOUND] + CLEAN), max_size=6))
def test_masking_once_is_enough(parts):
    masked = mask("\n".join(parts))
    assert not [
        item for item in find_identifiers(masked) if item.kind in {"number", "email", "phone", "social security"}
    ]


@pytest.mark.timeout(20)
def test_endless_text_is_read_in_linear_time():
    for piece in (
        "A",
        "1",
        "1.",
        "Mr ",
        "Ab-",
        "Patient: ",
        "Given ",
        "1 ",
        "1/",
        "-1",
        "www.",
        "a.",
        "a@",
        "12 Ab ",
        "+1 ",
        "^a",
    ):
        assert isinstance(find_identifiers(piece * (20_000 // len(piece))), tuple)


def corpus(folder: Path, rows: list[dict[str, object]]) -> Path:
    (folder / "records.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder / "records.jsonl"


def parsed(path, policy="refuse"):
    parser = CaseParser(policy)
    units = list(parser.parse(parser.open(path), ()))
    return [p for unit in units for p in unit.passages], [s for unit in units for s in unit.skipped]


def clean_rows(n):
    return [{"id": f"r{number}", "report": f"Nodule of {number} mm."} for number in range(n)]


def test_a_corpus_with_identifiers_is_refused_without_naming_them(tmp_path):
    rows = [*clean_rows(20), {"id": "x", "report": "Seen: Mr. Oakenshield, MRN: 00482913"}]
    with pytest.raises(SourceError, match=r"1 of 21 records hold patient identifiers \(1 name, 1 number") as refused:
        CaseParser().open(corpus(tmp_path, rows))
    shown = "".join(traceback.format_exception(refused.value))
    assert "Oakenshield" not in shown
    assert "00482913" not in shown
    assert refused.value.stage == "identifiers"
    passages, _ = parsed(tmp_path / "records.jsonl", "mask")
    assert passages[-1].text == "Seen: Mr. [name], MRN: [number]"
    passages, _ = parsed(tmp_path / "records.jsonl", "allow")
    assert "Oakenshield" in passages[-1].text


def test_below_the_threshold_single_records_are_left_out(tmp_path):
    n = round(2 / REFUSED_SHARE)
    rows = [*clean_rows(n), {"id": "x", "caption": "Call 415-555-0132"}]
    passages, skipped = parsed(corpus(tmp_path, rows))
    assert len(passages) == n
    assert [(item.locator, item.stage) for item in skipped] == [(f"line {n + 1} (x)", "identifiers")]
    assert "1 phone" in skipped[0].reason


def test_dates_and_links_are_blanked_and_attributions_kept(tmp_path):
    row = {
        "id": "a", "report": "Film of 14 March 2021, a 93-year-old.", "title": "Seen 14.03.2021",
        "source": "https://example.org/p", "license": "CC BY, Jennifer McAllister",
    }  # fmt: skip
    (passage,), skipped = parsed(corpus(tmp_path, [row]))
    assert not skipped
    assert passage.text == "Seen [date]\n\nFilm of [date], a [age]."
    assert passage.meta == {"title": "Seen [date]", "source": "https://example.org/p", "license": row["license"]}


def test_reasons_quote_no_identifier(tmp_path):
    n = round(4 / REFUSED_SHARE)
    rows = [
        *clean_rows(n), {"id": "Jennifer_McAllister", "report": "x"}, {"id": "b", "image": "Ferncastle^Rowena.png"},
        {"id": "c", "report": "x", "offset_days": "Mr. Oakenshield"},
    ]  # fmt: skip
    for policy in ("refuse", "mask"):
        passages, skipped = parsed(corpus(tmp_path, rows), policy)
        assert (len(passages), len(skipped)) == (n, 3)
        assert not any(word in repr(skipped) for word in ("McAllister", "Rowena", "Oakenshield"))


def test_the_sample_corpus_is_clean(tmp_path):
    rows = [{key: value for key, value in row.items() if key != "scene"} for row in planned() if row.get("report")]
    passages, skipped = parsed(corpus(tmp_path, rows))
    assert (len(passages), skipped) == (len(rows), [])
    assert not any("[" in passage.text for passage in passages)
