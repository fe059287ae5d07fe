"""Covering epithelia: flat, cuboidal, columnar and transitional, and the dysplastic squamous one."""

from __future__ import annotations

import numpy as np

from pipelines.sample.masks import Point, smooth
from pipelines.sample.scene import Finding
from pipelines.sample.slide import (
    CYTOPLASM,
    DARK_NUCLEUS,
    EOSIN,
    LUMEN,
    MUCIN,
    NUCLEUS,
    PALE_NUCLEUS,
    STROMA,
    Slide,
    shade,
)

SURFACE = 0.16
BASE = 0.68


def squamous(slide: Slide, finding: Finding) -> None:
    """Stratified squamous epithelium; in dysplasia `size` is the share of the thickness with atypical cells."""
    atypical = finding.size if finding.name == "dysplasia" else 0.0
    _connective(slide, BASE)
    slide.shape(_band(slide, 0.0, SURFACE), LUMEN)
    slide.shape([*_edge(slide, SURFACE, 0.006), *reversed(_edge(slide, BASE, 0.020))], shade(EOSIN, 0.28))
    layers = 15
    for layer in range(layers):
        depth = (layer + 0.5) / layers
        y = SURFACE + (BASE - SURFACE) * depth
        atypia = 1.0 if 1 - depth < atypical else 0.0
        count = round(10 + 16 * depth + 10 * atypia)
        for column in range(count + 1):
            x = (column + 0.5 * (layer % 2) + slide.rng.normal(0, 0.14)) / count
            place = (float(x), float(y + 0.012 * np.sin(x * 9) * depth + slide.rng.normal(0, 0.004)))
            _squame(slide, place, depth, atypia)


def _squame(slide: Slide, place: Point, depth: float, atypia: float) -> None:
    flat = max(0.0, 0.85 - depth)
    wide = 0.017 + 0.035 * flat
    if atypia:
        scale = float(slide.rng.uniform(0.8, 1.55))
        slide.nucleus(place, (0.0105 * scale, 0.0135 * scale), DARK_NUCLEUS, float(slide.rng.normal(0, 0.5)))
        return
    body = slide.oval(place, (wide, 0.018 - 0.009 * flat), shade(EOSIN, 0.22 + 0.22 * flat + 0.06 * slide.rng.random()))
    slide.shape(body, shade(EOSIN, 0.25 + 0.2 * flat), shade(EOSIN, -0.02), 0.0016)
    ink = NUCLEUS if depth > 0.3 else PALE_NUCLEUS
    slide.nucleus(place, (0.0085 + 0.004 * flat, 0.0085 - 0.0055 * flat), ink)


def cuboidal(slide: Slide, finding: Finding) -> None:
    """Tubules cut across, each lined by one row of box-shaped cells with round central nuclei."""
    slide.fibres(150)
    for x, y in slide.scattered(16, 0.215, (0.02, 0.02, 0.98, 0.98)):
        _ring(slide, (x, y), float(slide.rng.uniform(0.085, 0.115)))


def _ring(slide: Slide, centre: Point, radius: float) -> None:
    slide.oval(centre, (radius * 1.06, radius * 1.06), shade(EOSIN, -0.05), wobble=0.02)
    outer = slide.oval(centre, (radius, radius), CYTOPLASM, wobble=0.02)
    slide.oval(centre, (radius * 0.48, radius * 0.48), LUMEN, wobble=0.03)
    count = round(2 * np.pi * radius / 0.048)
    for angle in np.linspace(0, 2 * np.pi, count, endpoint=False):
        wall = angle + np.pi / count
        inside = (centre[0] + radius * 0.5 * np.cos(wall), centre[1] + radius * 0.5 * np.sin(wall))
        outside = (centre[0] + radius * np.cos(wall), centre[1] + radius * np.sin(wall))
        slide.strand([inside, outside], 0.0022, shade(CYTOPLASM, -0.16))
        place = (centre[0] + radius * 0.74 * np.cos(angle), centre[1] + radius * 0.74 * np.sin(angle))
        slide.nucleus((float(place[0]), float(place[1])), (0.0125, 0.0125))
    slide.strand([*outer, outer[0]], 0.003, shade(EOSIN, -0.12))


