"""A dry run of a build. Reads the sources and the library, measures on a few units, writes nothing into the library."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from indexers.build import Source
from indexers.devices import runs_on_devices
from indexers.manifest import FILE, Difference, Manifest, read_manifest
from pipelines import compose
from pipelines.config import Settings
from pipelines.costs import ChannelCost, CostMeter, SourceCost
from pipelines.ingest import Sources, find_sources
from pipelines.library import opened_journal
from pipelines.limits import VISUAL, expected_page_rows, require_fitting, require_rows
from pipelines.measures import BuildRate, read_rates, recent_rate
from pipelines.plan import BuildPlan, Disk, DocumentPlan, Rebuild, SourceRate, State
from rag.errors import MissingModel
from rag.retrievers import Channel
from rag.types import Kind, SourceKind

DISK_MARGIN = 1.5
"""Free space asked for, as a multiple of the estimate: the engine writes a log first and merges segments into new ones
before it deletes the old."""
ASSUMED: Mapping[SourceKind, SourceCost] = {
    "pages": SourceCost("pages", payload_bytes=222_000, image_bytes=202_000, host_s=0.65),
    "cases": SourceCost("cases", payload_bytes=800_000, host_s=8.0),
    "facts": SourceCost("facts", payload_bytes=600_000, host_s=1.0),
}
"""When nothing was measured: the embedded preset on two cores. Pages and facts as docs/index-a-library.md gives them;
a unit of cases taken as 16 images of six views at 0.08 s a view."""
ASSUMED_ORIGIN = "assumed: the embedded preset on two cores"
DEVICE_PAGE_S = 0.055
"""Assumed for a page on a device that was not measured: a model of 3B parameters on an H100, from its arithmetic."""
DEVICE_ORIGIN = f"assumed: {DEVICE_PAGE_S} s of an H100 per page for a model of 3B parameters, not measured"
ASSUMED_PAGE_ROWS, ASSUMED_COARSE_ROWS = 1030, 32
"""Rows of a page as ColPali gives them, and of its pooled first stage, for a model that cannot be read here."""
_KINDS: Mapping[SourceKind, tuple[Kind, ...]] = {"pages": ("page", "figure"), "cases": ("case",), "facts": ("fact",)}


@dataclass(frozen=True, slots=True)
class _Job:
    """The library, the settings and the sources that a plan is about."""

    folder: Path
    settings: Settings
    parts: compose.Parts
    sources: Sequence[Source]
    scratch: Path
    warnings: list[str]

    def of(self, source: SourceKind) -> list[Source]:
        return [item for item in self.sources if item.document.source == source]


@dataclass(frozen=True, slots=True)
class _Estimate:
    """The cost of a unit, and where it comes from."""

    cost: SourceCost
    origin: str


def plan_library(folder: Path, wanted: Sources, settings: Settings, *, measure: bool = True) -> BuildPlan:
    """Plan a build of these sources into a library folder.

    With `measure` a few units are read and encoded in a temporary folder, which loads the models; without it, or
    where models are missing, earlier builds of the library and stated assumptions stand in.

    Raises:
        ConfigError: a page would give more rows than the engine holds; it names the pooling that would fit.
        MissingModel: the library exists and its models are not there to compare it with.
    """
    with TemporaryDirectory(prefix="vesalius-plan-") as scratch:
        # The parsers write page images: into the temporary folder, not into the library.
        found, skipped = find_sources(wanted, compose.Parsers(settings, Path(scratch), salt_of=folder))
        job = _Job(folder, settings, compose.Parts(settings, folder), found, Path(scratch), [])
        rebuild = _rebuild(job)
        known = _known(folder)
        rows = tuple(_document_rows(job, known))
        channels = _channels(job)
        units = _units_to_do(rows, rebuild)
        costs = {source: _estimate(job, channels, source, measure=measure) for source in units}
        devices = tuple(dict.fromkeys(name for channel in channels for name in _devices(channel)))
        builds = [] if rebuild else read_rates(folder)
        parts = _bytes(costs, units)
        return BuildPlan(
            library=folder,
            documents=rows,
            skipped=tuple(skipped),
            rebuild=rebuild,
            absent=tuple(sorted({str(row["name"]) for row in known} - {row.document for row in rows})),
            bytes_by_part=parts,
            rates={source: _rate(source, builds, costs[source], len(devices)) for source in units},
            devices=devices,
            disk=_disk(job, parts),
            warnings=tuple(job.warnings),
        )


def _rebuild(job: _Job) -> Rebuild | None:
    if not (job.folder / FILE).exists():
        return None
    stored, wanted = read_manifest(job.folder), job.parts.manifest()
    reasons = tuple(stored.differences(wanted))
    return Rebuild(reasons, tuple(_causes(stored, wanted))) if reasons else None


def _causes(stored: Manifest, wanted: Manifest) -> list[Difference]:
    """Changed settings, without those that an older library did not note."""
    return [pair for pair in stored.changed_settings(wanted) if "absent" not in (pair.stored, pair.wanted)]


def _known(folder: Path) -> list[dict[str, object]]:
    if not (folder / FILE).exists() or not (folder / "journal.sqlite").exists():
        return []
    with opened_journal(folder) as journal:
        return journal.documents()


def _document_rows(job: _Job, known: Sequence[Mapping[str, object]]) -> Iterator[DocumentPlan]:
    rows = {(row["name"], row["source"]): row for row in known}
    for document in (source.document for source in job.sources):
        row = rows.get((document.name, document.source))
        done, state, why = 0, "new", ""
        if row is not None and row["sha256"] != document.sha256:
            state = "changed"
            why = f"content differs: sha256 {str(row['sha256'])[:12]} when built, {document.sha256[:12]} now"
        elif row is not None:
            done = int(str(row["units_done"]))
            state = "complete" if done >= document.units else "partial"
        named: State = state  # type: ignore[assignment]
        yield DocumentPlan(document.name, document.source, document.units, done, named, why)


def _units_to_do(rows: Sequence[DocumentPlan], rebuild: Rebuild | None) -> dict[SourceKind, int]:
    """Units to do of each source kind that has any."""
    units: dict[SourceKind, int] = {}
    for row in rows:
        todo = row.units if rebuild else max(row.units - row.done, 0)
        if todo:
            units[row.source] = units.get(row.source, 0) + todo
    return units


def _channels(job: _Job) -> Sequence[Channel]:
    """The channels, checked against the engine's limit; none when models are missing."""
    try:
        channels = job.parts.channels()
    except MissingModel as error:
        job.warnings.append(f"nothing was measured: {error}")
        return ()
    require_fitting(job.settings, channels)
    return channels


