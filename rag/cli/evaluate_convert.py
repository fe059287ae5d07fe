"""`vesalius eval convert`: a published benchmark as an own question file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.cli.common import Subcommands, command, emit_json, note
from rag.errors import QueryError, UsageError

if TYPE_CHECKING:
    from eval.items import ItemSet

ANY = "auto"
_NAMED = 10


def add(group: Subcommands) -> None:
    """Declare the command."""
    made = command(
        group, "convert", run, "a benchmark's files as one own question file; counts, digest, what is missing"
    )
    made.add_argument("form", metavar="FORMAT", help=f"the benchmark's form, or {ANY} to tell it from the files")
    made.add_argument("path", type=Path, metavar="PATH", help="its file or folder")
    made.add_argument("--out", type=Path, required=True, metavar="FILE.jsonl", help="the new file; never overwritten")
    made.add_argument("--images", type=Path, metavar="DIR", help="look for images here first")
    made.add_argument("--extract-images", type=Path, metavar="DIR", help="write embedded images here")
    made.add_argument("--language", default="en", metavar="CODE", help="of benchmarks that have several (default: en)")
    made.add_argument("--split", metavar="NAME", help="only the items of this split")
    made.add_argument("--missing", choices=("keep", "skip", "stop"), default="keep",
                      help="items without their image: keep, skip, or write nothing (default: keep)")  # fmt: skip
    made.add_argument("--bad-rows", choices=("skip", "stop"), default="skip",
                      help="rows that cannot be read: skip, or write nothing (default: skip)")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Convert, print what there is and what is missing, and read the new file back."""
    from eval.items import LoadOptions, load_items
    from eval.items.own import write_items

    if args.out.exists():
        raise UsageError(f"{args.out} exists already and is never overwritten; choose another with --out")
    options = LoadOptions(
        stop_on_bad_rows=args.bad_rows == "stop",
        stop_on_missing_images=args.missing == "stop",
        images=args.images,
        language=args.language,
        extract_images=args.extract_images,
    )
    found = load_items(args.path, options, None if args.form == ANY else args.form)
    items = list(found.complete if args.missing == "skip" else found.items)
    if args.split is not None:
        items = [item for item in items if item.split == args.split]
    if not items:
        splits = ", ".join(sorted({item.split for item in found.items})) or "none"
        raise QueryError(f"{args.path} has no item to write; its splits are {splits}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_name(f"{args.out.name}.partial")
    written = write_items(items, partial)
    partial.rename(args.out)
    document = _document(args, found, written)
    if args.json:
        emit_json(document)
    else:
        _show(document)
    for hint in document["hints"]:
        note(args, hint)
    return 1 if found.problems else 0


def _document(args: argparse.Namespace, found: ItemSet, written: int) -> dict[str, Any]:
    """Counts of the source, the digests of both, and whether the images are found from where the new file lies."""
    from eval.items import LoadOptions, load_items
    from rag.fingerprint import sha256_file

    again = load_items(args.out, LoadOptions(images=args.images), "own")
    elsewhere = sorted({_base(image.path, image.name) for item in found.items for image in item.every_image
                        if image.path is not None and not image.embedded and image.name in again.missing})  # fmt: skip
    hints = [f"the new file does not see its images from there; add --images {base}" for base in elsewhere]
    embedded = any(image.embedded and image.path is None for item in found.items for image in item.every_image)
    if embedded:
        hints.append("images stand inside the benchmark's files; write them out with --extract-images DIR")
    return {
        "out": str(args.out),
        "written": written,
        "read_back": len(again.items),
        "sha256": sha256_file(args.out),
        "source": found.counts(),
        "missing_images": list(found.missing),
        "problems": list(found.problems),
        "warnings": list(found.warnings),
        "images_not_seen_from_out": len(again.missing),
        "hints": hints,
    }


def _base(path: Path, name: str) -> str:
    """The folder that an image's name is relative to."""
    parts = len(Path(name).parts)
    return str(path.parents[parts - 1]) if parts <= len(path.parents) else str(path.parent)


def _show(document: dict[str, Any]) -> None:
    source = document["source"]
    print(f"{document['written']} of {source['n']} items of the form {source['format']} written to {document['out']}")
    for name in ("by_split", "by_answer_type"):
        print(f"{name.replace('_', ' ')}: " + ", ".join(f"{key or '-'} {count}" for key, count in source[name].items()))
    print(f"digest of the source: {source['digest']}")
    print(f"sha256 of the file: {document['sha256']}")
    for what, names in (
        ("missing images", document["missing_images"]),
        ("rows that cannot be read", document["problems"]),
        ("warnings", document["warnings"]),
    ):
        print(f"{what}: {len(names)}")
        for name in names[:_NAMED]:
            print(f"  {name}")
        if len(names) > _NAMED:
            print(f"  and {len(names) - _NAMED} more")
