"""Micrographs: a scene's tissue pattern drawn on a slide."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from pipelines.sample.epithelia import columnar, cuboidal, squamous, urothelium
from pipelines.sample.glands import carcinoma, crypts, tubules
from pipelines.sample.inflammation import (
    acid_fast_bacilli,
    acute_inflammation,
    chronic_inflammation,
    granuloma,
    scar,
)
from pipelines.sample.scene import Finding, Scene
from pipelines.sample.slide import STROMA, Slide

Pattern = Callable[[Slide, Finding], None]

PATTERNS: dict[str, Pattern] = {
    "squamous epithelium": squamous,
    "dysplasia": squamous,
    "cuboidal epithelium": cuboidal,
    "columnar epithelium": columnar,
    "urothelium": urothelium,
    "crypts": crypts,
    "adenocarcinoma": carcinoma,
    "tubules": tubules,
    "coagulative necrosis": tubules,
    "acute inflammation": acute_inflammation,
    "chronic inflammation": chronic_inflammation,
    "granuloma": granuloma,
    "scar": scar,
    "acid-fast bacilli": acid_fast_bacilli,
}


def draw_tissue(scene: Scene, size: int) -> Image.Image:
    """The micrograph of a scene, colour, `size` by `size` pixels; an unknown pattern is a KeyError."""
    blue = bool(scene.named("acid-fast bacilli"))
    slide = Slide(size, np.random.default_rng(scene.seed), (190, 212, 232) if blue else STROMA)
    for finding in scene.findings:
        PATTERNS[finding.name](slide, finding)
    warmth = scene.trait("warmth", 0.0)
    return slide.develop((255, round(255 - 10 * warmth), round(255 - 26 * max(warmth, 0.0))))
