"""Faces cut out of the pictures that rows name, small enough for a page."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image

from runner.errors import RowOutcome
from runner.fetch import Base, Client, Limits, Policy
from runner.pictures import decode

SIDE = 192
"""Pixels of a crop at most, each way; some 8 kB as JPEG."""

MARGIN = 0.35
"""What is shown beside the face on each side, as a share of its larger side: hair and ears."""

THREADS = 4
"""Pictures that are downloaded at once: no host is asked for more, whoever's it is."""

_QUALITY = 82
_SHARPEST = 4_000
"""Short side, in pixels, that a picture is decoded to at most, however small the face in it is."""


class Box(NamedTuple):
    """A face's place, in shares of the upright picture's width and height."""

    left: float
    top: float
    width: float
    height: float


class Region(NamedTuple):
    """A face in a picture; without a usable box it is the whole picture."""

    url: str
    box: Box | None


@dataclass(frozen=True, slots=True)
class Source:
    """Where relative URLs lead, which addresses may be asked beside public ones, and what a
    picture may cost: bytes, seconds and pixels.
    """

    base_url: str | None = None
    allow: str = ""
    max_bytes: int = 50_000_000
    total_s: float = 30.0
    max_pixels: int = 100_000_000

    def client(self) -> Client:
        """A client for them; raises `UsageError` where a setting can't be used."""
        return Client(
            base=Base.parse(self.base_url) if self.base_url else None,
            limits=Limits(max_bytes=self.max_bytes, total_s=self.total_s),
            policy=Policy.parse(self.allow),
        )


Made = Mapping[Region, bytes | str]
"""Of each region a JPEG, or why there is none, in a sentence."""


def region(url: str | None, bounding_box: Any) -> Region | None:
    """A face's place as the database has it: `bounding_box` is {Left, Top, Width, Height} in
    shares, or whatever else an application wrote. None without an address.
    """
    if not url:
        return None
    return Region(url, _box(bounding_box))


def crops(
    client: Client, regions: Iterable[Region], max_pixels: int, tell: Callable[[int, int], None]
) -> Made:
    """The faces of these regions; each picture is downloaded and decoded once.

    `tell` is called after each picture with how many are done, of how many.
    """
    pictures: dict[str, list[Region]] = {}
    for wanted in dict.fromkeys(regions):
        pictures.setdefault(wanted.url, []).append(wanted)
    made: dict[Region, bytes | str] = {}
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="crops")
    try:
        futures = [
            pool.submit(_of_picture, client, url, wanted, max_pixels)
            for url, wanted in pictures.items()
        ]
        for done, future in enumerate(as_completed(futures), start=1):
            made.update(future.result())
            tell(done, len(futures))
    finally:
        # after Ctrl-C nothing more is begun
        pool.shutdown(cancel_futures=True)
    return made


def _of_picture(client: Client, url: str, wanted: Sequence[Region], max_pixels: int) -> Made:
    try:
        with client.get(url) as download:
            picture = decode(download.file, short_side=_needed(wanted), max_pixels=max_pixels)
    except RowOutcome as error:
        return dict.fromkeys(wanted, str(error))
    return {one: _crop(picture.image, one.box) for one in wanted}


def _needed(wanted: Sequence[Region]) -> int:
    """The short side that gives the smallest of the faces, with its margin, `SIDE` pixels."""
    shares = [max(one.box.width, one.box.height) if one.box else 1.0 for one in wanted]
    smallest = min(shares) * (1 + 2 * MARGIN)
    return min(_SHARPEST, max(SIDE, math.ceil(SIDE / smallest)))


def _crop(image: Image.Image, box: Box | None) -> bytes:
    # a copy in any case: other faces of the picture are cut out of it as well
    shown = image.copy() if box is None else image.crop(_square(box, *image.size))
    shown.thumbnail((SIDE, SIDE))
    shown.info = {}  # Pillow would write the file's comment into the crop
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def _square(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Pixels of a square around a face, moved into the picture, and cut where it can't be."""
    side = (1 + 2 * MARGIN) * max(box.width * width, box.height * height)
    left, right = _span((box.left + box.width / 2) * width, side, width)
    top, bottom = _span((box.top + box.height / 2) * height, side, height)
    return left, top, right, bottom


def _span(middle: float, length: float, limit: int) -> tuple[int, int]:
    begin = round(max(0.0, min(middle - length / 2, limit - length)))
    begin = min(begin, limit - 1)
    return begin, max(begin + 1, min(limit, round(begin + length)))


def _box(found: Any) -> Box | None:
    """The part of a box that is within the picture; None for what is no box or outside of it.

    A provider's box of a face at an edge may begin before 0 or end after 1.
    """
    if not isinstance(found, Mapping):
        return None
    numbers: list[Any] = [found.get(name) for name in ("Left", "Top", "Width", "Height")]
    # a number of JSON may be too large for a float, or none at all
    if not all(isinstance(n, (int, float)) and -1 <= n <= 2 for n in numbers):
        return None
    left, top, width, height = map(float, numbers)
    right, bottom = min(1.0, left + width), min(1.0, top + height)
    left, top = max(0.0, left), max(0.0, top)
    return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None
