"""One step of a payment: analyse its screenshot, rank its candidates, or compare it with them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import IO, Any

from runner.contract import Result, Row
from runner.errors import Permanent, Skip
from runner.fetch import Client
from runner.pictures import Picture, decode
from runner.pictures.exif import read
from runner.similarity import Comparison, Fingerprint, compare, fingerprint, rank
from runner.tasks.image_signals.signals import signals

HASH_NAME = "phash64"

CHUNK = 1 << 20

KEPT = ("sha256", "last", "ranked_bits", "ranked_sha256", "candidate_count", "crowded")
"""How far a ranking came, which the step after it goes on from."""

Json = Mapping[str, Any]


class Compute:
    """Called from several threads. A row has `step` (analyse) and `url`, or `comparison`."""

    def __init__(self, client: Client, *, max_pixels: int = 100_000_000) -> None:
        self._client = client
        self._max_pixels = max_pixels

    def __call__(self, row: Row) -> Result:
        """The step's result, which says in `step` what it is.

        Raises `Skip` without a URL, and what downloading and decoding raise.
        """
        if row["step"] == "analyse":
            return Result(self._analysis(row), more=True)
        comparison = row["comparison"]
        if comparison["step"] == "rank":
            return Result(ranked(comparison) | {"generation": row["generation"]}, more=True)
        return Result(compared(comparison) | {"generation": row["generation"]})

    def _analysis(self, row: Row) -> dict[str, Any]:
        url = row["url"]
        if not isinstance(url, str) or not url.strip():
            raise Skip("the payment has no screenshot")
        with self._client.get(url) as download:
            try:
                return {"url": url, **analysis(download.file, row["generation"], self._max_pixels)}
            except Permanent as error:
                raise Permanent(f"{download.url}: {error}", code=error.code) from error


def analysis(file: IO[bytes], generation: int, max_pixels: int) -> dict[str, Any]:
    """What is stored of a screenshot's file; raises `Permanent` where it is no picture."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    picture = decode(file, max_pixels=max_pixels)
    file.seek(0)
    return {
        "step": "analysis",
        "generation": generation,
        "sha256": digest.hexdigest(),
        "algorithm": f"{HASH_NAME} v{generation}",
        **_kept(picture),
        "signals": signals(picture, read(file)),
    }


def _kept(picture: Picture) -> dict[str, Any]:
    kept = fingerprint(picture)
    whole = kept.hashes[0]
    return {
        "hash": None if whole is None else f"{whole & (2**64 - 1):016x}",
        "picture": {
            "width": kept.width,
            "height": kept.height,
            "hashes": list(kept.hashes),
            "coarse": _text(kept.coarse),
            "thumbnail": _text(kept.thumbnail),
        },
    }


def ranked(comparison: Json) -> dict[str, Any]:
    """The likeliest of the next of a picture's many candidates and of the best so far."""
    pictures: Sequence[str] = comparison["pictures"] or []
    grids = _bytes(comparison["grids"] or "")
    size = len(grids) // max(1, len(pictures))
    coarse = [grids[i * size : (i + 1) * size] for i in range(len(pictures))]
    order = rank(_bytes(comparison["thumbnail"]), coarse)
    return {
        "step": "shortlist",
        "shortlist": [pictures[i] for i in order[: comparison["most"]]],
        **{name: comparison[name] for name in KEPT},
    }


def compared(comparison: Json) -> dict[str, Any]:
    """A picture's pairs with its candidates: those that show the same, or nearly."""
    if comparison["step"] == "settle":
        return {"step": "comparison", "pairs": []}
    mine = _fingerprint(comparison)
    return {
        "step": "comparison",
        "sha256": comparison["sha256"],
        "pairs": [
            pair
            for candidate in comparison["candidates"]
            if (pair := _pair(mine, candidate)) is not None
        ],
        "candidate_count": comparison["candidate_count"],
        "crowded": comparison["crowded"],
    }


def _pair(mine: Fingerprint, candidate: Json) -> dict[str, Any] | None:
    theirs = _fingerprint(candidate)
    found = compare(theirs, mine)
    if found.verdict == "different":
        return None
    return {
        "sha256": candidate["sha256"],
        "bits": candidate["bits"],
        "verdict": found.verdict,
        "percentage": found.percentage,
        # whichever payment is earlier is called the first, and the other way round reads otherwise
        "their_first": _told(found),
        "my_first": _told(compare(mine, theirs)),
    }


def _told(found: Comparison) -> dict[str, Any]:
    return {
        "sentences": list(found.explanation),
        "first_regions": [[r.left, r.top, r.width, r.height] for r in found.regions_a],
        "regions": [[r.left, r.top, r.width, r.height] for r in found.regions_b],
    }


def _fingerprint(stored: Json) -> Fingerprint:
    """What comparing needs of a stored picture."""
    return Fingerprint(
        width=stored["width"],
        height=stored["height"],
        hashes=(),
        coarse=b"",
        thumbnail=_bytes(stored["thumbnail"]),
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
