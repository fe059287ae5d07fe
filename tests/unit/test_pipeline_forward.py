"""A device that runs out of memory or is lost: every item is delivered, skipped with a reason, or handed on."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulated import SimulatedEncoder
from indexers.devices import DeviceLost, OutOfDeviceMemory
from indexers.encoders.hashing import HashEncoder
from indexers.pipeline.batches import Waiting
from indexers.pipeline.encode import Assembly, ChannelGroups, parts_to_prepare, prepare
from indexers.pipeline.forward import MOST_UNFIT, DeviceRun
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.step import EncodeStep
from indexers.pipeline.work import Work
from rag.errors import EnvironmentProblem, SourceError
from rag.fingerprint import passage_id
from rag.retrievers import Channel
from rag.types import Document, PageLocator, Passage, Unit

BOOK = Document("book", Path("book.pdf"), "a" * 64, "pages", 1)


def page(number, patches=700):
    meta = {"patches": str(patches)} if patches else {}
    name = passage_id("a" * 64, "page", f"p{number}")
    return Passage(name, "page", "book", f"alveoli {number}", PageLocator(number), meta=meta)


def works(sizes):
    return [Work(BOOK, Unit(f"u{number}", (page(number, size),))) for number, size in enumerate(sizes)]


class Bench:
    """Some pages, prepared, and a device run that notes what it finished."""

    def __init__(self, encoder, sizes):
        groups = ChannelGroups.of([encoder.channel()])
        self.assemblies = [Assembly(work, groups) for work in works(sizes)]
        self.items = [prepare(each, *part) for each in self.assemblies for part in parts_to_prepare(each)]
        self.finished = []
        self.clock = BuildClock()
        self.pauses = []
        self.run = DeviceRun("simulated:0", self.clock, self.finished.append, self.pauses.append)

    def whole(self):
        waiting, left = Waiting(self.items), []
        while not self.run.lost and (batch := waiting.take(self.run.limit(batch_encoder(self.items)))):
            left += self.run.run(batch)
        if not self.run.lost:
            self.run.settle()
        return left, waiting


def batch_encoder(items):
    return items[0].encoder


@given(st.lists(st.integers(1, 900), min_size=1, max_size=40), st.lists(st.booleans(), max_size=60))
def test_any_interleaving_of_shortages_finishes_every_item_exactly_once(sizes, shortages):
    script = iter(shortages)

    def before(device, batch):
        if next(script, False):
            raise OutOfDeviceMemory

    bench = Bench(SimulatedEncoder(before=before), sizes)
    left, waiting = bench.whole()
    ends = Counter(id(item) for item in [*bench.finished, *left])
    rest = len(waiting)
    assert set(ends.values()) <= {1}
    assert len(ends) + rest == len(sizes)
    assert bench.run.lost or not (left or rest)
    for assembly in bench.assemblies:
        encoded = assembly.encoded()
        assert len(encoded.points) + len(encoded.unit.skipped) == 1
    assert bench.clock.halved == sum(shortages[: bench.clock.halved + bench.clock.batches])


def test_a_page_that_never_fits_is_skipped_and_says_why():
    def before(device, batch):
        if any(item.patches > 800 for item in batch):
            raise OutOfDeviceMemory

    bench = Bench(SimulatedEncoder(before=before), [700, 900, 700, 710])
    bench.whole()
    outcomes = [assembly.encoded() for assembly in bench.assemblies]
    assert [len(each.points) for each in outcomes] == [1, 0, 1, 1]
    [skipped] = outcomes[1].unit.skipped
    assert (skipped.locator, skipped.stage) == ("page 1", "encode")
    assert "900 patches" in skipped.reason
    assert "simulated:0" in skipped.reason
    assert bench.pauses == [2.0]


def test_a_device_without_memory_for_any_page_is_given_up_and_its_pages_handed_on():
    def before(device, batch):
        raise OutOfDeviceMemory

    bench = Bench(SimulatedEncoder(before=before), [700] * 20)
    left, waiting = bench.whole()
    assert "no memory left" in bench.run.lost
    assert len(left) + len(waiting) == 20
    assert len(left) >= MOST_UNFIT
    assert bench.finished == []


def test_a_lost_device_hands_on_what_it_did_not_do():
    calls = []

    def before(device, batch):
        calls.append(len(batch))
        if len(calls) == 2:
            raise DeviceLost("fell off the bus")

    bench = Bench(SimulatedEncoder(before=before), [700] * 20)
    left, waiting = bench.whole()
    assert bench.run.lost == "fell off the bus"
    assert len(bench.finished) + len(left) + len(waiting) == 20
    assert len(left) == 8


class Odd(SimulatedEncoder):
    """Gives one page numbers that are not finite, one no rows, and refuses one."""

    def forward(self, device, batch):
        names = {page(2).id: "nan", page(4).id: "empty", page(5).id: "refused"}
        if any(names.get(item.passage_id) == "refused" for item in batch):
            raise SourceError("the server refused the image", stage="encode")
        return [
            self._odd(names.get(item.passage_id), vectors)
            for item, vectors in zip(batch, super().forward(device, batch), strict=True)
        ]

    def _odd(self, what, vectors):
        if what == "nan":
            return {name: np.where(rows == rows[0, 0], np.nan, rows) for name, rows in vectors.items()}
        return {name: rows[:0] for name, rows in vectors.items()} if what == "empty" else vectors


def test_what_a_model_cannot_encode_is_skipped_alone():
    encoded = EncodeStep([Odd().channel()])(works([700] * 8))
    reasons = {number: each.unit.skipped[0].reason for number, each in enumerate(encoded) if each.unit.skipped}
    assert reasons.keys() == {2, 4, 5}
    assert "not finite" in reasons[2]
    assert "no visual vector" in reasons[4]
    assert "refused" in reasons[5]


def test_units_come_out_in_order_with_the_vectors_of_every_channel():
    visual, words = SimulatedEncoder(), HashEncoder("dense", 16)
    channels = [visual.channel(), Channel("page", words.spec, words)]
    encoded = EncodeStep(channels, threads=3)(works([700, 20, 0, 650]))
    assert [each.unit.key for each in encoded] == ["u0", "u1", "u2", "u3"]
    assert [sorted(each.points[0].vectors) for each in encoded] == [
        ["dense", "visual", "visual-coarse"], ["dense", "visual", "visual-coarse"], ["dense"],
        ["dense", "visual", "visual-coarse"],
    ]  # fmt: skip
    assert [len(each.points[0].vectors.get("visual", ())) for each in encoded] == [700, 20, 0, 650]
    assert len(encoded[1].points[0].vectors["visual-coarse"]) == 14


def test_the_step_says_so_when_its_device_is_lost_and_can_be_called_again():
    script = iter([True])

    def before(device, batch):
        if next(script, False):
            raise DeviceLost("driver reset")

    step = EncodeStep([SimulatedEncoder(before=before).channel()])
    with pytest.raises(EnvironmentProblem, match=r"simulated:0 was lost \(driver reset\)"):
        step(works([700] * 3))
    assert [len(each.points) for each in step(works([700] * 3))] == [1, 1, 1]
    assert step.clock.items == 3
