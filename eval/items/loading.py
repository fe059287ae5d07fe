"""Loading a benchmark: what is read, what is missing, what could not be used. Nothing is ever downloaded."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eval.datasets import DatasetError
from eval.items.item import CorpusRecord, Item, ItemImage
from eval.items.reading import Record, read_records
from rag.errors import QueryError
from rag.fingerprint import sha256_file

_IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".webp", ".tif", ".dcm")
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load. By default rows that cannot be used and images that are missing are listed and loading goes on.

    `stop_on_bad_rows`, `stop_on_missing_images`: raise instead. `images`: a folder to look for images in first.
    `language`: of the benchmarks that have several. `extract_images`: where embedded images are written to, so
    that they become files; None leaves them in place.
    """

    stop_on_bad_rows: bool = False
    stop_on_missing_images: bool = False
    images: Path | None = None
    language: str = "en"
    extract_images: Path | None = None


@dataclass(frozen=True, slots=True)
class ItemSet:
    """A loaded benchmark.

    `files` maps each file read to its SHA-256, `missing` names the images that are nowhere, `problems` the rows that
    could not be used, `warnings` what differs from the published benchmark. `corpus` is its own collection, if any.
    """

    format: str
    items: tuple[Item, ...]
    files: Mapping[str, str]
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    corpus: tuple[CorpusRecord, ...] = ()

    @property
    def digest(self) -> str:
        """One SHA-256 for all files read, whatever their folder."""
        lines = sorted(f"{Path(name).name}\t{value}" for name, value in self.files.items())
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def complete(self) -> tuple[Item, ...]:
        """The items whose images are all there."""
        return tuple(item for item in self.items if item.complete)

    def counts(self) -> dict[str, object]:
        """What is there, as JSON: items by split and answer type, clusters, missing images and the items they touch."""
        return {
            "format": self.format,
            "n": len(self.items),
            "by_split": dict(sorted(Counter(item.split for item in self.items).items())),
            "by_answer_type": dict(sorted(Counter(item.answer_type for item in self.items).items())),
            "clusters": len({item.cluster for item in self.items}),
            "images": len({image.name for item in self.items for image in item.every_image}),
            "missing_images": len(self.missing),
            "items_with_missing_images": len(self.items) - len(self.complete),
            "problems": len(self.problems),
            "corpus": len(self.corpus),
            "digest": self.digest,
        }


@dataclass(slots=True)
class Loading:
    """What one load has found so far; formats fill it."""

    dataset: str
    root: Path
    options: LoadOptions
    items: list[Item] = field(default_factory=list)
    corpus: list[CorpusRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _missing: dict[str, None] = field(default_factory=dict)
    _files: dict[str, str] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)
    _looked_up: dict[tuple[str, tuple[Path, ...]], ItemImage] = field(default_factory=dict)

    def read(self, path: Path, parse: Callable[[Record], Item | Iterable[Item] | None]) -> None:
        """Parse every record of a file; one that cannot be used becomes a problem. None leaves a record out."""
        self.note(path)
        try:
            for record in read_records(path):
                self.take(record, parse)
        except QueryError as error:
            self.problems.append(str(error))

    def take(self, record: Record, parse: Callable[[Record], Item | Iterable[Item] | None]) -> None:
        """Parse one record."""
        if not record.data:
            self.problems.append(f"{record.place}: it is not a JSON object")
            return
        try:
            made = parse(record)
            items = [made] if isinstance(made, Item) else list(made or ())
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
            reason = f"the field {error} is missing" if isinstance(error, KeyError) else str(error)
            self.problems.append(f"{record.place}: {reason}")
            return
        for item in items:
            self._add(item, record.place)

    def note(self, path: Path) -> None:
        """Remember a file with its digest."""
        if path.is_file():
            self._files.setdefault(str(path), sha256_file(path))

    def image(self, name: str, *folders: Path) -> ItemImage:
        """An image by the name the benchmark gives, looked for in these folders; with another suffix if need be."""
        bases = (*((self.options.images,) if self.options.images else ()), *folders)
        known = self._looked_up.get((name, bases))
        if known is None:
            paths = (_inside(base, name) for base in bases)
            known = ItemImage(name, next((path for path in paths if path is not None), None))
            self._looked_up[name, bases] = known
        if known.missing:
            self._missing.setdefault(name)
        return known

    def embedded(self, data: bytes | None, name: str) -> ItemImage:
        """An image whose bytes stand in the file; written out when the options say where to."""
        if not data:
            self._missing.setdefault(name)
            return ItemImage(name)
        folder = self.options.extract_images
        if folder is None:
            return ItemImage(name, embedded=True)
        path = folder / f"{hashlib.sha256(data).hexdigest()[:32]}{_suffix(data)}"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return ItemImage(name, path, embedded=True)

    def finish(self, name: str, expected: Mapping[str, int] | None = None) -> ItemSet:
        """The load as a whole.

        Raises:
            DatasetError: no item at all, or something is missing that the options say to stop at.
        """
        self._compare(expected or {})
        if self.problems and (self.options.stop_on_bad_rows or not (self.items or self.corpus)):
            raise DatasetError(self.problems)
        if not self.items and not self.corpus:
            raise DatasetError([f"{self.root} holds no item in the form {name}"])
        missing = tuple(self._missing)
        if missing and self.options.stop_on_missing_images:
            shown = [f"image {image!r} is not in the dataset's folders" for image in missing]
            raise DatasetError(shown)
        return ItemSet(
            name, tuple(self.items), dict(self._files), missing, tuple(self.problems), tuple(self.warnings),
            tuple(self.corpus),
        )  # fmt: skip

    def _add(self, item: Item, place: str) -> None:
        if item.id in self._ids:
            self.problems.append(f"{place}: id {item.id!r} was used before, at {self._ids[item.id]}")
            return
        self._ids[item.id] = place
        self.items.append(item)

    def _compare(self, expected: Mapping[str, int]) -> None:
        found = Counter(item.split for item in self.items)
        for split, published in expected.items():
            if split in found and found[split] != published:
                self.warnings.append(f"split {split!r} has {found[split]} items, the published benchmark {published}")


def _inside(base: Path, name: str) -> Path | None:
    """The file of that name below `base`, also with another image suffix; a name that leads out is refused."""
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return None
    path = base / name
    for candidate in (path, *(path.with_suffix(suffix) for suffix in _IMAGE_SUFFIXES if path.name)):
        if candidate.is_file():
            return candidate.resolve()
    return None


def _suffix(data: bytes) -> str:
    for start, suffix in ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"), (b"GIF8", ".gif")):
        if data.startswith(start):
            return suffix
    return ".bin"
