"""Batches of pages of similar size: nothing lost, little padding, memory respected."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulated import SimulatedEncoder
from indexers.devices import Prepared
from indexers.pipeline.batches import MOST_ITEMS, MOST_PADDING, RECOVERY, UNKNOWN_ITEMS, Budget, Limit, Waiting, choose
from indexers.pipeline.encode import Assembly, ChannelGroups, Item
from indexers.pipeline.work import Work
from rag.types import Document, PageLocator, Passage, Unit

BOOK = Document("book", Path("book.pdf"), "a" * 64, "pages", 1)
ENCODER = SimulatedEncoder()
GROUPS = ChannelGroups.of([ENCODER.channel()])
ASSEMBLY = Assembly(Work(BOOK, Unit("u", (Passage("p", "page", "book", "x", PageLocator(1)),))), GROUPS)

SIZES = st.lists(st.integers(1, 1500), min_size=1, max_size=80)
LIMITS = st.builds(Limit, st.integers(1, 20), st.integers(1, 20_000))


def item(patches, name="p"):
    return Item(ASSEMBLY, 0, ENCODER, Prepared(name, patches, None))


def padding(sizes):
    return 1 - sum(sizes) / (len(sizes) * max(sizes))


@given(SIZES, st.data(), LIMITS)
def test_a_batch_holds_its_anchor_and_keeps_to_padding_and_memory(sizes, data, limit):
    sizes = sorted(sizes)
    anchor = data.draw(st.integers(0, len(sizes) - 1))
    chosen = choose(sizes, anchor, limit)
    batch = [sizes[index] for index in chosen]
    assert anchor in chosen
    assert padding(batch) <= MOST_PADDING + 1e-9
    assert len(batch) == 1 or (len(batch) <= limit.items and len(batch) * max(batch) <= limit.patches)


@given(SIZES, LIMITS)
def test_every_item_leaves_exactly_once_and_full_batches_cannot_grow(sizes, limit):
    waiting = Waiting([item(size, f"p{number}") for number, size in enumerate(sizes)])
    seen = []
    while batch := waiting.take(limit, full=True):
        longest = max(each.patches for each in batch)
        assert not limit.allows(len(batch) + 1, longest)
        seen += batch
    while batch := waiting.take(limit):
        seen += batch
    assert len(waiting) == 0
    assert sorted(each.prepared.passage_id for each in seen) == sorted(f"p{number}" for number in range(len(sizes)))


def test_the_oldest_item_is_in_the_next_smaller_batch():
    waiting = Waiting()
    for now, size in enumerate([700, 100, 702, 101, 699]):
        waiting.add(item(size), float(now))
    assert waiting.oldest == 0.0
    assert sorted(each.patches for each in waiting.take(Limit(8, 10_000))) == [699, 700, 702]
    assert waiting.oldest == 1.0


def test_a_page_larger_than_memory_is_still_tried_alone():
    waiting = Waiting([item(5000)])
    assert [each.patches for each in waiting.take(Limit(4, 100))] == [5000]


def test_the_first_batch_comes_from_free_memory():
    assert Budget(SimulatedEncoder(free=10_000), "simulated:0").limit == Limit(MOST_ITEMS, 8000)
    assert Budget(SimulatedEncoder(free=None), "simulated:0").limit.items == UNKNOWN_ITEMS


def test_a_budget_halves_and_recovers_to_where_it_began():
    budget = Budget(SimulatedEncoder(free=20_000), "simulated:0")
    whole = budget.limit
    budget.too_much([item(1000)] * 16)
    assert budget.limit == Limit(8, 8000)
    budget.too_much([item(1000)] * 3)
    assert budget.limit == Limit(1, 1000)
    for _ in range(RECOVERY * 5):
        budget.fitted()
    assert budget.limit == whole
