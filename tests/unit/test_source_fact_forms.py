"""Forms of fact files beside tables of triples: annotations, facets, indications, glossaries, codes and signs."""

import gzip
import json
from pathlib import Path

import pytest

from indexers.sources.discovery import discover
from indexers.sources.fact_files import count_rows, form_of, read_rows
from indexers.sources.facts import FactParser
from rag.errors import SourceError
from rag.types import Passage, Skipped


def parsed(path: Path) -> tuple[list[Passage], list[Skipped]]:
    parser = FactParser()
    units = list(parser.parse(parser.open(path), ()))
    return [p for u in units for p in u.passages], [s for u in units for s in u.skipped]


def facts(passages: list[Passage]) -> list[tuple[str, ...]]:
    return [(*(passage.fact or ()), passage.locator.polarity) for passage in passages]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


ONTOLOGY = """format-version: 1.2
data-version: hp/releases/2031-02-03
ontology: hp
property_value: http://purl.org/dc/terms/license https://example.org/terms

[Term]
id: HP:1
name: Long nails
alt_id: HP:9

[Term]
id: HP:2
name: Soft hair

[Term]
id: HP:40
name: Frequent
"""
ANNOTATIONS = """#description: "made up"
#version: 2031-04-05
database_id\tdisease_name\tqualifier\thpo_id\treference\tevidence\tonset\tfrequency\tsex\tmodifier\taspect\tbiocuration
D:1\tNail syndrome\t\tHP:9\tP:1\tPCS\t\t1/2\tMALE\t\tP\tx
D:1\tNail syndrome\t\tHP:1\tP:2\tPCS\tHP:2\tHP:40\t\t\tP\tx
D:1\tNail syndrome\tNOT\tHP:1\tP:3\tTAS\t\t\t\t\tP\tx
D:1\tNail syndrome\t\tHP:2\tP:3\tTAS\t\t0/7\t\t\tP\tx
D:1\tNail syndrome\t\tHP:2\tP:3\tTAS\t\t\t\t\tZ\tx
D:1\tNail syndrome\t\tHP:77\tP:3
D:2\tHair syndrome\t\tHP:2\tP:3\tTAS\t\t0/7\t\t\tP\tx
D:2\tHair syndrome\t\tHP:2\tP:3\tTAS\t\t1/9\t\t\tP\tx
D:2\tHair syndrome\t\tHP:77\tP:3\tTAS\t\tHP:0040285\t\t\tP\tx
"""


def test_annotations_keep_negation_and_gather_their_references(tmp_path: Path) -> None:
    written(tmp_path / "hp.obo.gz", ONTOLOGY)
    passages, skipped = parsed(written(tmp_path / "phenotype.hpoa.gz", ANNOTATIONS))
    assert facts(passages) == [
        ("Nail syndrome", "has_phenotype", "Long nails", "present"),
        ("Nail syndrome", "has_phenotype", "Long nails", "absent"),
        ("Nail syndrome", "has_phenotype", "Soft hair", "absent"),
        ("Hair syndrome", "has_phenotype", "Soft hair", "present"),
        ("Hair syndrome", "has_phenotype", "HP:77", "absent"),
    ]
    assert passages[0].meta == {
        "source": "hpo_annotations", "license": "https://example.org/terms", "version": "2031-04-05",
        "tier": "ontology", "head_id": "D:1", "tail_id": "HP:1", "frequency": "1/2; Frequent", "sex": "male",
        "reference": "P:1; P:2", "evidence": "PCS", "onset": "Soft hair",
    }  # fmt: skip
    assert "not known" in passages[-1].meta["note"]
    assert [(item.locator, item.reason[:9]) for item in skipped] == [("line 9", "5 columns"), ("line 8", "aspect 'Z")]


