"""The encode step on many machines: Ray Data actors, one per GPU, parse and encode; this process writes and marks.

    tasks (some pages of a book, or a file) ─► actors: parse, encode ─► this process: upsert, then mark in the journal

Only this process touches the store and the journal, so a stop at any moment means what it means on one machine: what is
marked is done, and the rest is encoded again. Ray runs the task of an actor that died once more. Every machine must see
the source files and the library's folder under the same paths; the page images are written there.
"""

from __future__ import annotations

import logging
import pickle
from collections import Counter, deque
from collections.abc import Collection, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from indexers.journal import Journal
from indexers.pipeline.render import Part, read_units
from indexers.pipeline.statistics import BuildClock
from indexers.pipeline.step import EncodeStep
from indexers.pipeline.work import Encoded, Source, Work
from indexers.pipeline.write import Writer
from indexers.progress import ProgressMeter
from indexers.sources.pdf import unit_key
from rag.errors import EnvironmentProblem, MissingExtra, VesaliusError
from rag.protocols import Parser, Store
from rag.retrievers import Channel
from rag.types import Document, SourceKind


class WorkerParts(Protocol):
    """Makes on another machine what encoding needs. Must survive pickling."""

    def channels(self) -> tuple[Channel, ...]:
        """Every channel with its encoder, on the devices that the machine gives this process."""
        ...

    def parser(self, path: Path, source: SourceKind) -> Parser:
        """The parser that reads this file."""
        ...


@dataclass(frozen=True, slots=True)
class RayOptions:
    """How wide a build on Ray is.

    address: "local" starts Ray on this machine; "auto" or "ray://HOST:10001" joins a cluster. actors: how many encode
    at once; 0: one per GPU of the cluster, two without any. cpus: cores reserved for each. units: pages (or groups of
    cases or facts) in one task: what is done again when an actor dies. writers: batches written at once; more than one
    only helps with a server.
    """

    address: str = "local"
    actors: int = 0
    cpus: float = 1.0
    units: int = 32
    writers: int = 1


_DEFAULT = RayOptions()


@dataclass(frozen=True, slots=True)
class Task:
    """Some units of one document, to be encoded by one actor. `done` holds the keys of the units to leave out."""

    document: Document
    number: int
    done: Container[str]
    limit: int | None


@dataclass(frozen=True, slots=True)
class AllBut:
    """Every key except some: what a task leaves out when it is told what to read."""

    keys: frozenset[str]

    def __contains__(self, key: object) -> bool:
        return key not in self.keys


def plan_tasks(document: Document, done: Collection[str], limit: int | None, units: int) -> list[Task]:
    """The tasks of one document: ranges of missing pages, or the whole file when its units have no numbers."""
    if document.source != "pages":
        return [Task(document, 0, done, None if limit is None else max(limit - len(done), 0))]
    keys = [unit_key(document.sha256, page) for page in range(1, document.units + 1)]
    missing = [key for key in keys if key not in done][: None if limit is None else max(limit - len(done), 0)]
    return [
        Task(document, number, AllBut(frozenset(missing[start : start + units])), None)
        for number, start in enumerate(range(0, len(missing), units))
    ]


class EncodeActor:
    """Encodes tasks in a process of its own. Ray makes one per GPU and keeps it, with its models, for a whole build."""

    def __init__(self, parts: WorkerParts, units: int) -> None:
        self._parts, self._units = parts, units
        self._step = EncodeStep(parts.channels())

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
        """Rows of encoded units for each task of the batch; the row with `last` closes a task."""
        for number, packed in zip(batch["number"], batch["task"], strict=True):
            for encoded in self._encode(pickle.loads(packed)):  # made by this build's own process
                yield {"number": [int(number)], "last": [False], "encoded": [pickle.dumps(encoded)]}
            yield {"number": [int(number)], "last": [True], "encoded": [pickle.dumps([])]}

    def _encode(self, task: Task) -> Iterator[list[Encoded]]:
        parser = self._parts.parser(task.document.path, task.document.source)
        units = read_units(Part(Source(task.document, parser), task.number, task.done, task.limit), BuildClock())
        works = (Work(task.document, unit) for unit in units)
        while group := list(islice(works, self._units)):
            yield self._step(group)