def columnar(slide: Slide, finding: Finding) -> None:
    """Simple columnar epithelium: tall cells, basal nuclei in one row, pale goblet cells among them."""
    top, base = 0.30, 0.60
    _connective(slide, base)
    slide.shape(_band(slide, 0.0, top), LUMEN)
    slide.shape([*_edge(slide, top, 0.003), *reversed(_edge(slide, base, 0.008))], CYTOPLASM)
    count = 22
    for index in range(count + 1):
        x = index / count
        slide.strand([(x - 0.5 / count, top), (x - 0.5 / count, base)], 0.0024, shade(CYTOPLASM, -0.14))
        if slide.rng.random() < 0.22 + 0.3 * finding.size * (index % 3 == 0):
            slide.oval((x, top + 0.085), (0.0225, 0.075), MUCIN, wobble=0.03)
            slide.nucleus((x, base - 0.040), (0.0125, 0.017), DARK_NUCLEUS)
        else:
            slide.nucleus((x, base - 0.072 + float(slide.rng.normal(0, 0.006))), (0.0135, 0.031))
    slide.strand(_edge(slide, top, 0.001), 0.011, shade(EOSIN, -0.08))
    slide.strand(_edge(slide, base, 0.002), 0.005, shade(EOSIN, -0.14))


def urothelium(slide: Slide, finding: Finding) -> None:
    """Transitional epithelium: several layers under a row of large domed umbrella cells."""
    top, base = 0.30, 0.62
    _connective(slide, base)
    slide.shape(_band(slide, 0.0, top), LUMEN)
    slide.shape([*_edge(slide, top, 0.004), *reversed(_edge(slide, base, 0.012))], shade(CYTOPLASM, 0.18))
    for layer in range(5):
        y = base - 0.028 - 0.048 * layer
        for column in range(21):
            x = (column + 0.5 * (layer % 2)) / 20 + float(slide.rng.normal(0, 0.004))
            body = slide.oval((x, y), (0.026, 0.029), shade(CYTOPLASM, 0.20), wobble=0.08)
            slide.shape(body, shade(CYTOPLASM, 0.22), shade(CYTOPLASM, -0.08), 0.0018)
            slide.nucleus((x, y), (0.0105, 0.0125))
    for column in range(9):
        x = (column + 0.3) / 8.4
        dome = [(x - 0.060, top + 0.05), (x - 0.050, top + 0.002), (x, top - 0.030), (x + 0.050, top + 0.002),
                (x + 0.060, top + 0.05), (x, top + 0.066)]  # fmt: skip
        slide.shape(smooth(dome), shade(EOSIN, 0.24), shade(EOSIN, -0.10), 0.003)
        for shift in (-0.018, 0.018) if column % 3 == 1 else (0.0,):
            slide.nucleus((x + shift, top + 0.020), (0.0135, 0.0115))


def _connective(slide: Slide, top: float) -> None:
    slide.shape(_band(slide, top, 1.0), STROMA)
    slide.fibres(110, box=(0.0, top, 1.0, 1.0))
    for x, y in slide.scattered(26, 0.05, (0.0, top + 0.04, 1.0, 1.0)):
        slide.nucleus((x, y), (0.016, 0.0045), NUCLEUS, float(slide.rng.normal(0, 0.25)))


def _edge(slide: Slide, y: float, swing: float) -> list[Point]:
    phase = slide.size * 0.01
    across = np.linspace(-0.02, 1.02, 60)
    return [(float(x), float(y + swing * np.sin(11 * x + phase))) for x in across]


def _band(slide: Slide, top: float, bottom: float) -> list[Point]:
    return [(-0.02, top), (1.02, top), (1.02, bottom), (-0.02, bottom)]