def test_annotations_without_ontology_keep_ids_and_change_with_it(tmp_path: Path) -> None:
    path = written(tmp_path / "phenotype.hpoa", ANNOTATIONS)
    without = FactParser().open(path)
    assert facts(parsed(path)[0])[0][2] == "HP:9"
    written(tmp_path / "hp.obo", ONTOLOGY)
    assert FactParser().open(path).sha256 != without.sha256


def test_older_annotation_files_are_read(tmp_path: Path) -> None:
    header = "#DatabaseID\tDiseaseName\tQualifier\tHPO_ID\tReference\tEvidence\tOnset\tFrequency\tAspect\n"
    path = written(tmp_path / "phenotype.tsv", f"#version: 2019-01-01\n{header}D:1\ta\tNOT\tHP:1\tr\tTAS\t\t\tP\n")
    assert facts(parsed(path)[0]) == [("a", "has_phenotype", "HP:1", "absent")]


def test_facets_leave_out_what_is_said_of_all_and_how_the_table_was_made(tmp_path: Path) -> None:
    header = "?id\t?name\t?definition\t?facet\t?import_keyword\t?import_id\n"
    rows = "".join(
        f'"D:{i}"\t"illness ""{i}"""\t"An illness."\t"symptom"\t"{value}"\t"S:1"\n'
        for i in range(30)
        for value in ("symptom", "ache" if i % 2 else "fever")
    )
    more = '"D:0"\t"illness ""0"""\t"An illness."\t"evidence"\t"inference"\t"E:1"\n"D:1"\t"cut\n'
    more += '"D:0"\t"illness ""0"""\t"An illness."\t"colour"\t"blue"\t"C:1"\n'
    passages, skipped = parsed(written(tmp_path / "facets_2031-08.tsv", header + rows + more))
    assert facts(passages)[:2] == [
        ('illness "0"', "definition", "An illness.", "present"),
        ('illness "0"', "has_symptom", "fever", "present"),
    ]
    assert facts(passages)[-1][1:3] == ("colour", "blue")
    assert len(passages) == 61
    assert passages[1].meta["version"] == "2031-08"
    assert (passages[1].meta["head_id"], passages[1].meta["tail_id"]) == ("D:0", "S:1")
    assert len(skipped) == 1


def test_indications_by_category(tmp_path: Path) -> None:
    text = "doid_id\tdrugbank_id\tdisease\tdrug\tcategory\nD:1\tB:1\tgout\tA\tDM\nD:1\tB:2\tgout\tB\tSYM\n"
    written(tmp_path / "LICENSE", "Creative Commons Legal Code\n\nCC0 1.0 Universal\n")
    passages, skipped = parsed(written(tmp_path / "drugs.tsv", text + "D:1\tB:3\tgout\tC\tNOT\nD\tB\tx\ty\tMAYBE\n"))
    assert [fact[:3] for fact in facts(passages)] == [
        ("A", "disease_modifying_treatment_of", "gout"),
        ("B", "symptomatic_treatment_of", "gout"),
        ("C", "not_indicated_for", "gout"),
    ]
    assert passages[2].text == "C is not indicated for gout."
    assert passages[0].meta["license"] == "CC0"
    assert "'MAYBE'" in skipped[0].reason


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words.tsv", "Term\tMeaning\tSynonyms\nradius\tA bone.\tspoke bone | radius\n"),
        ("words.csv", 'term,definition,synonyms\nradius,"A bone.",spoke bone\n'),
    ],
)
def test_glossaries_with_a_header(tmp_path: Path, name: str, text: str) -> None:
    passages, _ = parsed(written(tmp_path / name, text))
    assert facts(passages) == [
        ("radius", "definition", "A bone.", "present"),
        ("radius", "synonym", "spoke bone", "present"),
    ]
    assert passages[0].meta["tier"] == "textbook"


def test_a_glossary_without_header_needs_a_name_that_says_so(tmp_path: Path) -> None:
    text = "radius\tA bone.\tour book\nulna\tAnother bone.\tour book\n"
    passages, _ = parsed(written(tmp_path / "glossary.txt", text))
    assert [passage.meta["source"] for passage in passages] == ["our book", "our book"]
    with pytest.raises(SourceError, match="none of them"):
        form_of(written(tmp_path / "other.txt", text))