def _devices(channel: Channel) -> tuple[str, ...]:
    return channel.encoder.devices if runs_on_devices(channel.encoder) else ()


def _estimate(job: _Job, channels: Sequence[Channel], source: SourceKind, *, measure: bool) -> _Estimate:
    kinds = (*_KINDS[source], *(("fact",) if source == "pages" and job.settings.pages.glossary else ()))
    own = [channel for channel in channels if channel.kind in kinds]
    cost = CostMeter(own, job.scratch).measure(job.of(source), source) if own and measure else None
    if cost is not None:
        _require_rows(job, own, cost)
        return _Estimate(cost, f"measured now on {cost.units} of its units")
    return _assumed(job, own, source)


def _require_rows(job: _Job, channels: Sequence[Channel], cost: SourceCost) -> None:
    """Refuse what a device encoder was seen to give, when it made no forecast."""
    rows = {(item.kind, item.spec.name): item.rows for item in cost.channels}
    for channel in channels:
        if channel.kind == "page" and runs_on_devices(channel.encoder):
            require_rows(channel, ceil(rows.get((channel.kind, channel.name), 0)), job.settings.visual.pool_factor)


def _assumed(job: _Job, channels: Sequence[Channel], source: SourceKind) -> _Estimate:
    """The embedded preset's figures, and those of a page encoder that was not run."""
    cost = ASSUMED[source]
    visual = next((channel for channel in channels if channel.kind == "page" and channel.name == VISUAL), None)
    if visual is None:
        return _Estimate(cost, ASSUMED_ORIGIN)
    if all(device.startswith("cpu") for device in _devices(visual)):
        job.warnings.append("page images will be encoded on the CPU, which takes far longer than assumed here: measure")
    rows = [expected_page_rows(job.settings) or ASSUMED_PAGE_ROWS, ASSUMED_COARSE_ROWS]
    found = tuple(ChannelCost("page", spec, count) for spec, count in zip(visual.specs, rows, strict=False))
    return _Estimate(replace(cost, channels=found, device_s=DEVICE_PAGE_S), DEVICE_ORIGIN)


def _rate(source: SourceKind, builds: Sequence[BuildRate], estimate: _Estimate, devices: int) -> SourceRate:
    recorded = recent_rate(builds, source)
    if recorded is None:
        return SourceRate(estimate.cost.wall_s(devices), estimate.cost.device_s, estimate.origin)
    # Devices were busy for no longer than the build took.
    device_s = min(estimate.cost.device_s, recorded.seconds_per_unit(source) * devices)
    return SourceRate(recorded.seconds_per_unit(source), device_s, f"this library's build of {recorded.ended}")


def _bytes(costs: Mapping[SourceKind, _Estimate], units: Mapping[SourceKind, int]) -> dict[str, int]:
    """Bytes of each channel's vectors, of payload and of images."""
    found: dict[str, float] = {}
    for source, estimate in costs.items():
        for channel in estimate.cost.channels:
            found[channel.name] = found.get(channel.name, 0) + units[source] * channel.unit_bytes
    found["payload"] = sum(units[source] * estimate.cost.payload_bytes for source, estimate in costs.items())
    found["images"] = sum(units[source] * estimate.cost.image_bytes for source, estimate in costs.items())
    return {name: round(size) for name, size in found.items()}


def _disk(job: _Job, parts: Mapping[str, int]) -> Disk:
    """Free space where the library stands against what it needs there: on a server, only images are local."""
    local = parts["images"] if job.settings.store.kind != "embedded" else sum(parts.values())
    place = job.folder.absolute()
    while not place.exists():
        place = place.parent
    free, need = shutil.disk_usage(place).free, round(DISK_MARGIN * local)
    if free < need:
        job.warnings.append(f"{place} has {free:,} bytes free, and the build may need {need:,}")
    return Disk(str(place), free, need)
