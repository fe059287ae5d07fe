"""How documents are shared out to parsers: every missing page is read by exactly one of them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexers.pipeline.render import SPLIT_PAGES, plan_parts, read_units
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.work import Source
from indexers.sources.pdf import unit_key
from rag.types import Document, Unit


class Keys:
    """Yields units without passages; the last one has a key of its own kind."""

    def open(self, path):
        raise NotImplementedError

    def parse(self, document, done):
        for key in [*(unit_key(document.sha256, page) for page in range(1, document.units + 1)), "extra"]:
            if key not in done:
                yield Unit(key, ())


def source(number, units, fresh=Keys):
    name = f"book{number}"
    return Source(Document(name, Path(f"{name}.pdf"), f"{number:064x}", "pages", units), Keys(), fresh)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=5), st.integers(1, 8), st.sets(st.integers(1, 300), max_size=80)
)
def test_every_missing_unit_is_read_exactly_once(sizes, workers, known):
    sources = [source(number, units) for number, units in enumerate(sizes)]
    done = {each.document.sha256: {unit_key(each.document.sha256, page) for page in known} for each in sources}
    parts = plan_parts(sources, done, None, workers)
    for each in sources:
        sha256 = each.document.sha256
        read = [unit.key for part in parts if part.source is each for unit in read_units(part, BuildClock())]
        wanted = {unit_key(sha256, page) for page in range(1, each.document.units + 1)} - done[sha256]
        assert sorted(read) == sorted({*wanted, "extra"})


def test_a_large_book_is_split_among_the_workers_and_small_ones_are_not():
    sources = [source(0, 20), source(1, 400), source(2, 30)]
    done = {each.document.sha256: set() for each in sources}
    parts = plan_parts(sources, done, None, 4)
    assert [part.source.document.name for part in parts] == ["book1"] * 4 + ["book2", "book0"]
    parsers = [part.parser() for part in parts[:4]]
    assert len({id(parser) for parser in parsers}) == 4


@pytest.mark.parametrize(("workers", "limit", "fresh"), [(1, None, Keys), (4, 10, Keys), (4, None, None)])
def test_nothing_is_split_for_one_worker_with_a_limit_or_without_more_parsers(workers, limit, fresh):
    each = source(0, SPLIT_PAGES * 8, fresh)
    [part] = plan_parts([each], {each.document.sha256: set()}, limit, workers)
    assert part.parser() is each.parser
    assert len(list(read_units(part, BuildClock()))) == (limit or SPLIT_PAGES * 8 + 1)
