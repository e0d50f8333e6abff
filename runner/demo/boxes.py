"""Boxes around a subject, and the two shapes in which annotation tools store them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MINIMUM_SHARE = 0.001
"""A box that keeps less of a crop than this is lost; nobody would annotate it."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box in shares (0..1) of the picture's width and height, its origin at the top left."""

    x: float
    y: float
    width: float
    height: float
    label: str = ""

    @property
    def share(self) -> float:
        """The share of the picture that the box covers."""
        return self.width * self.height

    def mirrored(self) -> Box:
        """The box in the picture mirrored left to right."""
        return Box(1 - self.x - self.width, self.y, self.width, self.height, self.label)

    def within(self, crop: Box) -> Box | None:
        """The visible part in shares of `crop`, or None where (almost) nothing of it is left."""
        left, top = max(self.x, crop.x), max(self.y, crop.y)
        right = min(self.x + self.width, crop.x + crop.width)
        bottom = min(self.y + self.height, crop.y + crop.height)
        if right <= left or bottom <= top:
            return None
        seen = Box(
            (left - crop.x) / crop.width,
            (top - crop.y) / crop.height,
            (right - left) / crop.width,
            (bottom - top) / crop.height,
            self.label,
        )
        return seen if seen.share >= MINIMUM_SHARE else None


WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def as_extent(box: Box) -> Mapping[str, Any]:
    """`{label, x, y, width, height}`, in shares."""
    return {
        "label": box.label,
        "x": round(box.x, 4),
        "y": round(box.y, 4),
        "width": round(box.width, 4),
        "height": round(box.height, 4),
    }


def as_corners(box: Box) -> Mapping[str, Any]:
    """`{label, topLeft: {x, y}, bottomRight: {x, y}}`, in shares."""
    return {
        "label": box.label,
        "topLeft": {"x": round(box.x, 4), "y": round(box.y, 4)},
        "bottomRight": {"x": round(box.x + box.width, 4), "y": round(box.y + box.height, 4)},
    }
