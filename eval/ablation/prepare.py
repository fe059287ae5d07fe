"""From an experiment to what runs: questions, cells with their systems, controls, and what cannot run and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from eval.ablation.arms import Arms, why_no_arm
from eval.ablation.cache import Need, StageCache
from eval.ablation.designs import MOST_FREQUENT, ORACLE, design_cells, sanity_cells
from eval.ablation.experiment import Experiment
from eval.ablation.factors import Setup, check_factors, load_checked, setup_of
from eval.ablation.identity import asked, judged
from eval.ablation.keys import Keys
from eval.ablation.libraries import Libraries
from eval.ablation.results import Cell
from eval.ablation.scoring import RANKING, check_metrics, needs_answers
from eval.ablation.stages import Stages
from eval.ablation.system import JUDGED_DEPTH, System, open_system, why_impossible
from eval.ablation.work import Work
from eval.datasets import Dataset, QueryItem, load_queries
from eval.gold import kinds_of
from pipelines.config import Settings
from rag.errors import ConfigError, VesaliusError
from rag.fingerprint import digest
from rag.types import KINDS, Kind, Query


@dataclass(frozen=True, slots=True)
class Runnable:
    """A cell with its system; `items` are the questions as this cell sees them (the `query` switch)."""

    cell: Cell
    system: System
    items: tuple[QueryItem, ...]
    arms: Arms


@dataclass(slots=True)
class Prepared:
    """An experiment ready to be planned and run."""

    experiment: Experiment
    dataset: Dataset
    items: tuple[QueryItem, ...]
    kinds: Mapping[str, tuple[Kind, ...]]
    libraries: Libraries
    stages: Stages
    cells: list[Cell] = field(default_factory=list)
    runnable: dict[str, Runnable] = field(default_factory=dict)
    settings: dict[str, Settings] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        """Whether evidence or answers are scored."""
        return needs_answers(self.experiment.metrics)

    @property
    def samples(self) -> int:
        """Questions times repeats times cells that run."""
        return len(self.items) * self.experiment.repeats * sum(cell.impossible is None for cell in self.cells)

    def kinds_for(self, item: QueryItem) -> tuple[Kind, ...]:
        """The passage kinds that a question searches unless a switch says otherwise."""
        return item.kinds or (KINDS if self.answers else self.kinds[item.set_name])

    def needs(self, cell: Cell, place: int, repeat: int) -> Iterator[Need]:
        """Everything that a question in a cell needs, most basic first. Raises what makes the question impossible."""
        runnable = self.runnable[cell.id]
        item, system, keys = runnable.items[place], runnable.system, self.stages.keys
        if cell.arm == MOST_FREQUENT or (cell.arm == ORACLE and not item.gold):
            return
        kinds = system.kinds(self.kinds_for(item))
        if not cell.arm and item.gold and needs_ranking(self.experiment):
            yield from keys.search(system, item.query, kinds, system.searched_depth).every()
            yield keys.guard(system, item, kinds, JUDGED_DEPTH)
        if self.answers:
            posed = runnable.arms.posed(cell.arm, system, place, kinds)
            yield from self._gathering(runnable, posed.searched, kinds)
            generate = keys.generate(system, posed.query, posed.evidence[0], repeat)
            yield from (posed.evidence[0], generate, keys.ground(system, generate))

    def _gathering(self, runnable: Runnable, searched: Query | None, kinds: tuple[Kind, ...]) -> Iterator[Need]:
        if searched is not None:
            for needs in self.stages.keys.gathering(runnable.system, searched, kinds):
                yield from needs.every()


def needs_ranking(experiment: Experiment) -> bool:
    """Whether a metric of the ranking is asked for."""
    return any(name in RANKING for name in experiment.metrics)


def prepare(experiment: Experiment, libraries: Libraries, cache: StageCache) -> Prepared:
    """Check everything, read the questions, and make every cell's system.

    Raises:
        ConfigError: an unknown factor, level or metric; no question; a baseline that cannot run.
        DatasetError: a question file cannot be used.
    """
    check_metrics(experiment.metrics)
    check_factors(experiment)
    cells = [*design_cells(experiment), *(sanity_cells(experiment) if needs_answers(experiment.metrics) else [])]
    dataset, items = read_questions(experiment, libraries)
    made = Prepared(experiment, dataset, items, _kinds_by_set(items), libraries, Stages(Work(cache), Keys()))
    systems: dict[str, System | str] = {}
    for cell in cells:
        made.cells.append(_add(made, cell, systems))
    baseline = made.cells[0]
    if baseline.impossible is not None:
        raise ConfigError(f"the baseline ({baseline.name or 'no factor'}) cannot run: {baseline.impossible}")
    made.stages.depths = _depths(made)
    return made


def read_questions(experiment: Experiment, libraries: Libraries) -> tuple[Dataset, tuple[QueryItem, ...]]:
    """The question files and the rows that are used."""
    if not experiment.questions:
        raise ConfigError(f"the experiment {experiment.name} names no questions; give a file with --set questions=FILE")
    paths = [libraries.question_file(name) for name in experiment.questions]
    dataset = load_queries(paths)
    if experiment.limit is None:
        return dataset, _with_verdicts(dataset.items)
    taken: list[QueryItem] = []
    for path in paths:
        taken += load_queries([path]).items[: experiment.limit]
    return dataset, _with_verdicts(taken)


def _with_verdicts(items: Sequence[QueryItem]) -> tuple[QueryItem, ...]:
    """Yes-or-no questions without options are asked with their verdicts as options, with "maybe" where any is."""
    said = {item.id: (item.answer or "").strip().casefold().rstrip(".") for item in items if not item.query.options}
    verdicts = ("yes", "no", "maybe") if "maybe" in said.values() else ("yes", "no")
    return tuple(
        replace(item, answer=said[item.id], query=replace(item.query, options=verdicts))
        if said.get(item.id) in verdicts
        else item
        for item in items
    )


def data_digest(prepared: Prepared) -> str:
    """Identifies the questions: their words, images, answers and what they call right."""
    return digest({item.id: [asked(item.query), judged(item), item.answer] for item in prepared.items})


def _add(made: Prepared, cell: Cell, systems: dict[str, System | str]) -> Cell:
    """The cell with its system made, or with the reason why there is none."""
    experiment = made.experiment
    setup = setup_of(experiment, cell)
    name = digest({"levels": repr(sorted(cell.levels.items(), key=lambda entry: entry[0]))})
    if name not in systems:
        systems[name] = _system(made, setup)
    system = systems[name]
    if isinstance(system, str):
        return replace(cell, impossible=system)
    items = tuple(_seen(item, setup.switches.query) for item in made.items)
    reason = why_no_arm(cell.arm, items) if cell.arm else None
    if reason is None:
        made.runnable[cell.id] = Runnable(cell, system, items, Arms(made.stages, items, experiment.seed))
        made.settings[cell.id] = system.settings
    return replace(cell, impossible=reason)


def _system(made: Prepared, setup: Setup) -> System | str:
    """A cell's system, or why there is none. What the user's own environment lacks is such a reason, too."""
    experiment, libraries = made.experiment, made.libraries
    base = experiment if experiment.preset else experiment.model_copy(update={"preset": libraries.preset()})
    try:
        settings = load_checked(base, setup, libraries.settings_of())
        system = open_system(libraries, settings, setup)
        return why_impossible(system, setup, answers=made.answers) or system
    except VesaliusError as error:
        if not made.cells:
            raise  # the baseline: without it there is nothing to compare with
        return str(error)


def _seen(item: QueryItem, form: str) -> QueryItem:
    """A question as the `query` switch leaves it; one that would have nothing left stays whole."""
    query = item.query
    if form == "text" and query.text.strip():
        return replace(item, query=replace(query, images=(), prior_images=()))
    if form == "image" and query.images:
        return replace(item, query=replace(query, text=""))
    return item


def _kinds_by_set(items: tuple[QueryItem, ...]) -> dict[str, tuple[Kind, ...]]:
    """The kinds that each set's gold lies in; all for a set without gold."""
    units: dict[str, set[tuple[str, ...]]] = {}
    for item in items:
        units.setdefault(item.set_name, set()).update(item.named)
    return {name: kinds_of(named) or KINDS for name, named in units.items()}


def _depths(made: Prepared) -> dict[str, int]:
    """The greatest depths that any cell needs: computed once, they serve all."""
    systems = [one.system for one in made.runnable.values()]
    ranks = [max(one.searched_depth, one.gathered_depth if made.answers else 0) for one in systems]
    return {"rank": max(ranks, default=0), "lists": max((one.settings.fusion.depth for one in systems), default=0)}
