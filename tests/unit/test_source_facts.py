"""Triple files: forms that are read, wording of facts, and rows that are refused."""

import gzip
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.sources import lines as text_lines
from indexers.sources.facts import FactParser
from indexers.sources.verbalise import verbalise
from rag.errors import SourceError
from rag.fingerprint import passage_id, sha256_bytes
from rag.passages import Change
from rag.types import FactLocator, Passage, Polarity, Skipped


def parsed(path: Path) -> tuple[list[Passage], list[Skipped]]:
    parser = FactParser()
    units = list(parser.parse(parser.open(path), ()))
    return [p for u in units for p in u.passages], [s for u in units for s in u.skipped]


def test_bad_rows_are_named_by_line_and_the_others_kept(tmp_path: Path) -> None:
    path = tmp_path / "facts.tsv"
    path.write_bytes(
        b"\xef\xbb\xbfhead\trelation\ttail\tpolarity\tsource\r\n"
        b"a\tis_a\tb\t\tours\r\nbroken row\r\nc\tis_a\t\t\t\r\n\r\nd\tis_a\te\tmaybe\t\r\n"
        b"f\thas_symptom\tfever\tabsent\tours\r\nbad \xff byte\tis_a\tx\t\t\r\n" + b"g" * 70_000 + b"\tis_a\th\t\t\r\n"
    )
    passages, skipped = parsed(path)
    assert [passage.text for passage in passages] == ["a is a kind of b.", "f does not have the symptom fever."]
    assert [passage.locator.polarity for passage in passages] == ["present", "absent"]
    assert passages[0].meta == {"source": "ours", "tier": "ontology"}
    assert [s.locator for s in skipped] == ["line 3", "line 4", "line 6", "line 8", "line 9"]
    for found, reason in zip(skipped, ["1 columns", "empty tail", "'maybe'", "UTF-8", "longer than"], strict=True):
        assert reason in found.reason


def test_hash_separated_file_with_any_header(tmp_path: Path) -> None:
    path = tmp_path / "organe_ü.csv"
    path.write_text("organ#attribute#value\nHeart#function#pump, blood\nHeart#too#many#columns\n", encoding="utf-8")
    passages, skipped = parsed(path)
    assert passages[0].fact == ("Heart", "function", "pump, blood")
    assert passages[0].document == "organe_ü"
    assert skipped[0].locator == "line 3"


def test_comma_separated_file_with_named_columns(tmp_path: Path) -> None:
    path = tmp_path / "graph.csv"
    path.write_text('tail,head,relation\n"pump, blood",Heart,function\n', encoding="utf-8")
    assert parsed(path)[0][0].fact == ("Heart", "function", "pump, blood")


def test_ontology_gives_names_synonyms_and_definitions_of_living_terms(tmp_path: Path) -> None:
    path = tmp_path / "tree.obo.gz"
    text = """format-version: 1.2
ontology: ours

[Term]
id: X:1
name: organ
def: "A \\"working\\" part, e.g.\\, the heart." [ref:1, ref:2]

[Term]
id: X:2
name: heart
synonym: "cor" EXACT []
synonym: "heart" EXACT []
is_a: X:1 {source="me"} ! organ
relationship: part_of X:3 ! thorax
intersection_of: X:1

[Term]
id: X:3
name: thorax

[Term]
id: X:4
name: old heart
is_a: X:1
is_obsolete: true

[Typedef]
id: part_of
name: part of
"""
    path.write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    passages, skipped = parsed(path)
    assert not skipped
    assert [passage.fact for passage in passages] == [
        ("organ", "definition", 'A "working" part, e.g., the heart.'),
        ("heart", "synonym", "cor"),
        ("heart", "is_a", "organ"),
        ("heart", "part_of", "thorax"),
    ]
    assert passages[0].meta == {"source": "ours", "tier": "ontology", "head_id": "X:1"}
    assert passages[2].meta["tail_id"] == "X:1"


def test_the_same_triple_is_one_fact_and_its_absence_another(tmp_path: Path) -> None:
    path = tmp_path / "f.tsv"
    path.write_text("head\trelation\ttail\tpolarity\na\tr\tb\t\na\tr\tb\tpresent\na\tr\tb\tabsent\n")
    passages, _ = parsed(path)
    assert len(passages) == len({passage.id for passage in passages}) == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.tsv", b"", "empty"),
        ("a.tsv", b"x\ty\tz\n1\t2\t3\n", "must name the columns"),
        ("a.obo", b"format-version: 1.2\n", "no \\[Term\\]"),
        ("a.tsv.gz", b"no gzip", "cannot be read"),
        ("a.tsv.gz", gzip.compress(b"head\trelation\ttail\n" + bytes(range(256)) * 400)[:-40], "damaged or cut off"),
    ],
)
def test_unusable_files_are_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=reason):
        FactParser().open(tmp_path / name)


def test_a_decompression_bomb_is_stopped(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tsv.gz"
    path.write_bytes(gzip.compress(b"\x00" * 3_000_000))
    with pytest.raises(SourceError, match="unpacks to more than 1000000 bytes"):
        list(text_lines.read_lines(path, max_line=1000, max_bytes=1_000_000))


names = st.text(min_size=1, max_size=20)
relations = st.one_of(
    st.sampled_from(
        ["is_a", "has_symptom", "has_foo", "is_bar", "made of", "colour", "treats", "not_indicated_for", "no_sign_of"]
    ),
    st.from_regex(r"[a-z][a-z_]{0,20}[a-z]", fullmatch=True),
)
polarities: tuple[Polarity, ...] = ("present", "absent", "uncertain")
changes: tuple[Change, ...] = ("none", "new", "worse", "better", "stable", "resolved")


@given(names, relations, names)
def test_absence_never_reads_like_presence(head: str, relation: str, tail: str) -> None:
    present, absent, uncertain = (verbalise(head, relation, tail, p) for p in polarities)
    assert len({present, absent, uncertain}) == 3
    assert " not " in absent.removeprefix(head)
    assert uncertain.startswith("It is uncertain")
    assert all(head in text and tail in text for text in (present, absent, uncertain))


@given(names, relations, names)
def test_a_sentence_says_its_change_and_keeps_its_polarity(head: str, relation: str, tail: str) -> None:
    texts = {(p, c): verbalise(head, relation, tail, p, c) for p in polarities for c in changes}
    assert len(set(texts.values())) == len(texts)
    for (polarity, _), text in texts.items():
        still = texts[polarity, "none"]
        assert text.startswith(still)


@given(st.sampled_from(polarities), st.sampled_from(changes))
def test_polarity_and_change_are_part_of_a_passage(polarity: Polarity, change: Change) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.tsv"
        path.write_text(f"head\trelation\ttail\tpolarity\tchange\nx\tr\ty\t\t\nx\tr\ty\t{polarity}\t{change}\n")
        passages, _ = parsed(path)
    assert passages[-1].locator == FactLocator("x", "r", "y", polarity, change)
    assert len(passages) == (1 if (polarity, change) == ("present", "none") else 2)


def test_facts_without_change_keep_the_ids_they_had(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("head\trelation\ttail\nx\tr\ty\n")
    content = "a\x1fx\x1fr\x1fy\x1fpresent"
    assert parsed(path)[0][0].id == passage_id(sha256_bytes(content.encode()), "fact", content)
