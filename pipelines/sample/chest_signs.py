"""The abnormal signs and devices of a chest film, added to its attenuation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipelines.sample.masks import Line, Mask, Point, clouds, ellipse, filled, glow, smooth, spots, step, stroked
from pipelines.sample.scene import Finding, Scene

BORDER = 0.005
HEIGHTS = {"upper": 0.30, "mid": 0.46, "lower": 0.65, "": 0.5}
FISSURE = 0.445

Lungs = dict[str, Mask]
Sign = Callable[[Finding, Lungs, np.random.Generator], Mask]


def add_signs(attenuation: Mask, scene: Scene, lungs: Lungs, rng: np.random.Generator) -> Mask:
    """The attenuation with every finding of the scene drawn into it; an unknown finding is a KeyError."""
    for finding in scene.findings:
        attenuation = attenuation + SIGNS[finding.name](finding, lungs, rng)
    return attenuation


def collapse(scene: Scene, side: str, lung: Mask) -> Mask:
    """1 where the lung still touches the chest wall, 0 in the air around a collapsed lung."""
    size = lung.shape[0]
    for finding in scene.named("pneumothorax"):
        if finding.side == side:
            return filled([_retracted(finding)], size, BORDER)
    return np.ones_like(lung)


def facing(point: Point, side: str) -> Point:
    """A point given for the patient's right lung, moved to the patient's side."""
    return point if side == "right" else (1 - point[0], point[1])


def _place(finding: Finding) -> Point:
    lateral = {"upper": 0.285, "mid": 0.27, "lower": 0.235, "": 0.27}[finding.zone]
    return facing((lateral, HEIGHTS[finding.zone]), finding.side)


def _retracted(finding: Finding) -> list[Point]:
    gap = 0.004 + 0.155 * finding.size
    drop = 0.012 + 0.215 * finding.size
    wall = [(0.43, 0.17 + drop), (0.37, 0.13 + drop), (0.30, 0.165 + drop), (0.186 + gap, 0.28 + drop * 0.8),
            (0.14 + gap, 0.45 + drop * 0.4), (0.112 + gap, 0.62), (0.12 + gap, 0.765), (0.30, 0.76), (0.45, 0.76),
            (0.47, 0.5)]  # fmt: skip
    return smooth([facing(point, finding.side) for point in wall])


def _pneumothorax(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    lung = lungs[finding.side]
    size = lung.shape[0]
    outline = _retracted(finding)
    inside = filled([outline], size, 0.002)
    edge = stroked([(outline[: int(len(outline) * 0.66)], 0.0045)], size, 0.001)
    return np.asarray(lung * (0.17 * edge - 0.075 * (1 - inside) + 0.05 * finding.size * inside), dtype=np.float32)


def _consolidation(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    lung = lungs[finding.side]
    size = lung.shape[0]
    x, y = _place(finding)
    radius = 0.085 + 0.085 * finding.size
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32) / size
    distance = np.hypot(columns - x, (rows - y) / 1.05) / radius
    patch = step(1.35 - distance + 1.3 * (clouds(rng, size, 0.10) - 0.5), 0.35, 0.75)
    if finding.zone == "upper" and finding.side == "right":
        patch *= 1 - step(rows, FISSURE, 0.012)
    hilum = facing((0.41, 0.44), finding.side)
    air: list[Line] = []
    for turn in (-0.5, -0.12, 0.25, 0.6):
        end = (x + radius * 0.8 * np.sin(turn * 3), y + radius * 0.75 * turn)
        middle = ((hilum[0] + 1.4 * x) / 2.4, (hilum[1] + 1.4 * y) / 2.4 + 0.03 * turn)
        air.append((smooth([hilum, middle, end], closed=False), 0.0075))
    tubes = stroked(air, size, 0.002, taper=0.4)
    return np.asarray(lung * patch * (0.62 + 0.18 * clouds(rng, size, 0.03) - 0.34 * tubes), dtype=np.float32)


def _effusion(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    lung = lungs[finding.side]
    size = lung.shape[0]
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    inward = np.clip(((axis if finding.side == "right" else 1 - axis) - 0.10) / 0.32, 0, 1)
    level = 0.815 - 0.42 * finding.size - 0.13 * (1 - inward) ** 2.6
    depth = axis[:, None] - level[None, :]
    fluid = step(depth, 0.0, 0.022)
    haze = step(depth, -0.01, 0.10)
    return np.asarray(lung * (0.86 * fluid + 0.14 * haze + 0.45 * np.clip(depth, 0, 1)), dtype=np.float32)


def _nodule(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    size = lungs["right"].shape[0]
    x, y = _place(finding)
    x, y = x + float(rng.uniform(-0.03, 0.03)), y + float(rng.uniform(-0.015, 0.015))
    radius = 0.012 + 0.035 * finding.size
    angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    wobble = 1 + rng.normal(0, 0.05, 14)
    outline = smooth(
        [(x + radius * w * np.cos(a), y + radius * w * np.sin(a)) for a, w in zip(angles, wobble, strict=True)]
    )
    return np.asarray(0.40 * filled([outline], size, 0.003), dtype=np.float32)


def _oedema(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    both = np.clip(lungs["right"] + lungs["left"], 0, 1)
    size = both.shape[0]
    wing = glow((0.34, 0.47), (0.075, 0.13), size) + glow((0.66, 0.46), (0.075, 0.13), size)
    haze = (0.35 + 0.55 * finding.size) * wing * (0.45 + 0.75 * clouds(rng, size, 0.05))
    lines: list[Line] = []
    for height in np.linspace(0.645, 0.785, 7):
        reach = 0.032 + 0.012 * float(rng.random())
        edge = float(np.interp(height, [0.58, 0.72, 0.82], [0.118, 0.110, 0.110]))
        lines += [([(edge, height), (edge + reach, height + 0.004)], 0.0032),
                  ([(1 - edge, height + 0.01), (1 - edge - reach, height + 0.014)], 0.0032)]  # fmt: skip
    return np.asarray(both * (haze + 0.17 * stroked(lines, size, 0.0008)), dtype=np.float32)


def _pacemaker(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    size = lungs["right"].shape[0]
    side = finding.side
    box = [
        facing((x, y), side)
        for x, y in ((0.16, 0.19), (0.235, 0.19), (0.25, 0.24), (0.225, 0.285), (0.165, 0.28), (0.148, 0.23))
    ]
    wire = [
        (0.235, 0.21),
        (0.33, 0.165),
        (0.43, 0.20),
        (0.46, 0.32),
        (0.455, 0.48),
        (0.47, 0.60),
        (0.55, 0.70),
        (0.63, 0.725),
    ]
    if side == "left":
        wire = [
            (0.765, 0.21),
            (0.67, 0.165),
            (0.56, 0.20),
            (0.468, 0.26),
            (0.452, 0.42),
            (0.462, 0.58),
            (0.54, 0.69),
            (0.63, 0.725),
        ]
    lead = stroked([(smooth(wire, closed=False), 0.0055)], size, 0.0006)
    return np.asarray(2.2 * filled([smooth(box)], size, 0.001) + 1.2 * lead, dtype=np.float32)


def _central_line(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    size = lungs["right"].shape[0]
    path = [
        facing((0.415, 0.02), finding.side),
        facing((0.435, 0.12), finding.side),
        (0.462, 0.22),
        (0.458, 0.33),
        (0.455, 0.41),
    ]
    return np.asarray(0.75 * stroked([(smooth(path, closed=False), 0.007)], size, 0.0006), dtype=np.float32)


def _endotracheal_tube(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    size = lungs["right"].shape[0]
    walls: list[Line] = [([(0.489, -0.02), (0.491, 0.24)], 0.004), ([(0.507, -0.02), (0.509, 0.235)], 0.006)]
    return np.asarray(0.55 * stroked(walls, size, 0.0006), dtype=np.float32)


def _cavity(finding: Finding, lungs: Lungs, rng: np.random.Generator) -> Mask:
    size = lungs["right"].shape[0]
    x, y = _place(finding)
    radius = 0.035 + 0.04 * finding.size
    ring = filled([ellipse((x, y), (radius * 1.05, radius), 0.3)], size, 0.004)
    hollow = spots([(x + 0.004, y - 0.003, radius * 0.66)], size, 0.004)
    return np.asarray(0.46 * ring - 0.40 * hollow, dtype=np.float32)


SIGNS: dict[str, Sign] = {
    "pneumothorax": _pneumothorax,
    "consolidation": _consolidation,
    "effusion": _effusion,
    "nodule": _nodule,
    "cavity": _cavity,
    "oedema": _oedema,
    "pacemaker": _pacemaker,
    "central line": _central_line,
    "endotracheal tube": _endotracheal_tube,
}
