"""The case records: reports and images of the same scenes, written as records.jsonl beside an images folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any

from pipelines.sample.figures import draw
from pipelines.sample.manuscript import PACKAGE
from pipelines.sample.scene import Scene

SIDE_PIXELS = 384
# Grain compresses badly at any level; a low one is five times faster.
COMPRESSION = 2
LICENSE = "CC BY 4.0, generated for Vesalius"


def planned() -> list[dict[str, Any]]:
    """The planned records: the published fields, with the `scene` of the image in place of its path."""
    text = (resources.files(PACKAGE) / "records" / "plan.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def published(plan: Mapping[str, Any]) -> dict[str, Any]:
    """A plan as it appears in records.jsonl: the image by its path, the drawing parameters left out."""
    row = {key: value for key, value in plan.items() if key != "scene"}
    if "scene" in plan:
        row["image"] = f"images/{plan['id']}.png"
    return {**row, "license": LICENSE}


def write_records(folder: Path) -> None:
    """Draws every image and writes the records."""
    (folder / "images").mkdir(parents=True)
    plans = planned()
    with ThreadPoolExecutor() as pool:
        # Pillow and NumPy release the interpreter lock while they blur and compress.
        list(pool.map(lambda plan: _write_image(plan, folder / "images"), plans))
    lines = [json.dumps(published(plan), ensure_ascii=False) for plan in plans]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_image(plan: Mapping[str, Any], folder: Path) -> None:
    if "scene" in plan:
        image = draw(Scene.from_row(plan["scene"]), SIDE_PIXELS)
        image.save(folder / f"{plan['id']}.png", compress_level=COMPRESSION)
