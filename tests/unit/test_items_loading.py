"""Loading as a whole: own files and their schema, bad rows, missing images, digests, several forms at one place."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.datasets import DatasetError
from eval.items import (
    GoldEvidence,
    Item,
    ItemImage,
    LoadOptions,
    Region,
    detect_formats,
    load_items,
    own,
    write_items,
)  # fmt: skip
from eval.items.fields import FieldError, answer_type_of, letter_of, lettered
from eval.items.reading import form_of, read_records
from rag.errors import QueryError

SCHEMA = json.loads(Path(own.__file__).with_name("item.schema.json").read_text("utf-8"))


def lines(path, *rows):
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_text(text, "utf-8")
    return path


def test_the_interface_row_is_an_item(tmp_path):
    (tmp_path / "scan.png").write_bytes(b"x")
    row = {
        "id": 1, "text": "What is seen?", "image": "scan.png", "options": ["cyst", "mass"], "answer": "mass",
        "gold": [{"source": "page", "book": "b", "page": 3}, {"source": "document", "id": "d", "grade": 2}],
        "set": "easy", "patient_id": 7, "study_id": "s", "groups": {"organ": "lung"},
    }  # fmt: skip
    [item] = load_items(lines(tmp_path / "q.jsonl", row)).items
    assert (item.id, item.question, item.options, item.answers) == (
        "1",
        "What is seen?",
        {"A": "cyst", "B": "mass"},
        ("B",),
    )
    assert item.gold == (GoldEvidence(("page", "b", "3")), GoldEvidence(("document", "d"), 2.0))
    assert (item.groups, item.cluster) == ({"set": "easy", "organ": "lung"}, "patient:7")
    query = item.as_query()
    assert (query.text, query.options, query.images) == (
        "What is seen?",
        ("cyst", "mass"),
        ((tmp_path / "scan.png").resolve(),),
    )


def test_a_book_with_its_gold_pages_is_understood(tmp_path):
    row = {
        "id": "m",
        "book": "b",
        "question": "Which?",
        "options": {"A": "x", "B": "y"},
        "answer": "B",
        "gold_pages": [4, 5],
    }
    [item] = load_items(lines(tmp_path / "q.jsonl", row)).items
    assert [one.unit for one in item.gold] == [("page", "b", "4"), ("page", "b", "5")]


def test_bad_rows_are_listed_and_the_rest_is_kept(tmp_path):
    file = lines(
        tmp_path / "q.jsonl",
        {"id": "a", "question": "Good?"},
        "not json",
        {"id": "a", "question": "Again?"},
        {"id": "c", "question": "Which?", "options": ["x", "y"], "answer": "z"},
        {"id": "d"},
        {"id": "e", "question": "?", "answer_type": "sometimes"},
        {"question": "no id"},
        {"id": "g", "question": "?", "gold": [{"source": "shelf"}]},
        {"id": "h", "question": ["?"]},
        {"id": "i", "question": "?", "regions": [{"bounds": [1, 2]}]},
        {"id": "j", "question": "?", "answerable": "no"},
        {"id": "k", "question": "?", "groups": 3},
    )
    found = load_items(file)
    assert [item.id for item in found.items] == ["a"]
    expected = (
        "q.jsonl:2: it is not a JSON object", "id 'a' was used before, at q.jsonl:1", "'z' is none of the options A, B",
        "the row is empty", "'sometimes' is none of", "the field id is missing", "none of the known forms",
        "the field question is ['?'], not a text", "not a box of four numbers", "not true or false", "not an object",
    )  # fmt: skip
    assert len(found.problems) == len(expected)
    for problem, words in zip(found.problems, expected, strict=True):
        assert words in problem
    with pytest.raises(DatasetError, match="11 problems"):
        load_items(file, LoadOptions(stop_on_bad_rows=True))


def test_missing_images_are_counted_listed_or_stop_the_load(tmp_path):
    file = lines(
        tmp_path / "q.jsonl",
        {"id": "a", "image": ["gone.png", "gone.png"]},
        {"id": "b", "image": "../secret.png"},
        {"id": "c", "question": "?"},
    )
    found = load_items(file)
    assert found.missing == ("gone.png", "../secret.png")
    counts = found.counts()
    assert (counts["missing_images"], counts["items_with_missing_images"], counts["n"]) == (2, 2, 3)
    assert [item.id for item in found.complete] == ["c"]
    with pytest.raises(DatasetError, match=r"image 'gone\.png' is not in"):
        load_items(file, LoadOptions(stop_on_missing_images=True))


def test_images_may_lie_in_a_folder_of_the_users_choice(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"x")
    file = lines(tmp_path / "q.jsonl", {"id": "a", "image": "a.png"})
    assert load_items(file).missing == ("a.png",)
    assert load_items(file, LoadOptions(images=tmp_path / "pictures")).missing == ()


def test_the_digest_follows_the_content_not_the_place(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lines(tmp_path / name / "q.jsonl", {"id": "a", "question": "?"})
    one, two = (load_items(tmp_path / name) for name in ("one", "two"))
    assert one.digest == two.digest
    lines(tmp_path / "two" / "q.jsonl", {"id": "a", "question": "!"})
    assert load_items(tmp_path / "two").digest != one.digest


def test_several_forms_at_one_place_must_be_named(tmp_path):
    lines(tmp_path / "q.jsonl", {"id": "a", "question": "?"})
    medqa = {"question": "?", "options": {"A": "x"}, "answer": "x", "answer_idx": "A", "meta_info": "step1"}
    lines(tmp_path / "test.jsonl", medqa)
    assert set(detect_formats(tmp_path)) == {"own", "medqa"}
    with pytest.raises(QueryError, match="several forms"):
        load_items(tmp_path)
    assert load_items(tmp_path, form="medqa").format == "medqa"
    with pytest.raises(QueryError, match="no benchmark in the form slake"):
        load_items(tmp_path, form="slake")
    with pytest.raises(QueryError, match="no form 'slakes'"):
        load_items(tmp_path, form="slakes")


def test_nothing_there_is_said(tmp_path):
    with pytest.raises(QueryError, match="does not exist"):
        load_items(tmp_path / "nowhere")
    with pytest.raises(QueryError, match="holds no benchmark"):
        load_items(tmp_path)
    file = lines(tmp_path / "q.jsonl", {"id": "a", "question": "?", "answer_type": "x"})
    with pytest.raises(DatasetError, match="1 problem"):
        load_items(file)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[", b"{", b"", b"3", b"[1, 2]", b'{"a": 1}', b'{"a": []}'])
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".tsv", ".pkl"])
def test_damaged_files_have_no_form_and_break_nothing(tmp_path, content, suffix):
    file = tmp_path / f"q{suffix}"
    file.write_bytes(content)
    assert detect_formats(tmp_path) == {}
    assert form_of(file).keys <= {"3", "[", "{", "[1, 2]", '{"a": 1}', '{"a": []}', "[1", " 2]", "a", ""}


def test_a_kind_that_is_not_read_is_named(tmp_path):
    with pytest.raises(QueryError, match="is of no kind that is read"):
        list(read_records(tmp_path / "a.docx"))


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=1, max_size=8)
NAMES = st.from_regex(r"[a-z]{1,6}\.png", fullmatch=True)
IMAGES = st.lists(NAMES.map(ItemImage), max_size=2).map(tuple)
GOLD = st.one_of(
    st.builds(lambda page: ("page", "book", str(page)), st.integers(1, 9)),
    st.builds(lambda record: ("case", "atlas", record), TEXT),
    st.builds(lambda a, b: ("fact", a, "is a", b), TEXT, TEXT),
    st.builds(lambda name: ("document", name), TEXT),
)


@st.composite
def items(draw):
    options = dict(zip("ABCD", draw(st.lists(TEXT, max_size=4, unique_by=str.lower)), strict=False))
    kind = "choice" if options else draw(st.sampled_from(["open", "yesno", "closed", "report", "retrieval"]))
    return Item(
        id=draw(TEXT), dataset="d", answer_type=kind, question=draw(TEXT), split=draw(st.sampled_from(["", "test"])),
        images=draw(IMAGES), prior_images=draw(IMAGES), options=options,
        answers=tuple(options)[:1] if options else tuple(draw(st.lists(TEXT, max_size=2))),
        groups={"set": "s", **draw(st.dictionaries(TEXT, TEXT, max_size=2))},
        patient=draw(st.none() | TEXT), study=draw(st.none() | TEXT), pair=draw(st.none() | TEXT),
        gold=tuple(GoldEvidence(unit, 2.0) for unit in draw(st.lists(GOLD, max_size=2))),
        contexts=tuple(draw(st.lists(TEXT, max_size=2))), report=draw(st.none() | TEXT),
        prior_report=draw(st.none() | TEXT), answerable=draw(st.booleans()),
        regions=draw(st.just(()) | st.just((Region((0.0, 1.5, 2.0, 3.0), "lung", 0),))),
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(items())
def test_written_items_are_read_back(tmp_path_factory, item):
    path = tmp_path_factory.mktemp("own") / "rows.jsonl"
    assert write_items([item], path) == 1
    found = load_items(path, form="own")
    assert (found.items, found.problems) == ((item,), ())
    row = json.loads(path.read_text("utf-8"))
    assert set(row) <= set(SCHEMA["properties"])


def test_the_schema_names_the_fields_that_are_read():
    assert set(SCHEMA["properties"]) == set(own.FIELDS)


def test_options_and_letters():
    assert lettered(["A: left", "B: right"]) == {"A": "left", "B": "right"}
    assert lettered(["Air", "Bone"]) == {"A": "Air", "B": "Bone"}
    assert letter_of("(b)", {"A": "x", "B": "y"}) == "B"
    assert letter_of("B: right", {"A": "left", "B": "right"}) == "B"
    assert letter_of("Y", {"A": "x", "B": "y"}) == "B"
    with pytest.raises(FieldError, match="more than letters"):
        lettered(["x"] * 27)
    assert (answer_type_of(["No."]), answer_type_of(["left"], " closed "), answer_type_of([])) == (
        "yesno",
        "closed",
        "open",
    )


def test_clusters_fall_back_from_patient_to_item():
    image = ItemImage("a.png")
    assert Item("1", "d", "open", patient="p", study="s").cluster == "patient:p"
    assert Item("1", "d", "open", study="s", images=(image,)).cluster == "study:s"
    assert Item("1", "d", "open", images=(image,)).cluster == "image:a.png"
    assert Item("1", "d", "open").cluster == "item:1"
