"""Glands and tubules: colonic crypts, adenocarcinoma by grade, kidney tubules alive and dead."""

from __future__ import annotations

import numpy as np

from pipelines.sample.masks import Point
from pipelines.sample.scene import Finding
from pipelines.sample.slide import (
    CYTOPLASM,
    DARK_NUCLEUS,
    EOSIN,
    LUMEN,
    MUCIN,
    NUCLEUS,
    STROMA,
    Slide,
    shade,
)


def crypts(slide: Slide, finding: Finding) -> None:
    """Normal colonic crypts cut across: round, evenly spaced, full of goblet cells, nuclei at the base."""
    slide.fibres(90)
    lymphoid(slide, slide.scattered(150, 0.028))
    for row in range(-1, 5):
        for column in range(-1, 5):
            x = (column + 0.5 + 0.5 * (row % 2)) / 4 + float(slide.rng.normal(0, 0.008))
            y = (row + 0.5) / 4 + float(slide.rng.normal(0, 0.008))
            _crypt(slide, (x, y), 0.098)


def _crypt(slide: Slide, centre: Point, radius: float) -> None:
    slide.oval(centre, (radius * 1.05, radius * 1.05), shade(EOSIN, 0.10), wobble=0.015)
    slide.oval(centre, (radius, radius), shade(CYTOPLASM, 0.15), wobble=0.015)
    for angle in np.linspace(0, 2 * np.pi, 13, endpoint=False):
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        slide.oval(
            (centre[0] + radius * 0.55 * cos, centre[1] + radius * 0.55 * sin), (0.024, 0.016), MUCIN, float(angle)
        )
        slide.nucleus(
            (centre[0] + radius * 0.87 * cos, centre[1] + radius * 0.87 * sin), (0.0075, 0.0125), turn=float(angle)
        )
    slide.oval(centre, (radius * 0.17, radius * 0.17), LUMEN)


def lymphoid(slide: Slide, places: list[Point]) -> None:
    """Small round dark cells with hardly any cytoplasm."""
    for place in places:
        slide.dot(place, 0.0098, shade(CYTOPLASM, 0.10))
        slide.nucleus(place, (0.0082, 0.0082), DARK_NUCLEUS)


def carcinoma(slide: Slide, finding: Finding) -> None:
    """Adenocarcinoma; zone `well` keeps glands, `poor` grows in sheets and single cells."""
    slide.fibres(170, shade(EOSIN, 0.18))
    if finding.zone == "poor":
        _sheets(slide)
        return
    for place in slide.scattered(34, 0.042):
        slide.nucleus(place, (0.015, 0.0045), NUCLEUS, float(slide.rng.normal(0, 0.5)))
    for x, y in slide.scattered(18, 0.20, (0.0, 0.0, 1.0, 1.0)):
        _bad_gland(slide, (x, y), float(slide.rng.uniform(0.075, 0.115)))


def _bad_gland(slide: Slide, centre: Point, radius: float) -> None:
    turn, stretch = float(slide.rng.uniform(0, np.pi)), float(slide.rng.uniform(0.72, 1.0))
    outline = slide.oval(centre, (radius, radius * stretch), shade(EOSIN, 0.05), turn, wobble=0.13)
    hollow = [(centre[0] + (x - centre[0]) * 0.46, centre[1] + (y - centre[1]) * 0.46) for x, y in outline]
    slide.shape(hollow, LUMEN)
    for _ in range(10):
        spot = (centre[0] + slide.rng.normal(0, radius * 0.12), centre[1] + slide.rng.normal(0, radius * 0.12))
        slide.dot((float(spot[0]), float(spot[1])), 0.005, shade(EOSIN, -0.15))
    for x, y in outline[:: max(len(outline) // 26, 1)]:
        reach = float(slide.rng.uniform(0.62, 0.92))
        place = (centre[0] + (x - centre[0]) * reach, centre[1] + (y - centre[1]) * reach)
        scale = float(slide.rng.uniform(0.8, 1.4))
        along = float(np.arctan2(y - centre[1], x - centre[0]))
        slide.nucleus(place, (0.017 * scale, 0.0095 * scale), DARK_NUCLEUS, along)


def _sheets(slide: Slide) -> None:
    for place in slide.scattered(520, 0.040, (-0.02, -0.02, 1.02, 1.02)):
        scale = float(slide.rng.uniform(0.75, 1.55))
        body = slide.oval(place, (0.024 * scale, 0.022 * scale), shade(EOSIN, 0.16), wobble=0.12)
        slide.shape(body, shade(EOSIN, 0.18), shade(EOSIN, -0.06), 0.0018)
        slide.nucleus(place, (0.0150 * scale, 0.0130 * scale), DARK_NUCLEUS, float(slide.rng.uniform(0, 3)))
        if scale > 1.2:
            slide.dot(place, 0.0042, (150, 40, 110))
    for place in slide.scattered(9, 0.2, (0.08, 0.08, 0.92, 0.92)):
        _mitosis(slide, place)


def _mitosis(slide: Slide, place: Point) -> None:
    slide.oval(place, (0.028, 0.026), shade(CYTOPLASM, 0.42))
    turn = float(slide.rng.uniform(0, np.pi))
    for shift in (-0.008, 0.0, 0.008):
        spot = (place[0] + shift * np.cos(turn), place[1] + shift * np.sin(turn))
        slide.oval((float(spot[0]), float(spot[1])), (0.008, 0.0045), (40, 20, 80), turn, wobble=0.3)


def tubules(slide: Slide, finding: Finding) -> None:
    """Kidney tubules; in coagulative necrosis a share `size` of the field, from the right, has lost its nuclei."""
    dead_from = 1 - finding.size if finding.name == "coagulative necrosis" else 2.0
    slide.fibres(60)
    for row in range(-1, 8):
        for column in range(-1, 8):
            x = (column + 0.5 * (row % 2) + 0.25) / 6.6 + float(slide.rng.normal(0, 0.006))
            y = (row + 0.3) / 7 + float(slide.rng.normal(0, 0.006))
            border = dead_from + 0.05 * float(np.sin(y * 7))
            _tubule(slide, (x, y), alive=x < border)
            if abs(x - border) < 0.07:
                lymphoid(slide, [(x + float(slide.rng.normal(0, 0.03)), y + 0.074) for _ in range(5)])


def _tubule(slide: Slide, centre: Point, *, alive: bool) -> None:
    radius = float(slide.rng.uniform(0.058, 0.068))
    ink = shade(EOSIN, 0.06) if alive else shade(EOSIN, -0.02)
    outer = slide.oval(centre, (radius, radius), ink, wobble=0.04)
    slide.shape(outer, ink, shade(ink, -0.16), 0.0025)
    if alive:
        slide.oval(centre, (radius * 0.36, radius * 0.36), LUMEN)
        for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False) + slide.rng.uniform(0, 1):
            place = (centre[0] + radius * 0.68 * np.cos(angle), centre[1] + radius * 0.68 * np.sin(angle))
            slide.nucleus((float(place[0]), float(place[1])), (0.0098, 0.0098))
    else:
        slide.oval(centre, (radius * 0.30, radius * 0.30), shade(STROMA, -0.02), wobble=0.12)
        for _ in range(26):
            spot = (centre[0] + slide.rng.normal(0, radius * 0.4), centre[1] + slide.rng.normal(0, radius * 0.4))
            slide.dot((float(spot[0]), float(spot[1])), 0.003, shade(ink, float(slide.rng.uniform(-0.10, 0.18))))
