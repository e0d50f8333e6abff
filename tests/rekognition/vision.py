"""Reads pictures: which files Rekognition takes, and the faces that `portraits` drew in them."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps
from scipy import ndimage

from tests.rekognition.errors import ServiceError
from tests.rekognition.portraits import CELLS, SMALLEST_PX, decode

LEAST_PX = 80
"""Of width and height; developer guide, "Guidelines and quotas"."""

# Larger pictures are read at a fraction of their size, with at least as many pixels a side.
_READ_PX = 1024
_DARK = 75
_LIGHT = 128
_ORIENTATION = 0x0112
_REMEMBERED = 2048

# Share of a crop's height or width that a side of a ring takes at least, with 2 pixels around it.
_SIDE = 0.7

# Of the cells within the ring, as shares of a face's side.
_MIDDLES = (np.arange(1, CELLS - 1) + 0.5) / CELLS

Mask = npt.NDArray[np.bool_]
Brightness = npt.NDArray[np.uint8] | npt.NDArray[np.float64]


class Edges(NamedTuple):
    """A part of a picture, in pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top

    @property
    def is_square(self) -> bool:
        """To a tenth, and to the 4 pixels that both sides may be off."""
        return abs(self.width - self.height) <= max(4, self.width // 10)


@dataclass(frozen=True)
class Box:
    """Edges as shares of the picture's width and height."""

    left: float
    top: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Share of the picture."""
        return self.width * self.height


@dataclass(frozen=True)
class SeenFace:
    """A face in a picture: who, which picture of them, how sharp (0..100), and where."""

    person: int
    variation: int
    sharpness: int
    box: Box


class Eye:
    """Finds the faces of a picture, the largest first; remembers what it saw lately."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[SeenFace, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def faces(self, picture: bytes) -> tuple[str, tuple[SeenFace, ...]]:
        """The picture's SHA-256, and its faces.

        Raises `ServiceError`: InvalidImageFormatException where it is no whole JPEG or PNG file,
        InvalidParameterException below 80 px, ImageTooLargeException where Pillow fears a bomb.
        """
        digest = sha256(picture).hexdigest()
        with self._lock:
            if digest in self._seen:
                self._seen.move_to_end(digest)
                return digest, self._seen[digest]
        found = tuple(_find(_opened(picture)))
        with self._lock:
            self._seen[digest] = found
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return digest, found


def _opened(picture: bytes) -> Image.Image:
    """The brightness of a picture, upright."""
    try:
        with Image.open(io.BytesIO(picture), formats=["JPEG", "PNG"]) as image:
            if min(image.size) < LEAST_PX:
                raise ServiceError("InvalidParameterException", "Request has invalid parameters")
            image.draft("L", (_READ_PX, _READ_PX))
            is_turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1) != 1
            upright = ImageOps.exif_transpose(image) if is_turned else image
            grey = upright.convert("L")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ServiceError("ImageTooLargeException", "Image has too many pixels") from error
    except (OSError, SyntaxError, ValueError) as error:
        message = "Request has invalid image format"
        raise ServiceError("InvalidImageFormatException", message) from error
    shrink = min(grey.size) // _READ_PX
    return grey.reduce(shrink) if shrink > 1 else grey


def _find(grey: Image.Image) -> list[SeenFace]:
    bright = np.asarray(grey)
    dark = bright < _DARK
    found = []
    for candidate in _candidates(dark):
        edges = _refined(dark, candidate)
        told = _read(bright, edges) if edges is not None else None
        if edges is not None and told is not None:
            found.append(SeenFace(*told, _share(edges, grey.size)))
    return sorted(found, key=lambda face: (-face.box.area, face.box.left, face.box.top))


def _candidates(dark: Mask) -> Iterator[Edges]:
    """Connected dark areas that are about square, to 2 pixels: at half the size, for speed."""
    height, width = (side // 2 * 2 for side in dark.shape)
    whole = dark[:height, :width]
    half = whole[::2, ::2] | whole[1::2, ::2] | whole[::2, 1::2] | whole[1::2, 1::2]
    areas, _ = ndimage.label(half)
    for rows, columns in ndimage.find_objects(areas):
        edges = Edges(columns.start * 2, rows.start * 2, columns.stop * 2, rows.stop * 2)
        if edges.is_square and edges.width >= SMALLEST_PX - 2:
            yield edges


def _refined(dark: Mask, edges: Edges) -> Edges | None:
    """The same area to the pixel: from the first to the last side of a ring, which is all dark."""
    left, top = max(edges.left - 2, 0), max(edges.top - 2, 0)
    crop = dark[top : edges.bottom + 2, left : edges.right + 2]
    columns = (np.count_nonzero(crop, axis=0) > _SIDE * crop.shape[0]).nonzero()[0]
    rows = (np.count_nonzero(crop, axis=1) > _SIDE * crop.shape[1]).nonzero()[0]
    if not columns.size or not rows.size:
        return None
    return Edges(
        left + int(columns[0]), top + int(rows[0]),
        left + int(columns[-1]) + 1, top + int(rows[-1]) + 1,
    )  # fmt: skip


def _read(bright: Brightness, edges: Edges) -> tuple[int, int, int] | None:
    """Who is in this square, by the middle of each cell; None where it is no face."""
    rows = _between(bright, edges.top + _MIDDLES * edges.height - 0.5)
    cells = _between(rows.T, edges.left + _MIDDLES * edges.width - 0.5).T
    return decode(int.from_bytes(np.packbits(cells > _LIGHT).tobytes(), "big"))


def _between(rows: Brightness, places: npt.NDArray[np.float64]) -> Brightness:
    """Rows at places that aren't whole numbers, by linear interpolation."""
    whole = places.astype(int)
    part = (places - whole)[:, None]
    between: Brightness = rows[whole] * (1 - part) + rows[whole + 1] * part
    return between


def _share(edges: Edges, size: tuple[int, int]) -> Box:
    wide, high = size
    return Box(edges.left / wide, edges.top / high, edges.width / wide, edges.height / high)
