"""Text density of drawn receipts, also as they are passed on, and of photographs.

    python -m tests.bench.text_density [picture ...]

The receipts are those of the eight apps that the constants were chosen on. The photographs are
those inside scikit-image, which is there after `make install`, and any that are given.
"""

from __future__ import annotations

import argparse
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from runner.pictures import decode
from runner.tasks.image_signals.density import text_density
from tests.bench.pictures import photographs
from tests.bench.receipts import any_receipt
from tests.bench.receipts_apps import DEVELOPED
from tests.bench.receipts_phones import PHONES

PASSED_ON: dict[str, tuple[float, int]] = {
    "50 %, JPEG 85": (0.5, 85),
    "70 %, JPEG 85": (0.7, 85),
    "140 %, JPEG 85": (1.4, 85),
    "200 %, JPEG 85": (2.0, 85),
    "JPEG 60": (1.0, 60),
    "JPEG 75": (1.0, 75),
    "JPEG 95": (1.0, 95),
}
"""Scale and quality."""


def scored(file: bytes) -> int:
    """The score of a picture's file, decoded as the task does it."""
    return text_density(decode(file).image)


def encoded(image: Image.Image, scale: float = 1, quality: int | None = None) -> bytes:
    """The picture as a JPEG of this quality, or as a PNG."""
    if scale != 1:
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    if quality is None:
        image.save(file, "PNG", compress_level=1)
    else:
        image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def receipts(photograph: Image.Image) -> None:
    """Print each app's scores, and how far each way to pass the receipts on moves them."""
    moved = defaultdict(list)
    originals, advertised = [], []
    for app in DEVELOPED:
        own = []
        for phone in PHONES[::2]:
            image = any_receipt("density", app, (phone,)).draw()
            own.append(scored(encoded(image)))
            for name, (scale, quality) in PASSED_ON.items():
                moved[name].append(scored(encoded(image, scale, quality)) - own[-1])
            advertised.append(scored(encoded(_half_covered(image, photograph))))
        originals += own
        print(_line(f"receipts of {app}", own))
    print(_line("all receipts", originals))
    print(_line("lower half a photograph", advertised))
    for name, changes in moved.items():
        print(f"  score changed by {name:<14} {min(changes):+d} to {max(changes):+d}")


def pictures(paths: Iterable[Path]) -> None:
    """Print the score of each and the range of all."""
    found = {path: scored(path.read_bytes()) for path in paths}
    for path, score in sorted(found.items(), key=lambda item: -item[1]):
        print(f"  {score:>3} {path.name}")
    print(_line("all photographs", list(found.values())))


def _half_covered(image: Image.Image, photograph: Image.Image) -> Image.Image:
    half = image.height // 2
    covered = image.copy()
    covered.paste(photograph.convert("RGB").resize((image.width, half)), (0, image.height - half))
    return covered


def _line(name: str, scores: list[int]) -> str:
    low, high, middle = min(scores), max(scores), statistics.median(scores)
    return f"{name:<24} {len(scores):>3}: {low:>3} to {high:>3}, median {middle}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("picture", nargs="*", type=Path)
    given = parser.parse_args().picture
    found = [marked.path for marked in photographs()]
    with Image.open(found[0]) as first:
        receipts(first)
    pictures([*found, *given])
