"""The training of a dual encoder on pairs of image and text, resumable at every saved step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from indexers.encoders.aligned.features import Indices
from indexers.encoders.clip.libraries import OpenClipDual
from indexers.encoders.pictures import open_picture
from indexers.encoders.tuning.batches import TuningPairs, batches_of, validation
from indexers.encoders.tuning.options import TuningOptions
from indexers.encoders.tuning.state import Progress, SavedState, StateFolder
from indexers.encoders.tuning.weights import SCALE, TrainedWeights
from indexers.encoders.visual.torch_library import Model, Tensor, load_torch
from rag.errors import EnvironmentProblem
from rag.types import Matrix

_FEATURE = "fine-tuning"
_KEPT_BYTES = 2 << 30
"""Prepared images that stay in memory between epochs; the others are read again."""
_WARM_STEPS = 100


class Heard(Protocol):
    """Hears of every validation: epochs done, R@10 of the pairs held back, and of what was best yet."""

    def __call__(self, epoch: int, recall: float, best: float) -> None: ...


class Tuner:
    """One training. `run` returns the finished model's weights."""

    def __init__(
        self, library: OpenClipDual, pairs: TuningPairs, options: TuningOptions, states: StateFolder, device: str
    ) -> None:
        self._torch = load_torch(_FEATURE)
        self._library, self._pairs, self._options, self._states, self._device = library, pairs, options, states, device
        # Without dropout and with fixed batch statistics: some hundred pairs are too few to estimate any.
        self._model: Model = library.load(device, self._torch.float32)
        self._weights = TrainedWeights(self._model, options)
        numbers = list(self._weights.numbers.values())
        self._adam = self._torch.optim.AdamW(numbers, lr=options.rate, weight_decay=options.weight_decay)
        self._random = self._torch.Generator().manual_seed(options.seed)
        self._images = _Images(library, pairs)
        self._progress, self._best = Progress(), self._copy()
        self._last = self._progress.reached

    def run(self, heard: Heard | None = None) -> dict[str, Tensor]:
        """Train until the pairs held back have not been found better for `patience` epochs; the state dict then.

        Goes on where an earlier run of the same training was stopped. The model as it was counts as epoch 0.

        Raises:
            EnvironmentProblem: memory or disk is exhausted.
            SourceError: an image cannot be read.
        """
        with memory_errors(self._device, self._options.batch):
            if not self._resume():
                self._progress.reached = self._validated()
                self._save()
            while not self._progress.finished:
                self._epoch()
                if heard is not None:
                    heard(self._progress.epoch, self._last[0], self._progress.reached[0])
            self._weights.load(self._best)
            merged = {name: one.detach() for name, one in self._weights.weights().items()}
        return {**self._model.state_dict(), **merged}

    def _epoch(self) -> None:
        options, progress = self._options, self._progress
        batches = batches_of(self._pairs, options, progress.epoch)
        while progress.batch < len(batches):
            self._step(batches[progress.batch], len(batches))
            progress.batch, progress.step = progress.batch + 1, progress.step + 1
            if progress.step % options.save_every == 0:
                self._save()
        self._last = self._validated()
        progress.epoch, progress.batch, progress.since = progress.epoch + 1, 0, progress.since + 1
        if self._last > progress.reached:
            progress.reached, progress.best_epoch, progress.since = self._last, progress.epoch, 0
            self._best = self._copy()
        progress.finished = progress.epoch >= options.epochs or progress.since >= options.patience
        self._save()

    def _step(self, batch: Indices, n_batches: int) -> None:
        torch, targets, places = self._torch, self._pairs.targets.take(batch), batch.tolist()
        warm = min(_WARM_STEPS, max(1, n_batches))
        for group in self._adam.param_groups:
            group["lr"] = self._options.rate * min(1.0, (self._progress.step + 1) / warm)
        images = torch.cat([self._cropped(self._images.pixels(place)) for place in places]).to(self._device)
        texts = torch.cat([self._images.tokens(place) for place in places]).to(self._device)
        self._adam.zero_grad(set_to_none=True)
        weights = self._weights.weights()
        seen, read = self._features(weights, images, texts)
        logits = seen @ read.T * self._scale(weights) + torch.from_numpy(targets.offsets).to(self._device)
        shares = torch.from_numpy(targets.shares).to(self._device)
        loss = (_cross_entropy(logits, shares) + _cross_entropy(logits.T, shares.T)) / 2
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(self._weights.numbers.values()), 1.0)
        self._adam.step()

    def _features(self, weights: dict[str, Tensor], images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Unit rows of images and texts, through the model with these weights."""
        out = self._torch.func.functional_call(self._model, weights, (images, texts))
        return (out["image_features"], out["text_features"]) if isinstance(out, dict) else (out[0], out[1])

    def _scale(self, weights: dict[str, Tensor]) -> Tensor:
        return weights[SCALE].exp() if SCALE in weights else self._torch.tensor(100.0, device=self._device)

    def _cropped(self, pixels: Tensor) -> Tensor:
        """A random cut-out, scaled back. Never mirrored: left and right mean something."""
        torch, (height, width) = self._torch, pixels.shape[-2:]
        share, down, right = torch.rand(3, generator=self._random).tolist()
        share = self._options.crop + (1 - self._options.crop) * share
        rows, columns = max(1, round(share * height)), max(1, round(share * width))
        top, left = round(down * (height - rows)), round(right * (width - columns))
        cut = pixels[..., top : top + rows, left : left + columns]
        return torch.nn.functional.interpolate(cut, (height, width), mode="bilinear", antialias=True)

    def _validated(self) -> tuple[float, float]:
        images, texts = self._encoded()
        return validation(images, texts, self._pairs.held)

    def _encoded(self) -> tuple[Matrix, Matrix]:
        torch, found = self._torch, []
        with torch.inference_mode():
            weights = self._weights.weights()
            for start in range(0, len(self._pairs), self._options.batch):
                places = range(start, min(start + self._options.batch, len(self._pairs)))
                images = torch.cat([self._images.pixels(place) for place in places]).to(self._device)
                texts = torch.cat([self._images.tokens(place) for place in places]).to(self._device)
                found.append([one.float().cpu().numpy() for one in self._features(weights, images, texts)])
        return np.concatenate([rows[0] for rows in found]), np.concatenate([rows[1] for rows in found])

    def _copy(self) -> dict[str, Tensor]:
        return {name: one.detach().cpu().clone() for name, one in self._weights.numbers.items()}

    def _save(self) -> None:
        state = self._adam.state_dict()["state"]
        moments = {f"{index}/{key}": one for index, values in state.items() for key, one in values.items()}
        saved = SavedState(self._progress, self._copy(), moments, self._random.get_state(), self._best)
        self._states.save(saved)

    def _resume(self) -> bool:
        saved = self._states.load()
        if saved is None:
            return False
        self._progress, self._best = saved.progress, saved.best
        self._weights.load(saved.numbers)
        state: dict[int, dict[str, Tensor]] = {}
        for name, one in saved.moments.items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = one
        self._adam.load_state_dict(self._adam.state_dict() | {"state": state})
        self._random.set_state(saved.random)
        return True


class _Images:
    """The pairs as the model reads them, prepared once as far as memory allows."""

    def __init__(self, library: OpenClipDual, pairs: TuningPairs) -> None:
        self._library, self._pairs = library, pairs
        self._pixels: dict[int, Tensor] = {}
        self._tokens: dict[int, Tensor] = {}
        self._bytes = 0

    def pixels(self, place: int) -> Tensor:
        """Pixels of a pair's image, a batch of one."""
        if place in self._pixels:
            return self._pixels[place]
        made = self._library.image_inputs(open_picture(self._pairs.images[place]))["pixel_values"]
        self._bytes += made.numel() * made.element_size()
        if self._bytes <= _KEPT_BYTES:
            self._pixels[place] = made
        return made

    def tokens(self, place: int) -> Tensor:
        """Tokens of a pair's text, a batch of one."""
        if place not in self._tokens:
            self._tokens[place] = self._library.text_inputs(self._pairs.texts[place])["input_ids"]
        return self._tokens[place]


def _cross_entropy(logits: Tensor, shares: Tensor) -> Tensor:
    """Mean cross-entropy of row softmaxes towards shares, whose rows are made to sum to 1."""
    wanted = shares / shares.sum(dim=1, keepdim=True)
    return -(wanted * logits.log_softmax(dim=1)).sum(dim=1).mean()


@contextmanager
def memory_errors(device: str, batch: int) -> Iterator[None]:
    """Say what helps when memory runs out. Raises EnvironmentProblem."""
    torch = load_torch(_FEATURE)
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise EnvironmentProblem(_full(device, batch)) from error
    except RuntimeError as error:
        message = str(error).lower()
        if "not enough memory" in message or "can't allocate memory" in message:
            raise EnvironmentProblem(_full(device, batch)) from error
        raise


def _full(device: str, batch: int) -> str:
    return (
        f"fine-tuning ran out of memory on {device} with {batch} pairs at once; pass a smaller --batch, --method lora, "
        f"or tune a smaller model"
    )
