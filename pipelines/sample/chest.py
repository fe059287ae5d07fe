"""A schematic frontal chest film: anatomy as attenuation, then exposed like a film.

The patient faces the reader: the patient's right lies on the left of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image

from pipelines.sample.chest_signs import BORDER, add_signs, collapse
from pipelines.sample.masks import Line, Mask, Point, clouds, ellipse, filled, glow, smooth, spots, stroked
from pipelines.sample.scene import Scene

THORAX_WIDTH = 0.79
HEART_WIDTH = 0.275
HEART_MIDLINE = 0.485
LUNG: tuple[Point, ...] = (
    (0.335, 0.125), (0.40, 0.165), (0.435, 0.28), (0.445, 0.42), (0.44, 0.55), (0.42, 0.66), (0.385, 0.745),
    (0.30, 0.712), (0.235, 0.722), (0.17, 0.765), (0.118, 0.845), (0.105, 0.82), (0.106, 0.72), (0.115, 0.58),
    (0.14, 0.42), (0.18, 0.28), (0.235, 0.175), (0.285, 0.13),
)  # fmt: skip
HEART: tuple[Point, ...] = (
    (0.46, 0.40), (0.42, 0.47), (0.405, 0.56), (0.412, 0.65), (0.44, 0.75), (0.52, 0.785), (0.62, 0.785),
    (0.668, 0.735), (0.675, 0.69), (0.655, 0.61), (0.615, 0.52), (0.59, 0.455), (0.585, 0.41), (0.54, 0.36),
)  # fmt: skip
BODY: tuple[Point, ...] = (
    (0.41, -0.05), (0.415, 0.03), (0.36, 0.085), (0.22, 0.13), (0.06, 0.19), (-0.02, 0.30), (0.0, 0.45),
    (0.012, 0.62), (0.015, 0.80), (0.01, 1.05), (0.99, 1.05), (0.985, 0.80), (0.988, 0.62), (1.0, 0.45),
    (1.02, 0.30), (0.94, 0.19), (0.78, 0.13), (0.64, 0.085), (0.585, 0.03), (0.59, -0.05),
)  # fmt: skip


def draw_chest(scene: Scene, size: int) -> Image.Image:
    """The film of a scene, greyscale, `size` by `size` pixels."""
    rng = np.random.default_rng(scene.seed)
    lungs = lung_masks(size)
    heart = filled([heart_outline(scene.trait("heart", 0.45))], size, 0.006)
    lungs = {side: mask * (1 - 0.88 * heart) for side, mask in lungs.items()}
    aerated = {side: mask * collapse(scene, side, mask) for side, mask in lungs.items()}
    attenuation = _soft_tissue(lungs, size) + _skeleton(size) + _mediastinum(heart)
    attenuation += _vessels(rng, size, scene.trait("vessels", 1.0)) * (aerated["right"] + aerated["left"])
    attenuation += 0.05 * clouds(rng, size, 0.12) * (aerated["right"] + aerated["left"])
    attenuation = add_signs(attenuation, scene, lungs, rng)
    return _expose(attenuation, scene, rng)


@lru_cache(maxsize=4)
def lung_masks(size: int) -> dict[str, Mask]:
    """The aerated field of each lung by the patient's side."""
    right = smooth(LUNG)
    left = [(1 - x, y + (0.022 if y > 0.6 else 0.0)) for x, y in right]
    return {"right": filled([right], size, BORDER), "left": filled([left], size, BORDER)}


def heart_outline(ratio: float) -> list[Point]:
    """The heart scaled to a cardiothoracic ratio; it grows to the left more than to the right, and a little down."""
    scale = ratio * THORAX_WIDTH / HEART_WIDTH
    tall = 1 + (scale - 1.3) * 0.25
    return smooth([(HEART_MIDLINE + (x - 0.50) * scale, 0.74 + (y - 0.74) * tall) for x, y in HEART])


def mirrored(lines: Sequence[Line]) -> list[Line]:
    """The lines and their mirror images about the midline."""
    return [*lines, *(([(1 - x, y) for x, y in points], width) for points, width in lines)]


def _soft_tissue(lungs: dict[str, Mask], size: int) -> Mask:
    body, bubble = _trunk(size)
    axis: Mask = np.asarray((np.arange(size) + 0.5) / size, dtype=np.float32)
    thickness = 0.78 + 0.24 * np.exp(-(((axis - 0.5) / 0.16) ** 2))[None, :] + 0.16 * (axis[:, None] - 0.5)
    below = step_down(axis)
    tissue = body * (thickness + 0.42 * below)
    both = np.clip(lungs["right"] + lungs["left"], 0, 1)
    return np.asarray(tissue * (1 - 0.80 * both) - 0.5 * bubble, dtype=np.float32)


@lru_cache(maxsize=4)
def _trunk(size: int) -> tuple[Mask, Mask]:
    """The outline of the body and the gas in the stomach."""
    body = filled([smooth(BODY)], size, 0.006)
    return body, filled([ellipse((0.70, 0.865), (0.06, 0.035), -0.15)], size, 0.008)


