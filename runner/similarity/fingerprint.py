"""What is kept of a picture so that it need never be fetched again to be compared."""

from __future__ import annotations

from dataclasses import dataclass

from runner.pictures import Picture
from runner.similarity import coarse, hashes, thumbnail

ALGORITHM = "windows5-phash64+webp160k"
VERSION = 1
"""Raised whenever any part of a fingerprint, or what `compare` makes of it, changes."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Computed once a picture; two of one `algorithm` and `version` can be compared.

    `width` and `height` are the original's, in pixels. `hashes` are signed 64-bit integers for
    candidate search, None for a window without anything to hash. `coarse` (`coarse.BYTES` bytes)
    serves `rank`, `thumbnail` (WebP, mostly under 10 kB) serves `compare`.
    """

    width: int
    height: int
    hashes: tuple[int | None, ...]
    coarse: bytes
    thumbnail: bytes
    algorithm: str = ALGORITHM
    version: int = VERSION

    @property
    def flat(self) -> bool:
        """Whether there is nothing to see, so that no hash can say anything."""
        return all(value is None for value in self.hashes)

    @property
    def size(self) -> int:
        """Bytes to be stored."""
        return len(self.coarse) + len(self.thumbnail) + 8 * len(self.hashes)


def fingerprint(picture: Picture) -> Fingerprint:
    """The fingerprint of a decoded picture; depends on its pixels alone."""
    gray = picture.image.convert("L")
    small = thumbnail.encode(gray)
    kept = thumbnail.decode(small)
    return Fingerprint(
        width=picture.width,
        height=picture.height,
        hashes=hashes.hashes(kept),
        coarse=coarse.coarse(kept),
        thumbnail=small,
    )
