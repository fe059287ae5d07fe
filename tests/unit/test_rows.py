import json

import pytest

from rag.errors import QueryError
from rag.rows import hit_to_row, query_from_row, read_rows
from rag.types import Box, ChannelScore, FactLocator, Hit, PageLocator, Passage


def write(tmp_path, *lines):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def one(tmp_path, **data):
    return query_from_row(next(read_rows(write(tmp_path, json.dumps(data)))), tmp_path)


def test_reads_question_options_and_images_from_folder_or_parent(tmp_path):
    folder = tmp_path / "questions"
    folder.mkdir()
    (tmp_path / "film.png").write_bytes(b"x")
    query = one(folder, id=7, question="What is it?", options={"A": "one", "B": "two"}, image="film.png")
    assert (query.id, query.text, query.options) == ("7", "What is it?", ("one", "two"))
    assert [path.name for path in query.images] == ["film.png"]


def test_byte_order_mark_empty_lines_and_unicode(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes('\ufeff{"text": "οίδημα\u2028 水肿"}\r\n\r\n'.encode())
    rows = list(read_rows(path))
    assert [query_from_row(row, tmp_path).text for row in rows] == ["οίδημα\u2028 水肿"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "line 1 is not JSON"),
        ("[1]", "line 1 is not a JSON object"),
        ('{"id": "a"}', "row a: it has neither"),
        ('{"id": "a", "text": "  "}', "row a: it has neither"),
        ('{"id": "a", "text": "x", "image": "../../secret.png"}', "row a: image"),
        ('{"id": "a", "text": "x", "options": "A"}', 'row a: "options"'),
        ('{"id": "a", "text": [5]}', 'row a: "text"'),
    ],
)
def test_a_bad_row_is_named(tmp_path, line, message):
    row = next(read_rows(write(tmp_path, line)))
    with pytest.raises(QueryError, match=message):
        query_from_row(row, tmp_path)


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(QueryError, match="absent"):
        list(read_rows(tmp_path / "absent.jsonl"))


def test_hit_rows_have_every_field_of_the_interface():
    figure = Passage("p", "figure", "book", "Figure 1. Lung.", PageLocator(3, Box(1, 2, 3.04, 4)))
    row = hit_to_row(Hit(figure, 0.5, {"bm25": ChannelScore(2, 7.0)}), 1)
    assert row == {
        "rank": 1, "score": 0.5, "kind": "figure", "document": "book", "page": 3, "record": None, "fact": None,
        "passage_id": "p", "box": [1, 2, 3.0, 4], "text": "Figure 1. Lung.",
        "channels": {"bm25": {"rank": 2, "score": 7.0}},
    }  # fmt: skip
    fact = Passage("f", "fact", "facts", "a is a b.", FactLocator("a", "is_a", "b"))
    assert hit_to_row(Hit(fact, 1.0), 1)["fact"] == ["a", "is_a", "b"]
