"""Inflamed and repairing tissue: neutrophils, lymphocytes and plasma cells, granuloma, scar, bacilli."""

from __future__ import annotations

import numpy as np

from pipelines.sample.glands import lymphoid
from pipelines.sample.masks import Point
from pipelines.sample.scene import Finding
from pipelines.sample.slide import (
    CYTOPLASM,
    DARK_NUCLEUS,
    EOSIN,
    NUCLEUS,
    PALE_NUCLEUS,
    RED_CELL,
    STROMA,
    Slide,
    shade,
)


def acute_inflammation(slide: Slide, finding: Finding) -> None:
    """Oedematous tissue with congested vessels and many neutrophils; `size` sets their number."""
    slide.fibres(70, shade(STROMA, -0.06))
    for centre in ((0.24, 0.30), (0.74, 0.70)):
        _vessel(slide, centre, 0.13)
    for place in slide.scattered(round(60 + 240 * finding.size), 0.036):
        if min(np.hypot(place[0] - x, place[1] - y) for x, y in ((0.24, 0.30), (0.74, 0.70))) > 0.15:
            _neutrophil(slide, place)


def _vessel(slide: Slide, centre: Point, radius: float) -> None:
    wall = slide.oval(centre, (radius, radius * 0.8), shade(EOSIN, 0.15), 0.5, wobble=0.04)
    slide.shape(wall, (250, 232, 236), shade(EOSIN, -0.02), 0.009)
    for _ in range(70):
        angle, reach = slide.rng.uniform(0, 2 * np.pi), radius * 0.72 * np.sqrt(slide.rng.random())
        place = (centre[0] + reach * np.cos(angle), centre[1] + 0.8 * reach * np.sin(angle))
        slide.dot((float(place[0]), float(place[1])), 0.0125, shade(RED_CELL, float(slide.rng.uniform(0.0, 0.3))))
    for x, y in wall[::6]:
        slide.nucleus((x, y), (0.013, 0.005), NUCLEUS, float(np.arctan2(x - centre[0], centre[1] - y)))


def _neutrophil(slide: Slide, place: Point) -> None:
    slide.oval(place, (0.0165, 0.0165), shade(CYTOPLASM, 0.30), wobble=0.03)
    turn = slide.rng.uniform(0, 2 * np.pi)
    for index in range(int(slide.rng.integers(3, 5))):
        angle = turn + index * 1.35
        lobe = (place[0] + 0.0072 * np.cos(angle), place[1] + 0.0072 * np.sin(angle))
        slide.oval((float(lobe[0]), float(lobe[1])), (0.0055, 0.0050), DARK_NUCLEUS)


def chronic_inflammation(slide: Slide, finding: Finding) -> None:
    """Lymphocytes and plasma cells crowding a fibrous ground."""
    slide.fibres(150)
    for index, place in enumerate(slide.scattered(round(160 + 330 * finding.size), 0.032)):
        if index % 3 == 0:
            _plasma_cell(slide, place)
        else:
            slide.dot(place, 0.0118, shade(CYTOPLASM, 0.15))
            slide.nucleus(place, (0.0098, 0.0098), DARK_NUCLEUS)


def _plasma_cell(slide: Slide, place: Point) -> None:
    turn = float(slide.rng.uniform(0, 2 * np.pi))
    slide.oval(place, (0.0215, 0.0150), (186, 140, 192), turn, wobble=0.04)
    side = (place[0] + 0.0085 * np.cos(turn), place[1] + 0.0085 * np.sin(turn))
    slide.nucleus((float(side[0]), float(side[1])), (0.0098, 0.0098), NUCLEUS)
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        slide.dot(
            (float(side[0] + 0.0062 * np.cos(angle)), float(side[1] + 0.0062 * np.sin(angle))), 0.0022, DARK_NUCLEUS
        )


