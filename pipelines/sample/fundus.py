"""A schematic fundus photograph: disc, macula and vessels, drawn as a right eye and mirrored for a left one.

In a right eye the disc lies on the right of the image (the nasal side), in a left eye on the left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pipelines.sample.fundus_signs import add_signs
from pipelines.sample.masks import Line, Mask, Point, clouds, ellipse, filled, glow, smooth, spots, step, stroked
from pipelines.sample.palette import Colour, Picture, blend
from pipelines.sample.scene import Scene

DISC: Point = (0.675, 0.485)
DISC_RADIUS = 0.068
FOVEA: Point = (0.385, 0.515)
FIELD_RADIUS = 0.47
ARCADES: tuple[tuple[Point, ...], ...] = (
    ((0.675, 0.485), (0.665, 0.385), (0.57, 0.255), (0.42, 0.195), (0.27, 0.215), (0.13, 0.31)),
    ((0.675, 0.485), (0.660, 0.590), (0.56, 0.735), (0.41, 0.800), (0.26, 0.775), (0.13, 0.68)),
    ((0.675, 0.485), (0.715, 0.390), (0.78, 0.295), (0.86, 0.235)),
    ((0.675, 0.485), (0.720, 0.585), (0.79, 0.685), (0.87, 0.745)),
)
RETINA: Colour = (0.80, 0.37, 0.15)
VEIN: Colour = (0.40, 0.05, 0.06)
ARTERY: Colour = (0.64, 0.15, 0.09)


def draw_fundus(scene: Scene, size: int) -> Image.Image:
    """The photograph of a scene, colour, `size` by `size` pixels, black outside the round field."""
    rng = np.random.default_rng(scene.seed)
    picture = _retina(scene, size, rng)
    picture = _disc(picture, scene)
    picture = _vessels(picture, scene, rng)
    picture = add_signs(picture, scene, rng)
    return _photograph(picture, scene, rng)


def _retina(scene: Scene, size: int, rng: np.random.Generator) -> Picture:
    pigment = scene.trait("pigment", 0.5)
    base = np.asarray(RETINA, dtype=np.float32) * (1.12 - 0.28 * pigment)
    picture = np.broadcast_to(base, (size, size, 3)).astype(np.float32)
    picture = blend(picture, (0.90, 0.48, 0.20), 0.45 * glow((0.5, 0.5), (0.28, 0.28), size))
    picture = blend(picture, (0.62, 0.20, 0.08), 0.40 * clouds(rng, size, 0.06) * (0.6 + 0.5 * pigment))
    picture = blend(picture, (0.45, 0.13, 0.05), 0.55 * glow(FOVEA, (0.065, 0.060), size))
    picture = blend(picture, (0.34, 0.08, 0.04), 0.45 * glow(FOVEA, (0.022, 0.022), size))
    return blend(picture, (1.0, 0.82, 0.60), 0.65 * glow((FOVEA[0] + 0.004, FOVEA[1] - 0.003), (0.0045, 0.0045), size))


def _disc(picture: Picture, scene: Scene) -> Picture:
    size = picture.shape[0]
    swollen = scene.named("disc swelling")
    edge = 0.020 if swollen else 0.004
    radius = DISC_RADIUS * (1.22 if swollen else 1.0)
    tint: Colour = (0.96, 0.62, 0.40) if swollen else (0.95, 0.62, 0.34)
    halo = filled([ellipse(DISC, (radius * 1.12, radius * 1.2))], size, 0.010)
    picture = blend(picture, (0.93, 0.58, 0.33), 0.45 * halo)
    picture = blend(picture, tint, 0.96 * filled([ellipse(DISC, (radius * 0.93, radius))], size, edge))
    if swollen:
        return picture
    ratio = scene.trait("cup", 0.3)
    centre = (DISC[0] - 0.004, DISC[1] + 0.002)
    hollow = ellipse(centre, (DISC_RADIUS * 0.93 * ratio, DISC_RADIUS * min(ratio * 1.04, 0.96)))
    picture = blend(picture, (1.0, 0.93, 0.74), 0.95 * filled([hollow], size, 0.005))
    rim = stroked([([*hollow, hollow[0]], 0.003)], size, 0.002)
    return blend(picture, (0.80, 0.52, 0.30), 0.35 * rim * (ratio > 0.5))


def _vessels(picture: Picture, scene: Scene, rng: np.random.Generator) -> Picture:
    size = picture.shape[0]
    narrow = scene.trait("artery", 1.0)
    veins, arteries = _tree(rng, 0.0125, 0.0), _tree(rng, 0.0092 * narrow, 0.020)
    picture = blend(picture, VEIN, 0.86 * stroked(veins, size, 0.0011, taper=0.75))
    nipping = scene.named("arteriovenous nipping")
    if nipping:
        gaps = stroked([(points, width * 2.6) for points, width in arteries[:4]], size, 0.002)
        picture = blend(picture, RETINA, 0.75 * gaps * (1 - spots([(*DISC, 0.11)], size, 0.02)))
    shine = (0.98, 0.72, 0.42) if nipping else (0.90, 0.50, 0.28)
    picture = blend(picture, ARTERY, 0.84 * stroked(arteries, size, 0.0011, taper=0.75))
    reflex = [(points, width * (0.42 if nipping else 0.30)) for points, width in arteries[:4]]
    return blend(picture, shine, 0.65 * stroked(reflex, size, 0.0006, taper=0.6))


def _tree(rng: np.random.Generator, width: float, offset: float) -> list[Line]:
    """Four arcades with side branches; the arcades come first."""
    trunks: list[Line] = []
    twigs: list[Line] = []
    for number, arcade in enumerate(ARCADES):
        away = (1 if number % 2 == 0 else -1) * offset
        shifted = [(x + away * 0.3 + rng.normal(0, 0.005), y + away + rng.normal(0, 0.008)) for x, y in arcade[1:]]
        curve = smooth([arcade[0], *shifted], closed=False, steps=10)
        local = width * (1.0 if number < 2 else 0.72)
        trunks.append((curve, local))
        for index in range(8, len(curve) - 6, 6):
            _twig(rng, twigs, (curve, index), (local * (0.62 - 0.15 * index / len(curve)), 3))
    return trunks + twigs


def _twig(rng: np.random.Generator, into: list[Line], origin: tuple[list[Point], int], grow: tuple[float, int]) -> None:
    """Grows one side branch off a curve at an index; grow is (width, generations left)."""
    (curve, index), (width, generations) = origin, grow
    start, after = curve[index], curve[index + 1]
    sense = 1.0 if (index // 6) % 2 == 0 else -1.0
    angle = np.arctan2(after[1] - start[1], after[0] - start[0]) + sense * rng.uniform(0.45, 0.85)
    points, length = [start], rng.uniform(0.018, 0.026) * (0.6 + 0.2 * generations)
    for _ in range(7):
        angle += rng.normal(0, 0.16) - sense * 0.05
        x, y = points[-1][0] + length * np.cos(angle), points[-1][1] + length * np.sin(angle)
        if np.hypot(x - FOVEA[0], y - FOVEA[1]) < 0.065 or np.hypot(x - 0.5, y - 0.5) > 0.49:
            break
        points.append((float(x), float(y)))
    if len(points) < 4:
        return
    into.append((smooth(points, closed=False, steps=4), width))
    if generations > 1:
        _twig(rng, into, (points, 1 + int(rng.integers(1, len(points) - 2))), (width * 0.6, generations - 1))


def _photograph(picture: Picture, scene: Scene, rng: np.random.Generator) -> Image.Image:
    size = picture.shape[0]
    haze = max((finding.size for finding in scene.named("cataract haze")), default=0.0)
    picture = picture * (0.68 + 0.36 * glow((0.5, 0.5), (0.36, 0.36), size))[:, :, None]
    if haze:
        sheet = Image.fromarray(_bytes(picture)).filter(ImageFilter.GaussianBlur(size * (0.003 + 0.012 * haze)))
        picture = np.asarray(np.asarray(sheet) / 255, dtype=np.float32)
        veil: Mask = (0.25 + 0.40 * haze) * (0.75 + 0.25 * clouds(rng, size, 0.3))
        picture = blend(picture, (0.80, 0.66, 0.44), veil)
    picture = picture + 0.010 * rng.standard_normal((size, size, 1), dtype=np.float32)
    picture = blend(np.zeros_like(picture) + 0.015, picture, _field(size))
    sheet = Image.fromarray(_bytes(picture))
    return sheet if scene.side == "right" else sheet.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _field(size: int) -> Mask:
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    return 1 - step(np.hypot(axis[:, None], axis[None, :]), FIELD_RADIUS, 0.008)


def _bytes(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(np.clip(picture, 0, 1) * 255, dtype=np.uint8)
