"""The domains of one library: fitted on its own cases when it is built, opened when it is searched."""

from __future__ import annotations

from pathlib import Path

from indexers.domains.examples import case_examples
from indexers.domains.files import FILE, load_prototypes, save_prototypes
from indexers.domains.fitting import fit_prototypes
from indexers.domains.prototypes import DomainPrototypes, whitening_metric
from rag.protocols import Store
from rag.types import Matrix

__all__ = ["FILE", "fit_domains", "load_prototypes"]


def fit_domains(
    store: Store, folder: Path, *, encoder: str, whitening: Matrix | None = None, channel: str = "image"
) -> DomainPrototypes | None:
    """Fit prototypes on the cases of a store and write them beside it; None, and no file, when too few are labelled.

    Reads vectors that are stored anyway; no image is opened. Call it after a build that added or removed cases.

    Args:
        store: where the cases are.
        folder: the library's.
        encoder: fingerprint of the encoder behind the channel.
        whitening: what that encoder's vectors went through, (d + 1, dim), if anything.
        channel: the image channel of cases.
    """
    metric = None if whitening is None else whitening_metric(whitening)
    fitted = fit_prototypes(case_examples(store, channel), metric=metric, encoder=encoder)
    if fitted is None:
        (folder / FILE).unlink(missing_ok=True)
        return None
    save_prototypes(folder, fitted)
    return fitted