def granuloma(slide: Slide, finding: Finding) -> None:
    """A round granuloma; zone `caseating` has a dead pink centre, zone `naked` none. `size` sets the width."""
    slide.fibres(130)
    centre, radius = (0.5, 0.5), 0.26 + 0.12 * finding.size
    cuff = [
        place
        for place in slide.scattered(700, 0.026)
        if abs(np.hypot(place[0] - 0.5, place[1] - 0.5) - radius * 1.10) < 0.055
    ]
    slide.oval(centre, (radius, radius), shade(CYTOPLASM, 0.16), wobble=0.03)
    lymphoid(slide, cuff)
    core = radius * 0.46 if finding.zone == "caseating" else 0.0
    for x, y in slide.scattered(420, 0.031, (0.05, 0.05, 0.95, 0.95)):
        reach = float(np.hypot(x - 0.5, y - 0.5))
        if core < reach < radius * 0.97:
            along = float(np.arctan2(y - 0.5, x - 0.5) + np.pi / 2 + slide.rng.normal(0, 0.35))
            slide.oval((x, y), (0.031, 0.0145), shade(CYTOPLASM, 0.22), along)
            slide.nucleus((x, y), (0.0155, 0.0062), PALE_NUCLEUS, along)
    if core:
        _caseum(slide, core)
    for angle in (0.7, 3.6):
        reach = (radius + core) / 2
        _giant_cell(slide, (float(0.5 + reach * np.cos(angle)), float(0.5 + reach * np.sin(angle))))


def _caseum(slide: Slide, core: float) -> None:
    slide.oval((0.5, 0.5), (core, core), shade(EOSIN, 0.16), wobble=0.06)
    for _ in range(900):
        angle, reach = slide.rng.uniform(0, 2 * np.pi), core * 0.98 * np.sqrt(slide.rng.random())
        place = (float(0.5 + reach * np.cos(angle)), float(0.5 + reach * np.sin(angle)))
        ink = DARK_NUCLEUS if slide.rng.random() < 0.06 else shade(EOSIN, float(slide.rng.uniform(-0.10, 0.35)))
        slide.dot(place, float(slide.rng.uniform(0.0018, 0.0042)), ink)


def _giant_cell(slide: Slide, place: Point) -> None:
    body = slide.oval(place, (0.078, 0.064), shade(EOSIN, 0.22), float(slide.rng.uniform(0, 3)), wobble=0.06)
    slide.shape(body, shade(EOSIN, 0.22), shade(EOSIN, -0.04), 0.0025)
    turn = slide.rng.uniform(0, 2 * np.pi)
    for angle in np.linspace(turn, turn + 4.2, 13):
        spot = (place[0] + 0.052 * np.cos(angle), place[1] + 0.042 * np.sin(angle))
        slide.nucleus((float(spot[0]), float(spot[1])), (0.0098, 0.0075), NUCLEUS, float(angle))


def scar(slide: Slide, finding: Finding) -> None:
    """Dense wavy collagen with few flat fibroblasts."""
    slide.fibres(round(420 + 300 * finding.size), EOSIN)
    for place in slide.scattered(34, 0.07):
        slide.nucleus(place, (0.020, 0.0042), NUCLEUS, float(slide.rng.normal(0.05, 0.15)))


def acid_fast_bacilli(slide: Slide, finding: Finding) -> None:
    """A Ziehl-Neelsen field: red rods among blue cells; `size` sets the number of rods."""
    for place in slide.scattered(80, 0.08):
        slide.oval(place, (0.036, 0.028), (160, 188, 218), float(slide.rng.uniform(0, 3)), wobble=0.10)
        slide.nucleus(place, (0.016, 0.013), (82, 116, 178), float(slide.rng.uniform(0, 3)))
    for x, y in slide.scattered(round(14 + 110 * finding.size), 0.022):
        angle, bend = slide.rng.uniform(0, np.pi), slide.rng.normal(0, 0.35)
        middle = (x + 0.013 * np.cos(angle), y + 0.013 * np.sin(angle))
        end = (middle[0] + 0.012 * np.cos(angle + bend), middle[1] + 0.012 * np.sin(angle + bend))
        slide.strand(
            [(x, y), (float(middle[0]), float(middle[1])), (float(end[0]), float(end[1]))], 0.0052, (198, 22, 82)
        )
