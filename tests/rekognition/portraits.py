"""Pictures with faces that a program can tell apart: squares of light and dark cells.

A face is a block of 10 x 10 cells: a dark ring, and in it 64 cells that hold who it is, which
picture of that person it is, how sharp it is, and a checksum. What is around it is neither light
nor dark. The code lies in the brightness alone, so it survives JPEG at quality 80 and halving;
a cell needs 2 pixels, so a face can be read down to 20 pixels, whatever share of the picture that
is. (A face narrower and lower than 3 % needs a picture of some 1000 x 800 pixels.)
"""

from __future__ import annotations

import colorsys
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

CELLS = 10
"""Cells along a side of a face, the ring included."""

SMALLEST_PX = 2 * CELLS
"""Sides shorter than this can't be read."""

PERSON_BITS, VARIATION_BITS, SHARPNESS_BITS, CHECK_BITS = 24, 8, 7, 25

# Brightness of what is around faces; the cells are below 50 or above 205.
_GROUND = (100.0, 150.0)
_GAP_PX = 8


@dataclass(frozen=True)
class Face:
    """A face to draw: `person` below 2**24, `variation` below 2**8, `sharpness` 0..100.

    `box` is left, top and side in pixels; None: a place is found.
    """

    person: int
    variation: int = 0
    sharpness: int = 90
    box: tuple[int, int, int] | None = None


def draw(*faces: Face, size: tuple[int, int] = (400, 300), ground: int = 0) -> Image.Image:
    """A picture of these faces; `ground` makes another one of the same faces.

    Faces without a box stand in a grid, each a little smaller than the one before it. Raises
    `ValueError` where a face would leave the picture, touch another one, or be too small.
    """
    placed = _placed(faces, size)
    _refuse_bad_places(placed, size)
    image = _background(size, ground)
    for face in placed:
        assert face.box is not None
        left, top, side = face.box
        image.paste(_block(face, side), (left, top))
    return image


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """The picture as a JPEG file."""
    return _saved(image, "JPEG", quality=quality)


def png(image: Image.Image) -> bytes:
    """The picture as a PNG file."""
    return _saved(image, "PNG")


def photo(*faces: Face, size: tuple[int, int] = (400, 300), ground: int = 0) -> bytes:
    """A JPEG file of these faces, see `draw`."""
    return jpeg(draw(*faces, size=size, ground=ground))


def encode(person: int, variation: int, sharpness: int) -> int:
    """The 64 bits of a face."""
    limits = ((person, PERSON_BITS), (variation, VARIATION_BITS), (sharpness, SHARPNESS_BITS))
    if any(not 0 <= value < 1 << bits for value, bits in limits) or sharpness > 100:
        raise ValueError(f"no such face: {person}, {variation}, {sharpness}")
    told = ((person << VARIATION_BITS | variation) << SHARPNESS_BITS) | sharpness
    return told << CHECK_BITS | _checksum(told)


def decode(code: int) -> tuple[int, int, int] | None:
    """Person, variation and sharpness; None where the checksum says that it is no face."""
    told = code >> CHECK_BITS
    if code & ((1 << CHECK_BITS) - 1) != _checksum(told):
        return None
    sharpness = told & ((1 << SHARPNESS_BITS) - 1)
    rest = told >> SHARPNESS_BITS
    return rest >> VARIATION_BITS, rest & ((1 << VARIATION_BITS) - 1), sharpness


def _checksum(told: int) -> int:
    return zlib.crc32(told.to_bytes(8, "big")) & ((1 << CHECK_BITS) - 1)


def _placed(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    columns = max(1, math.ceil(math.sqrt(len(faces))))
    rows = max(1, math.ceil(len(faces) / columns))
    wide, high = size[0] // columns, size[1] // rows
    placed = []
    for number, face in enumerate(faces):
        side = round(min(wide, high) * 0.7) - 2 * number
        left = number % columns * wide + (wide - side) // 2
        top = number // columns * high + (high - side) // 2
        placed.append(replace(face, box=face.box or (left, top, side)))
    return placed


def _refuse_bad_places(faces: Sequence[Face], size: tuple[int, int]) -> None:
    taken = np.zeros((size[1], size[0]), bool)
    for face in faces:
        assert face.box is not None
        left, top, side = face.box
        if side < SMALLEST_PX:
            raise ValueError(f"a face of {side} px can't be read")
        if min(left, top) < 0 or left + side > size[0] or top + side > size[1]:
            raise ValueError(f"the face at {face.box} leaves the picture")
        before_x, before_y = max(left - _GAP_PX, 0), max(top - _GAP_PX, 0)
        if taken[before_y : top + side + _GAP_PX, before_x : left + side + _GAP_PX].any():
            raise ValueError(f"the face at {face.box} touches another one")
        taken[top : top + side, left : left + side] = True


def _background(size: tuple[int, int], ground: int) -> Image.Image:
    """A smooth pattern, so that files stay small."""
    noise = np.random.default_rng(ground).uniform(*_GROUND, (4, 5, 3))
    return Image.fromarray(noise.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)


def _block(face: Face, side: int) -> Image.Image:
    bits = np.array(
        [int(bit) for bit in f"{encode(face.person, face.variation, face.sharpness):064b}"]
    )
    cells = np.zeros((CELLS, CELLS), int)
    cells[1:-1, 1:-1] = bits.reshape(CELLS - 2, CELLS - 2)
    # A person's colour, for those who look at the pictures; it says nothing to the service.
    hue = face.person * 0.618 % 1
    colours = [colorsys.hls_to_rgb(hue, light, 0.6) for light in (0.08, 0.92)]
    palette = (np.array(colours) * 255).astype(np.uint8)
    return Image.fromarray(palette[cells]).resize((side, side), Image.Resampling.NEAREST)


def _saved(image: Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
