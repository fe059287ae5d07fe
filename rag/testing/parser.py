"""What every parser must do, as tests.

Inherit, and give the fixtures `parser` and `path` (a good file with several units).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.protocols import Parser
from rag.types import KINDS, Passage, Unit


class ParserContract:
    """Contract of `rag.protocols.Parser`."""

    @pytest.fixture
    def parser(self) -> Parser:
        """The parser under test."""
        raise NotImplementedError

    @pytest.fixture
    def path(self) -> Path:
        """A good file with at least two units."""
        raise NotImplementedError

    def test_it_plays_the_role(self, parser: Parser) -> None:
        assert isinstance(parser, Parser)

    def test_document_describes_the_file(self, parser: Parser, path: Path) -> None:
        document = parser.open(path)
        assert document.path == path
        assert document.name
        assert len(document.sha256) == 64
        units = list(parser.parse(document, ()))
        assert 2 <= len(units) <= document.units < len(units) + 2
        assert all(passage.document == document.name for passage in _passages(units))

    def test_two_parses_are_equal(self, parser: Parser, path: Path) -> None:
        first, second = (list(parser.parse(parser.open(path), ())) for _ in range(2))
        assert first == second

    def test_keys_and_ids_are_unique(self, parser: Parser, path: Path) -> None:
        units = list(parser.parse(parser.open(path), ()))
        keys, ids = [unit.key for unit in units], [passage.id for passage in _passages(units)]
        assert len(keys) == len(set(keys))
        assert len(ids) == len(set(ids))

    def test_done_leaves_out_exactly_those_units(self, parser: Parser, path: Path) -> None:
        document = parser.open(path)
        units = list(parser.parse(document, ()))
        for done in (units[:1], units[1:], units[::2], units):
            keys = {unit.key for unit in done}
            assert list(parser.parse(document, keys)) == [unit for unit in units if unit.key not in keys]

    def test_stopping_early_leaves_a_usable_parser(self, parser: Parser, path: Path) -> None:
        document = parser.open(path)
        first = next(iter(parser.parse(document, ())))
        assert next(iter(parser.parse(document, ()))) == first

    def test_passages_are_valid(self, parser: Parser, path: Path) -> None:
        passages = _passages(list(parser.parse(parser.open(path), ())))
        assert passages
        for passage in passages:
            assert passage.kind in KINDS
            assert passage.text.strip() or passage.images
            assert all(image.is_absolute() and image.is_file() for image in passage.images)
            assert all(isinstance(value, str) and value for value in passage.meta.values())
            if passage.layout is not None:
                assert passage.layout.boxes().shape == (len(passage.text.split()), 4)


def _passages(units: list[Unit]) -> list[Passage]:
    return [passage for unit in units for passage in unit.passages]
