"""Fit the two maps that ship with Vesalius on the sample library, and write them into the package.

Run: python -m benchmarks.fit_maps. Libraries built with other maps must be built again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from indexers.encoders.image import ImageEncoder
from indexers.encoders.late import LateTextEncoder
from indexers.encoders.projection import save_projection
from indexers.models import ModelStore, default_cache
from indexers.sources.cases import CaseParser
from indexers.sources.pdf import PdfParser
from pipelines.compose import IMAGE, LATE
from pipelines.sample.build import write_sample

LATE_DIM = 64


def main() -> None:
    """Fit and write."""
    models = ModelStore(default_cache())
    target = Path(__file__).parents[1] / "indexers" / "encoders"
    with tempfile.TemporaryDirectory() as scratch:
        sample = write_sample(Path(scratch) / "sample")
        passages = []
        for parser, path in ((PdfParser(Path(scratch) / "images"), sample.handbook), (CaseParser(), sample.cases)):
            passages += [passage for unit in parser.parse(parser.open(path), ()) for passage in unit.passages]
        pages = [passage for passage in passages if passage.kind == "page"]
        images = [image for passage in passages if passage.kind != "page" for image in passage.images]
        late = LateTextEncoder(models.files(LATE)).fit(pages, LATE_DIM)
        save_projection(target / "late_projection.npy", late)
        save_projection(target / "image_whitening.npy", ImageEncoder(models.files(IMAGE)).fit(images))
        print(f"fitted on {len(pages)} pages and {len(images)} images")


if __name__ == "__main__":
    main()