def test_a_list_of_codes_gives_parents_only(tmp_path: Path) -> None:
    codes = "1\nA00-B99\nA00-A09\nA00\nA000\nA0000\nB05\nQA0\nwhat is this\n2\nC00\n"
    path = written(tmp_path / "icd10cm_codes_2031.txt.gz", codes.replace("what is this\n", "") + "what is this\n")
    passages, skipped = parsed(path)
    links = {(p.fact[0].removeprefix("ICD-10-CM "), p.fact[2].removeprefix("ICD-10-CM ")) for p in passages if p.fact}
    assert links == {
        ("A00-B99", "chapter 1"), ("A00-A09", "A00-B99"), ("A00", "A00-A09"), ("A00.0", "A00"), ("A00.00", "A00.0"),
        ("B05", "A00-B99"), ("QA0", "chapter 1"), ("C00", "chapter 2"),
    }  # fmt: skip
    assert {passage.meta["version"] for passage in passages} == {"2031"}
    assert [item.locator for item in skipped] == ["line 11"]


def test_codes_with_descriptions_are_named(tmp_path: Path) -> None:
    order = f"00001 A00     0 {'Gripes':60} Gripes, all sorts\n00002 A000    1 {'Gripes, dry':60} Gripes, dry sort\n"
    for path in (
        written(tmp_path / "codes.txt", "A00     Gripes, all sorts\nA000    Gripes, dry sort\n"),
        written(tmp_path / "order.txt", order),
    ):
        passages, _ = parsed(path)
        assert [fact[:3] for fact in facts(passages)] == [
            ("Gripes, all sorts", "icd10cm_code", "A00"),
            ("Gripes, dry sort", "icd10cm_code", "A00.0"),
            ("Gripes, dry sort", "is_a", "Gripes, all sorts"),
        ]
        assert passages[2].meta["tail_id"] == "ICD10CM:A00"


def test_signs_of_conditions_with_their_negation(tmp_path: Path) -> None:
    text = json.dumps(
        {
            "dry eye": ["red rim", "no tears", "no tears but redness", ""],
            "odd": "text",
            "wet": ["without any swelling"],
        },
        indent=1,
    )
    passages, skipped = parsed(written(tmp_path / "fundus" / "definitions.json", text))
    assert facts(passages) == [
        ("dry eye", "fundus_sign", "red rim", "present"),
        ("dry eye", "fundus_sign", "tears", "absent"),
        ("dry eye", "fundus_sign", "no tears but redness", "present"),
        ("wet", "fundus_sign", "swelling", "absent"),
    ]
    assert passages[1].text == "dry eye does not show in the fundus: tears."
    assert passages[0].meta["source"] == "fundus"
    assert [item.locator for item in skipped] == ["line 2", "line 8"]
    elsewhere = written(tmp_path / "skin" / "signs.json", '{"rash": ["small spots"]}')
    assert parsed(elsewhere)[0][0].fact == ("rash", "has_sign", "small spots")


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"a": {"b": ["c"]}}', "[" * 100_000])
def test_json_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SourceError, match="JSON"):
        FactParser().open(written(tmp_path / "x.json", text))