def step_down(axis: Mask) -> Mask:
    """How much of the ray passes below the diaphragm, by height (column vector)."""
    t = np.clip((axis[:, None] - 0.64) / 0.2, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


@lru_cache(maxsize=4)
def _skeleton(size: int) -> Mask:
    outer, inner, front = [], [], []
    for index in range(10):
        y = 0.105 + 0.068 * index
        wall = float(np.interp(y + 0.055, [0.1, 0.2, 0.3, 0.45, 0.6, 0.85], [0.27, 0.21, 0.165, 0.125, 0.105, 0.095]))
        back = smooth([(0.455, y + 0.012), (0.36, y - 0.014), (0.25, y + 0.004), (wall, y + 0.06)], closed=False)
        outer.append((back, 0.021))
        inner.append((back, 0.012))
        if 0 < index < 7:
            arc = [(wall, y + 0.06), (wall + 0.02, y + 0.10), (0.27, y + 0.155), (0.345, y + 0.175)]
            front.append((smooth(arc, closed=False), 0.024))
    collar = smooth([(0.468, 0.178), (0.40, 0.150), (0.30, 0.138), (0.19, 0.105), (0.10, 0.115)], closed=False)
    blade = smooth([(0.05, 0.21), (0.17, 0.19), (0.145, 0.33), (0.105, 0.46), (0.075, 0.36)])
    bones = 0.22 * stroked(mirrored(outer), size, 0.002) - 0.09 * stroked(mirrored(inner), size, 0.003)
    bones += 0.085 * stroked(mirrored(front), size, 0.003)
    bones += 0.22 * stroked(mirrored([(collar, 0.030)]), size, 0.002)
    bones -= 0.08 * stroked(mirrored([(collar, 0.015)]), size, 0.003)
    bones += 0.12 * filled([blade, [(1 - x, y) for x, y in blade]], size, 0.004)
    vertebrae = [ellipse((0.5, 0.05 + 0.066 * i), (0.048, 0.026)) for i in range(15)]
    return np.asarray(bones + 0.16 * filled(vertebrae, size, 0.005), dtype=np.float32)


def _mediastinum(heart: Mask) -> Mask:
    size = heart.shape[0]
    column = smooth([(0.455, 0.08), (0.452, 0.20), (0.442, 0.32), (0.445, 0.50), (0.56, 0.50), (0.575, 0.40),
                     (0.585, 0.33), (0.565, 0.24), (0.545, 0.16), (0.54, 0.08)])  # fmt: skip
    knob = spots([(0.568, 0.285, 0.044)], size, 0.006)
    aorta = stroked(
        [(smooth([(0.575, 0.29), (0.592, 0.42), (0.575, 0.6), (0.55, 0.78)], closed=False), 0.04)], size, 0.01
    )
    windpipe = stroked([([(0.497, -0.02), (0.500, 0.335)], 0.034), ([(0.5, 0.335), (0.445, 0.405)], 0.024),
                        ([(0.5, 0.335), (0.56, 0.41)], 0.021)], size, 0.006)  # fmt: skip
    middle = np.maximum(filled([column], size, 0.008), knob)
    shade = np.maximum(0.22 * heart, 0.36 * middle) + 0.06 * heart * middle + 0.10 * aorta
    hila = 0.20 * glow((0.415, 0.44), (0.028, 0.05), size) + 0.20 * glow((0.60, 0.42), (0.026, 0.045), size)
    return np.asarray(shade + hila - 0.30 * windpipe, dtype=np.float32)


def _vessels(rng: np.random.Generator, size: int, strength: float) -> Mask:
    fine: list[Line] = []
    for x, y, facing in ((0.415, 0.44, np.pi), (0.595, 0.42, 0.0)):
        for turn in np.linspace(-1.25, 1.25, 8):
            down = 1.0 if np.cos(facing) > 0 else -1.0
            _branch(rng, fine, (x, y), (facing + turn * down, 0.0125, 5))
    return np.asarray(0.24 * strength * stroked(fine, size, 0.0022, taper=0.7), dtype=np.float32)


def _branch(rng: np.random.Generator, into: list[Line], start: Point, shoot: tuple[float, float, int]) -> None:
    """Grows one vessel and its daughters; a shoot is (direction, width, generations left)."""
    angle, width, generations = shoot
    if generations == 0 or width < 0.0016:
        return
    length = 0.045 + 0.035 * rng.random()
    bend = angle + rng.normal(0, 0.18)
    middle = (start[0] + length / 2 * np.cos(angle), start[1] + length / 2 * np.sin(angle))
    end = (middle[0] + length / 2 * np.cos(bend), middle[1] + length / 2 * np.sin(bend))
    into.append(([start, middle, end], width))
    for spread in (-0.33, 0.33):
        _branch(rng, into, end, (bend + spread + rng.normal(0, 0.12), width * 0.66, generations - 1))


def _expose(attenuation: Mask, scene: Scene, rng: np.random.Generator) -> Image.Image:
    size = attenuation.shape[0]
    light = 1 - np.exp(-scene.trait("exposure", 1.0) * 1.15 * np.clip(attenuation, 0, None))
    light = 0.03 + 0.97 * np.clip(light, 0, 1) ** 1.12
    light += 0.010 * rng.standard_normal(light.shape, dtype=np.float32) + 0.03 * (clouds(rng, size, 0.4) - 0.5)
    film = Image.fromarray(np.asarray(np.clip(light, 0, 1) * 255, dtype=np.uint8))
    turn, breadth = scene.trait("rotation", 0.0), scene.trait("breadth", 1.0)
    # A turned film is enlarged a little, so that no empty corner comes into view.
    zoom = 1 + abs(turn) * 0.035
    if turn or breadth != 1.0:
        cos, sin, half = np.cos(np.radians(turn)), np.sin(np.radians(turn)), size / 2
        cos, sin = cos / zoom, sin / zoom
        matrix = (
            *(cos / breadth, sin / breadth, half - half * (cos + sin) / breadth),
            *(-sin, cos, half - half * (cos - sin)),
        )
        film = film.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return film
