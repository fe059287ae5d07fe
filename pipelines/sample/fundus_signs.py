"""The abnormal signs of a fundus photograph, painted over retina, disc and vessels (right-eye coordinates)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.sample.masks import Mask, Point, clouds, ellipse, filled, glow, smooth, spots, step, stroked
from pipelines.sample.palette import Colour, Picture, blend
from pipelines.sample.scene import Finding, Scene

CENTRE: Point = (0.385, 0.515)
NERVE: Point = (0.675, 0.485)
BLOOD: Colour = (0.42, 0.03, 0.03)

Sign = Callable[[Picture, Finding, np.random.Generator], Picture]


def add_signs(picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:
    """The picture with every finding painted in; an unknown finding is a KeyError."""
    for finding in scene.findings:
        picture = SIGNS[finding.name](picture, finding, rng)
    return picture


def _scatter(
    rng: np.random.Generator, count: int, ring: tuple[float, float], centre: Point = (0.46, 0.5)
) -> list[Point]:
    """Places between two distances from a centre, away from the disc."""
    places: list[Point] = []
    while len(places) < count:
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(*ring)
        x, y = centre[0] + reach * np.cos(angle), centre[1] + reach * np.sin(angle)
        if np.hypot(x - NERVE[0], y - NERVE[1]) > 0.085 and np.hypot(x - 0.5, y - 0.5) < 0.43:
            places.append((float(x), float(y)))
    return places


def _unchanged(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    """Findings that the retina, disc, vessel or camera step draws itself."""
    return picture


def _microaneurysms(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    places = _scatter(rng, round(8 + 34 * finding.size), (0.05, 0.30))
    dots = spots([(x, y, float(rng.uniform(0.0028, 0.0042))) for x, y in places], picture.shape[0], 0.0008)
    return blend(picture, (0.55, 0.03, 0.03), 0.9 * dots)


def _blot_haemorrhages(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    size = picture.shape[0]
    outlines = []
    for x, y in _scatter(rng, round(4 + 28 * finding.size), (0.08, 0.36)):
        radius = rng.uniform(0.006, 0.014)
        angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        reach = radius * (1 + rng.normal(0, 0.22, 9))
        outlines.append(smooth([(x + r * np.cos(a), y + r * np.sin(a)) for a, r in zip(angles, reach, strict=True)]))
    return blend(picture, BLOOD, 0.88 * filled(outlines, size, 0.0016))


def _flame_haemorrhages(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    outlines = []
    for x, y in _scatter(rng, round(4 + 22 * finding.size), (0.095, 0.20), NERVE):
        turn = np.arctan2(y - NERVE[1], x - NERVE[0]) + rng.normal(0, 0.12)
        for shift in (-0.0035, 0.0, 0.0035):
            middle = (x - shift * np.sin(turn), y + shift * np.cos(turn))
            outlines.append(ellipse(middle, (float(rng.uniform(0.012, 0.027)), 0.0026), float(turn)))
    return blend(picture, (0.55, 0.04, 0.04), 0.85 * filled(outlines, picture.shape[0], 0.0014))


def _hard_exudates(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    middle = (CENTRE[0] - 0.055, CENTRE[1] - 0.035)
    places = []
    for _ in range(round(18 + 60 * finding.size)):
        angle, reach = (
            rng.uniform(0, 2 * np.pi),
            rng.normal(0.072, 0.009) if rng.random() < 0.7 else rng.uniform(0.03, 0.12),
        )
        places.append(
            (middle[0] + reach * np.cos(angle), middle[1] + reach * np.sin(angle), float(rng.uniform(0.0025, 0.0062)))
        )
    return blend(picture, (0.99, 0.90, 0.52), 0.93 * spots(places, picture.shape[0], 0.0009))


def _cotton_wool_spots(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    size = picture.shape[0]
    cover = np.zeros((size, size), dtype=np.float32)
    for x, y in _scatter(rng, round(2 + 6 * finding.size), (0.11, 0.21), NERVE):
        turn = float(np.arctan2(y - NERVE[1], x - NERVE[0]) + np.pi / 2)
        cover = np.maximum(cover, filled([ellipse((x, y), (0.022, 0.013), turn)], size, 0.0065))
    return blend(picture, (0.98, 0.92, 0.78), 0.92 * cover)


def _tufts(picture: Picture, rng: np.random.Generator, centre: Point, count: int) -> Picture:
    lines = []
    for _ in range(count):
        angle = rng.uniform(0, 2 * np.pi)
        points = [centre]
        for _ in range(8):
            angle += rng.normal(0, 0.75)
            points.append((float(points[-1][0] + 0.013 * np.cos(angle)), float(points[-1][1] + 0.013 * np.sin(angle))))
        lines.append((smooth(points, closed=False, steps=5), 0.0026))
    return blend(picture, (0.66, 0.06, 0.07), 0.92 * stroked(lines, picture.shape[0], 0.0006))


def _disc_new_vessels(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    return _tufts(picture, rng, NERVE, round(14 + 16 * finding.size))


def _new_vessels_elsewhere(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    return _tufts(picture, rng, (0.50, 0.245), round(10 + 12 * finding.size))


def _preretinal_haemorrhage(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    x, y, wide = 0.46, 0.70, 0.06 + 0.08 * finding.size
    low = [(x + wide * np.cos(a), y + wide * 0.72 * np.sin(a)) for a in np.linspace(0, np.pi, 24)]
    return blend(picture, (0.40, 0.02, 0.03), 0.96 * filled([low], picture.shape[0], 0.0022))


def _laser_scars(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    size = picture.shape[0]
    places = _scatter(rng, round(50 + 90 * finding.size), (0.27, 0.43), (0.5, 0.5))
    places = [place for place in places if np.hypot(place[0] - CENTRE[0], place[1] - CENTRE[1]) > 0.22]
    picture = blend(picture, (0.93, 0.82, 0.58), 0.75 * spots([(x, y, 0.0095) for x, y in places], size, 0.002))
    return blend(picture, (0.22, 0.10, 0.07), 0.65 * spots([(x + 0.001, y, 0.0042) for x, y in places], size, 0.0015))


def _drusen(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    places = []
    for _ in range(round(16 + 70 * finding.size)):
        angle, reach = rng.uniform(0, 2 * np.pi), abs(rng.normal(0, 0.06)) + 0.012
        radius = float(rng.uniform(0.003, 0.0055 + 0.007 * finding.size))
        places.append((CENTRE[0] + reach * np.cos(angle), CENTRE[1] + reach * np.sin(angle), radius))
    return blend(picture, (0.97, 0.80, 0.45), 0.78 * spots(places, picture.shape[0], 0.0022))


def _geographic_atrophy(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    size = picture.shape[0]
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    reach = (0.045 + 0.055 * finding.size) * (1 + rng.normal(0, 0.14, 12))
    outline = smooth(
        [(CENTRE[0] + r * np.cos(a), CENTRE[1] + r * np.sin(a)) for a, r in zip(angles, reach, strict=True)]
    )
    patch = filled([outline], size, 0.003)
    picture = blend(picture, (0.96, 0.78, 0.54), 0.80 * patch)
    lines = []
    for _ in range(9):
        y, tilt = float(rng.uniform(-0.09, 0.09)), float(rng.normal(0, 0.03))
        knots = [
            (CENTRE[0] - 0.12 + 0.06 * k, CENTRE[1] + y + tilt * (k - 2) + float(rng.normal(0, 0.008)))
            for k in range(5)
        ]
        lines.append((smooth(knots, closed=False), 0.006))
    return blend(picture, (0.85, 0.42, 0.24), 0.7 * patch * stroked(lines, size, 0.001))


def _subretinal_haemorrhage(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    size = picture.shape[0]
    spread = 0.045 + 0.06 * finding.size
    hill = glow((CENTRE[0] + 0.01, CENTRE[1] + 0.01), (spread, spread * 0.8), size) + 0.45 * (
        clouds(rng, size, 0.05) - 0.5
    )
    membrane = filled([ellipse((CENTRE[0] - 0.005, CENTRE[1]), (spread * 0.55, spread * 0.42), 0.4)], size, 0.008)
    picture = blend(picture, (0.36, 0.04, 0.05), 0.92 * step(hill, 0.50, 0.12))
    return blend(picture, (0.62, 0.58, 0.44), 0.85 * membrane)


def _rim_notch(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    notch: Mask = filled([ellipse((NERVE[0] - 0.006, NERVE[1] + 0.040), (0.020, 0.016))], picture.shape[0], 0.004)
    return blend(picture, (1.0, 0.93, 0.74), 0.9 * notch)


def _disc_haemorrhage(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    outlines = [
        ellipse((NERVE[0] - 0.034, NERVE[1] + 0.060 + shift), (0.020, 0.0030), 2.25) for shift in (-0.004, 0.0, 0.004)
    ]
    return blend(picture, (0.58, 0.03, 0.03), 0.92 * filled(outlines, picture.shape[0], 0.001))


def _macular_star(picture: Picture, finding: Finding, rng: np.random.Generator) -> Picture:
    places = []
    for angle in np.linspace(0, 2 * np.pi, 14, endpoint=False):
        for reach in np.arange(0.022, 0.05 + 0.035 * finding.size, 0.0085):
            turn = angle + rng.normal(0, 0.03)
            places.append(
                (CENTRE[0] + reach * np.cos(turn), CENTRE[1] + reach * np.sin(turn), float(rng.uniform(0.002, 0.0038)))
            )
    return blend(picture, (0.99, 0.90, 0.55), 0.92 * spots(places, picture.shape[0], 0.0008))


SIGNS: dict[str, Sign] = {
    "microaneurysms": _microaneurysms,
    "blot haemorrhages": _blot_haemorrhages,
    "flame haemorrhages": _flame_haemorrhages,
    "hard exudates": _hard_exudates,
    "cotton wool spots": _cotton_wool_spots,
    "new vessels at the disc": _disc_new_vessels,
    "new vessels elsewhere": _new_vessels_elsewhere,
    "preretinal haemorrhage": _preretinal_haemorrhage,
    "laser scars": _laser_scars,
    "drusen": _drusen,
    "geographic atrophy": _geographic_atrophy,
    "subretinal haemorrhage": _subretinal_haemorrhage,
    "rim notch": _rim_notch,
    "disc haemorrhage": _disc_haemorrhage,
    "macular star": _macular_star,
    "arteriovenous nipping": _unchanged,
    "disc swelling": _unchanged,
    "cataract haze": _unchanged,
}
