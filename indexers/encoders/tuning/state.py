"""How far a fine-tuning is, on disk: killed at any time, it goes on from the last saved step with equal results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from indexers.encoders.tuning.tensors import read_tensors, write_tensors
from indexers.encoders.visual.torch_library import Tensor

STATE = "state.safetensors"
_FORMAT = 1


@dataclass(slots=True)
class Progress:
    """Where a training stands.

    epoch, batch: the next batch. reached: the best validation yet, larger is better. best_epoch: after which epoch it
    was reached, 0 before the first. since: epochs since then. finished: nothing is left to train.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    reached: tuple[float, float] = (-1.0, 0.0)
    best_epoch: int = 0
    since: int = 0
    finished: bool = False


@dataclass(slots=True)
class SavedState:
    """Progress, and every number that the next step depends on."""

    progress: Progress
    numbers: dict[str, Tensor]
    moments: dict[str, Tensor]
    random: Tensor
    best: dict[str, Tensor] = field(default_factory=dict)


class StateFolder:
    """The folder of an unfinished training. Another training's state in it is not used."""

    def __init__(self, folder: Path, identity: str) -> None:
        """`identity` is a hash of the model, the pairs and the options."""
        self._folder, self._identity = folder, identity

    def save(self, state: SavedState) -> None:
        """Write the state. Its best numbers have a file of their own, written only when they change."""
        best = self._best(state.progress.best_epoch)
        if not best.is_file():
            write_tensors(best, state.best, {"identity": self._identity})
        tensors = {f"numbers/{name}": one for name, one in state.numbers.items()}
        tensors |= {f"moments/{name}": one for name, one in state.moments.items()}
        notes = {"identity": self._identity, "format": str(_FORMAT), "progress": json.dumps(asdict(state.progress))}
        write_tensors(self._folder / STATE, tensors | {"random": state.random}, notes)
        for path in self._folder.glob("best-*.safetensors"):
            if path != best:
                path.unlink()

    def load(self) -> SavedState | None:
        """The state of this very training; None when there is none or it cannot be read."""
        found = read_tensors(self._folder / STATE)
        if found is None or not self._is_own(found[1]) or found[1].get("format") != str(_FORMAT):
            self._clear()
            return None
        tensors, notes = found
        values = json.loads(notes["progress"])
        progress = Progress(**{**values, "reached": (values["reached"][0], values["reached"][1])})
        best = read_tensors(self._best(progress.best_epoch))
        if best is None or not self._is_own(best[1]):
            self._clear()
            return None
        parts = {
            part: {name.removeprefix(f"{part}/"): one for name, one in tensors.items() if name.startswith(f"{part}/")}
            for part in ("numbers", "moments")
        }
        return SavedState(progress, parts["numbers"], parts["moments"], tensors["random"], best[0])

    def _is_own(self, notes: dict[str, str]) -> bool:
        return notes.get("identity") == self._identity

    def _best(self, epoch: int) -> Path:
        return self._folder / f"best-{epoch:05d}.safetensors"

    def _clear(self) -> None:
        for path in (self._folder / STATE, *self._folder.glob("best-*.safetensors")):
            path.unlink(missing_ok=True)
