"""Boxes around a subject, and the shapes in which applications store them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 0.02
"""A box may reach this share of the picture outside of it, and is then cut off at the edge."""

SMALLEST = 1e-6


@dataclass(frozen=True, slots=True)
class Box:
    """A box in shares 0..1 of the picture's width and height, its origin at the top left."""

    x: float
    y: float
    width: float
    height: float

    @property
    def share(self) -> float:
        """The share of the picture that the box covers, 0..1."""
        return min(max(self.width * self.height, 0.0), 1.0)

    def as_json(self) -> dict[str, float]:
        """`{x, y, width, height}` with four decimals."""
        return {
            "x": round(self.x, 4),
            "y": round(self.y, 4),
            "width": round(self.width, 4),
            "height": round(self.height, 4),
        }


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around all of them."""
    found = list(boxes)
    left, top = min(b.x for b in found), min(b.y for b in found)
    right = max(b.x + b.width for b in found)
    bottom = max(b.y + b.height for b in found)
    return Box(left, top, right - left, bottom - top)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0..1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    common = max(width, 0.0) * max(height, 0.0)
    whole = one.width * one.height + other.width * other.height - common
    return common / whole if whole > 0 else 0.0


def from_edges(left: float, top: float, right: float, bottom: float) -> Box | None:
    """A box in shares from its edges, cut to the picture; None where nothing sensible is left."""
    edges = (left, top, right, bottom)
    if not all(math.isfinite(edge) for edge in edges):
        return None
    if min(edges) < -TOLERANCE or max(edges) > 1 + TOLERANCE:
        return None
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in edges)
    if right - left < SMALLEST or bottom - top < SMALLEST:
        return None
    return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a row's stored boxes say: their union, in which units, and what was ignored and why."""

    box: Box | None = None
    units: str | None = None
    notes: list[str] = field(default_factory=list)


Edges = tuple[float, float, float, float]


def read_stored(value: Any, width: int, height: int) -> Stored:
    """Read stored boxes: one or a list of `{topLeft, bottomRight}` or `{x, y, width, height}`.

    Boxes of one row are parts of one subject, so their union counts. Their units are taken
    from all of them together, where they don't say: shares if nothing exceeds 1, percent if
    nothing exceeds 100 (and the picture is larger), else pixels of a picture of `width` x
    `height`. Whatever makes no sense is left out, with a note.
    """
    notes: list[str] = []
    edges: list[Edges] = []
    for number, item in enumerate(_items(value, notes), 1):
        found = _edges(item)
        if found is None:
            notes.append(f"stored box {number} ignored: not a box")
        else:
            edges.append(found)
    if not edges:
        return Stored(notes=notes)
    units, across, down = _units(edges, width, height)
    boxes = []
    for left, top, right, bottom in edges:
        box = from_edges(left / across, top / down, right / across, bottom / down)
        if box is None:
            notes.append(f"stored box ignored: empty or outside the picture (as {units})")
        else:
            boxes.append(box)
    return Stored(union(boxes), units, notes) if boxes else Stored(notes=notes)


def _items(value: Any, notes: list[str]) -> Sequence[Any]:
    if value is None:
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            notes.append("stored boxes ignored: not JSON")
            return ()
    return value if isinstance(value, list) else () if value is None else (value,)


def _edges(item: Any) -> Edges | None:
    """Left, top, right, bottom in whatever units, or None where that is not a proper box."""
    if not isinstance(item, Mapping):
        return None
    if isinstance(item.get("topLeft"), Mapping) and isinstance(item.get("bottomRight"), Mapping):
        first, last = item["topLeft"], item["bottomRight"]
        numbers = [first.get("x"), first.get("y"), last.get("x"), last.get("y")]
    else:
        numbers = [item.get(name) for name in ("x", "y", "width", "height")]
        if all(_is_number(n) for n in numbers):
            numbers = [numbers[0], numbers[1], numbers[0] + numbers[2], numbers[1] + numbers[3]]
    if not all(_is_number(n) for n in numbers):
        return None
    left, top, right, bottom = (float(n) for n in numbers if n is not None)
    return (left, top, right, bottom) if right > left and bottom > top else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9


def _units(edges: Sequence[Edges], width: int, height: int) -> tuple[str, float, float]:
    """The units' name, and how many of them the picture is wide and high."""
    largest = max(max(box) for box in edges)
    if largest <= 1 + TOLERANCE:
        return "shares", 1, 1
    if largest <= 100 and max(width, height) > 100:
        return "percent", 100, 100
    return "pixels", max(width, 1), max(height, 1)
