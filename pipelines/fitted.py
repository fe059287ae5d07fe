"""What a library fits and measures on its own passages after each change: domain prototypes and the retriever gate.

    domains.npz        prototypes of the domains of its cases (indexers.domains)
    gate.json          recall of its channels beside chance (pipelines.retriever_gate)
    calibration.json   thresholds of selection, fitted on demand (pipelines.calibration)
    graph/             the concept graph of its facts and reports (pipelines.graph_library)

All are derived: each may be deleted, and all but the calibration are made again by the next change.
"""

from __future__ import annotations

import shutil
from collections.abc import Container
from pathlib import Path

from indexers.domains.library import FILE as DOMAINS
from indexers.domains.library import fit_domains, load_prototypes
from indexers.encoders.projection import load_projection, shipped
from indexers.manifest import Manifest
from pipelines.calibration import FILE as CALIBRATION
from pipelines.calibration import encoders_of, load_calibration
from pipelines.channels import WHITENING
from pipelines.retriever_gate import FILE as GATE
from pipelines.retriever_gate import measure_gate, read_gate, save_gate
from rag.errors import IndexMismatch, StoreError
from rag.fingerprint import digest, sha256_bytes
from rag.protocols import Store
from rag.types import Matrix

FITTED = (DOMAINS, CALIBRATION, GATE)
"""The files of a library's folder that go where it goes, and that clearing it deletes."""
GRAPH = "graph"
"""The folder of the concept graph."""
IMAGES = "case.image"
"""The channel whose vectors tell the domain of an image."""


def refresh_fitted(folder: Path, store: Store, manifest: Manifest) -> None:
    """Build the graph, fit the domains and measure the gate again where passages changed, or a file is gone.

    Reads stored vectors only. Hold the library's lock.
    """
    # Imported here: what walks a graph loads SciPy, and opening a library should not.
    from pipelines.graph_library import refresh_graph

    refresh_graph(store, folder)
    now = _state(store, manifest)
    gate = read_gate(folder)
    same = gate is not None and gate["of"] == now
    encoder = encoders_of(manifest).get(IMAGES)
    if encoder is None:
        (folder / DOMAINS).unlink(missing_ok=True)
    elif not same or not _domains_hold(folder, encoder):
        fit_domains(store, folder, encoder=encoder, whitening=image_whitening(folder, manifest))
    if not same:
        # Last: it says that everything before it was done for these passages.
        save_gate(folder, now, measure_gate(store))


def domain_counts(folder: Path, manifest: Manifest) -> tuple[dict[str, int], str | None]:
    """The images behind each domain's prototypes, and what is wrong with the file, if anything is."""
    encoder = encoders_of(manifest).get(IMAGES)
    try:
        found = None if encoder is None else load_prototypes(folder, encoder)
    except (IndexMismatch, StoreError) as error:
        return {}, str(error)
    return ({} if found is None else dict(sorted(found.counts.items()))), None


def image_whitening(folder: Path, manifest: Manifest) -> Matrix | None:
    """What the vectors of the cases' channel "image" went through; None when they have no whitening."""
    own = folder / WHITENING
    whitening = load_projection(own) if own.is_file() else shipped("image_whitening")
    dims = [entry.dim for entry in manifest.channels if f"{entry.kind}.{entry.name}" == IMAGES]
    return whitening if dims == [whitening.shape[1]] else None


def copy_fitted(source: Path, target: Path, names: Container[str] = FITTED) -> None:
    """Copy the files of `FITTED` that are there and among `names` into another folder of the same library."""
    for name in FITTED:
        if name in names and (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def carry_calibration(folder: Path, new: Path, fingerprint: str) -> str | None:
    """Take the calibration along to the library that replaces this one; says so when it does not hold there."""
    try:
        found = load_calibration(folder, fingerprint)
    except (IndexMismatch, StoreError):
        return (
            f"the calibration of {folder} was left behind: it was fitted on another index, or is damaged; "
            f"run `vesalius calibrate --library {folder} --queries F` again"
        )
    if found is not None:
        copy_fitted(folder, new, (CALIBRATION,))
    return None


def _state(store: Store, manifest: Manifest) -> str:
    """Identifies the pages, figures and cases of a library; ids are made of content. Facts have no part in it."""
    ids = {kind: sha256_bytes("\n".join(store.ids(kind)).encode()) for kind in ("page", "figure", "case")}
    return digest({"index": manifest.fingerprint, **ids})


def _domains_hold(folder: Path, encoder: str) -> bool:
    try:
        return load_prototypes(folder, encoder) is not None
    except (IndexMismatch, StoreError):
        return False
