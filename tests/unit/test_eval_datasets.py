"""Query files: what is accepted, and that every bad row is named."""

import json

import pytest

from eval.datasets import DatasetError, load_queries, parse_kinds
from rag.errors import UsageError

PAGE = {"source": "page", "book": "anatomy", "page": 3}


@pytest.fixture
def write(tmp_path):
    def write_rows(*rows, name="queries/review.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
        return path

    return write_rows


def problems(*paths):
    with pytest.raises(DatasetError) as caught:
        load_queries(paths)
    return caught.value.problems


def test_a_text_row(write):
    path = write(
        {"id": 7, "text": "Où est l’œil?", "gold": [PAGE], "gold_strict": [PAGE], "set": "eyes", "in": "pages,figures"}
    )
    (item,) = load_queries([path]).items
    assert (item.id, item.query.text, item.set_name) == ("7", "Où est l’œil?", "eyes")
    assert item.gold == item.gold_strict == {("page", "anatomy", "3")}
    assert item.kinds == ("page", "figure")


def test_the_set_is_the_file_stem_when_the_row_names_none(write):
    assert load_queries([write({"id": "1", "text": "x"})]).items[0].set_name == "review"


def test_images_lie_in_the_files_folder_or_its_parent(write, tmp_path):
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries/near.png").write_bytes(b"1")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/far.png").write_bytes(b"2")
    path = write(
        {"id": "1", "image": "near.png", "prior_image": "images/far.png", "gold": [PAGE]},
        {"id": "2", "image": ["images/far.png", "near.png"], "gold": [PAGE]},
    )
    first, second = load_queries([path]).items
    assert (first.query.images[0].name, first.query.prior_images[0].name) == ("near.png", "far.png")
    assert [image.name for image in second.query.images] == ["far.png", "near.png"]


def test_a_collection_limits_the_search_and_completes_the_gold(write):
    row = {"id": "1", "text": "x", "collection": "fundus", "patient_id": 12}
    row["gold"] = [{"source": "report", "id": "r1"}]
    row["gold_relaxed"] = [{"source": "report", "collection": "other", "id": "r2"}]
    path = write(row)
    (item,) = load_queries([path]).items
    assert item.query.filters == {"document": ("fundus",)}
    assert item.gold == {("case", "fundus", "r1")}
    assert item.gold_relaxed == {("case", "other", "r2")}
    assert (item.query.patient, item.cluster) == ("12", "patient:12")


def test_options_are_letters_in_the_given_order(write):
    path = write(
        {"id": "1", "question": "Which?", "options": ["one", "two", "three"], "answer": "B"},
        {"id": "2", "question": "Which?", "options": {"A": "one", "C": "two"}, "answer": "C"},
    )
    first, second = load_queries([path]).items
    assert (first.letters, first.query.options, first.answer) == (("A", "B", "C"), ("one", "two", "three"), "B")
    assert (second.letters, second.query.options) == (("A", "C"), ("one", "two"))


def test_rows_without_gold_are_counted_not_refused(write):
    dataset = load_queries(
        [
            write(
                {"id": "1", "text": "x"}, {"id": "2", "text": "x", "gold": []}, {"id": "3", "text": "x", "gold": [PAGE]}
            )
        ]
    )
    assert (len(dataset.items), dataset.unjudged) == (3, 2)
    assert all(len(digest) == 64 for digest in dataset.files.values())


def test_every_bad_row_is_named_with_its_line_in_one_message(write):
    path = write(
        {"id": "1", "text": "fine"},
        '{"id": "2", "text": ',
        "",
        "[1, 2]",
        {"id": "3", "text": "  "},
        {"id": "1", "text": "again"},
        {"text": "no id"},
        {"id": "5", "image": "gone.png"},
        {"id": "6", "text": "x", "gold": [{"source": "page", "book": "b", "page": 0}]},
        {"id": "7", "text": "x", "gold": {"source": "page"}},
        {"id": "8", "text": "x", "in": "pages,moons"},
        {"id": "9", "text": ["x"]},
        {"id": "10", "text": "x", "options": "A or B"},
    )
    found = problems(path)
    assert [problem.split(":")[1] for problem in found] == ["2", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13"]
    wanted = [
        "not JSON",
        "list",
        "empty",
        "review.jsonl:1",
        '"id"',
        "gone.png",
        "known forms",
        "not a list",
        "moons",
        "text",
        "options",
    ]
    assert all(word in problem for word, problem in zip(wanted, found, strict=True))


def test_the_message_is_a_usage_error_and_stays_short(write):
    with pytest.raises(UsageError) as caught:
        load_queries([write(*(f"row {number}" for number in range(50)))])
    assert "50 problems" in str(caught.value)
    assert "and 30 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 22


def test_an_id_may_not_stand_in_two_files(write):
    (problem,) = problems(
        write({"id": "a", "text": "x"}), write({"id": "a", "text": "y"}, name="queries/glossary.jsonl")
    )
    assert "glossary.jsonl:1" in problem
    assert "review.jsonl:1" in problem


def test_files_that_are_missing_empty_or_not_text(write, tmp_path):
    assert "cannot be read" in problems(tmp_path / "none.jsonl")[0]
    assert problems(write("", "")) == ("no row at all",)
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": "1", "text": "caf\xe9"}')
    assert "not UTF-8" in problems(tmp_path / "latin.jsonl")[0]


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path):
    path = tmp_path / "win.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "1", "text": "a\xe2\x80\xa8b"}\r\n{"id": "2", "text": "c"}\r\n')
    assert [item.query.text for item in load_queries([path]).items] == ["a\u2028b", "c"]


@pytest.mark.parametrize(
    ("value", "kinds"), [(None, ()), ("cases", ("case",)), (["facts", "page", "facts"], ("fact", "page"))]
)
def test_kinds_are_read_from_text_or_list(value, kinds):
    assert parse_kinds(value) == kinds


def test_kinds_of_another_type_are_refused():
    with pytest.raises(ValueError, match="pages,figures"):
        parse_kinds(3)