class RayBuilder:
    """Indexes sources into one library, encoding on Ray; used like `indexers.build.Builder`."""

    def __init__(
        self, store: Store, journal: Journal, parts: WorkerParts, meter: ProgressMeter, options: RayOptions = _DEFAULT
    ) -> None:
        self._journal, self._parts, self._meter, self._options = journal, parts, meter, options
        self.clock = BuildClock()
        self._writer = Writer(store, journal, clock=self.clock)

    def run(self, sources: Sequence[Source], limit: int | None = None) -> None:
        """Index every unit that the journal does not know, or each source's first `limit` units.

        Raises:
            StoreError: the store refused a batch several times.
            EnvironmentProblem: Ray cannot be reached, or an actor failed for good; what is written is kept.
        """
        done = {source.document.sha256: self._journal.done(source.document) for source in sources}
        tasks = [
            task
            for source in sources
            if not self._journal.is_complete(source.document)
            for task in plan_tasks(source.document, done[source.document.sha256], limit, self._options.units)
        ]
        open_tasks = Counter(task.document for task in tasks)
        total = sum(min(source.document.units, limit or source.document.units) for source in sources)
        known = sum(map(len, done.values()))
        with _Writes(self._writer, self._options.writers) as writes:
            for number, last, encoded in self._encoded(tasks):
                writes.add(encoded)
                self.clock.add("units", len(encoded))
                self.clock.add("skipped", sum(len(each.unit.skipped) for each in encoded))
                document = tasks[number].document
                open_tasks[document] -= last
                if last and not open_tasks[document] and limit is None:
                    writes.drain()
                    self._writer.complete(document)
                self._meter.update(
                    "index", done=known + self.clock.units, fresh=self.clock.units, total=total,
                    failures=self.clock.skipped,
                )  # fmt: skip
        if limit is None:
            for source in sources:
                if source.document not in open_tasks:
                    self._writer.complete(source.document)

    def _encoded(self, tasks: Sequence[Task]) -> Iterator[tuple[int, bool, list[Encoded]]]:
        """What the actors send back: the task's number, whether it is the task's last row, and encoded units."""
        if not tasks:
            return
        ray, gpus = _connected(self._options.address)
        actors = self._options.actors or int(gpus) or 2
        rows = [{"number": number, "task": pickle.dumps(task)} for number, task in enumerate(tasks)]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            EncodeActor,
            fn_constructor_args=(self._parts, self._options.units),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(actors, len(tasks))),
            num_cpus=self._options.cpus,
            num_gpus=1 if gpus else 0,
        )
        try:
            for row in dataset.iter_rows():
                yield row["number"], bool(row["last"]), pickle.loads(row["encoded"])
        except VesaliusError:
            raise
        except Exception as error:  # Ray wraps what an actor raised in types of its own
            cause = getattr(error, "cause", None) or error.__cause__ or error
            raise EnvironmentProblem(
                f"encoding on Ray failed: {str(cause).strip()[-400:]}; "
                "what was written is kept, run the same command again"
            ) from error


class _Writes:
    """Writes in background threads, in order of arrival; at most two batches per thread wait."""

    def __init__(self, writer: Writer, threads: int) -> None:
        self._writer, self._threads = writer, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="write")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> _Writes:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            if not any(exception):
                self.drain()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=any(exception))

    def add(self, encoded: list[Encoded]) -> None:
        """Queue a batch. Raises what an earlier write raised."""
        if encoded:
            while len(self._waiting) >= 2 * self._threads:
                self._waiting.popleft().result()
            self._waiting.append(self._pool.submit(self._writer.write, encoded))

    def drain(self) -> None:
        """Wait until everything is written and marked."""
        while self._waiting:
            self._waiting.popleft().result()


def _connected(address: str) -> tuple[Any, float]:
    """Ray, started or joined, and the number of GPUs it has."""
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtra("ray", feature="--engine ray") from error
    if not ray.is_initialized():
        where = {} if address == "local" else {"address": address}
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR", **where)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise EnvironmentProblem(
                f"no Ray cluster at {address}: {error}; check ray.address, or use local"
            ) from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    return ray, float(ray.cluster_resources().get("GPU", 0.0))