def test_an_ontology_with_circles_gaps_and_replaced_terms(tmp_path: Path) -> None:
    text = (
        ONTOLOGY
        + """
[Term]
id: HP:3
name: ring
is_a: HP:4 ! ring of rings
is_a: HP:3 ! ring
is_a: HP:9 ! old name of nails
is_a: HP:404
is_a: HP:5 ! old thing
xref: A:1 "comment"
alt_id: HP:33

[Term]
id: HP:4
name: ring of rings
is_a: HP:3

[Term]
id: HP:5
name: old thing
is_obsolete: true
replaced_by: HP:6

[Term]
id: HP:6
is_obsolete: true
replaced_by: HP:5
"""
    )
    passages, skipped = parsed(written(tmp_path / "a.obo", text))
    assert [passage.fact for passage in passages] == [
        ("ring", "is_a", "ring of rings"),
        ("ring", "is_a", "Long nails"),
        ("ring", "is_a", "HP:404"),
        ("ring", "is_a", "old thing"),
        ("ring of rings", "is_a", "ring"),
    ]
    assert passages[0].meta == {
        "source": "hp", "license": "https://example.org/terms", "version": "2031-02-03", "tier": "ontology",
        "head_id": "HP:3", "head_alt_ids": "HP:33", "head_xrefs": "A:1", "tail_id": "HP:4",
    }  # fmt: skip
    assert "to itself" in skipped[0].reason


def test_columns_for_tier_version_and_change(tmp_path: Path) -> None:
    text = "head\trelation\ttail\tpolarity\tchange\ttier\tversion\n"
    ends = ("\tnew\treport\t3", "\t\t\t", "\todd\t\t", "\t\tlow\t")
    rows = "".join(f"x\thas_finding\ty\t{end}\n" for end in ends)
    passages, skipped = parsed(written(tmp_path / "a.tsv", text + rows))
    assert [(p.locator.change, p.meta) for p in passages] == [
        ("new", {"tier": "report", "version": "3"}), ("none", {"tier": "ontology"}),
    ]  # fmt: skip
    assert passages[0].id != passages[1].id
    assert [item.reason.split()[0] for item in skipped] == ["change", "tier"]


def test_a_folder_of_facts_lists_what_it_cannot_use(tmp_path: Path) -> None:
    written(tmp_path / "a.tsv", "head\trelation\ttail\nx\tr\ty\n")
    written(tmp_path / "notes.txt", "Call the lab.\n")
    written(tmp_path / "settings.json", '{"size": 3}')
    written(tmp_path / "LICENSE", "Apache License\n Version 2.0\n")
    written(tmp_path / "model.bin", "x")
    written(tmp_path / "book.pdf", "x")
    written(tmp_path / "codes.txt.gz", "A00\nA000\n")
    found = discover([tmp_path], "facts")
    assert [path.name for path in found.files] == ["a.tsv", "codes.txt.gz"]
    reasons = {Path(item.path).name: item.reason for item in found.skipped}
    assert set(reasons) == {"notes.txt", "settings.json", "model.bin"}
    assert "none of them" in reasons["notes.txt"]
    assert "condition" in reasons["settings.json"]


def test_counts_are_those_of_the_rows(tmp_path: Path) -> None:
    written(tmp_path / "hp.obo", ONTOLOGY)
    for path in (
        written(tmp_path / "phenotype.hpoa", ANNOTATIONS),
        written(tmp_path / "c.txt", "1\nA00-A09\nA00\nA000\n"),
        written(tmp_path / "s.json", '{"a": ["b", "no c"]}'),
    ):
        assert count_rows(path) == sum(1 for _ in read_rows(path)) > 1


def test_labels_of_a_megabyte_are_refused_by_line(tmp_path: Path) -> None:
    long = "a" * (1 << 20)
    files = {
        written(tmp_path / "a.obo", f'{ONTOLOGY}\n[Term]\nid: X:1\nname: x\ndef: "{long}"\nis_a: HP:1\n'): "line 22",
        written(tmp_path / "s.json", json.dumps({"x": ["y", long]}, indent=1)): "line 2",
        written(tmp_path / "p.hpoa", f"{ANNOTATIONS}D:3\t{long}\t\tHP:1\t\t\t\t\t\t\tP\t\n"): "line 13",
    }
    for path, line in files.items():
        passages, skipped = parsed(path)
        assert passages
        assert "longer than 65536" in skipped[-1].reason
        assert skipped[-1].locator == line
