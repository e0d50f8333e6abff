"""Measurements of decoding and of the local estimate; the figures in docs/decisions/pictures-*.

    python -m tests.bench.pictures subject     estimated against marked boxes
    python -m tests.bench.pictures draft       decoded small against decoded in full
    python -m tests.bench.pictures memory      peak memory by format and size
    python -m tests.bench.pictures crowd       peak memory of eight threads with large pictures
    python -m tests.bench.pictures threads     pictures a second by number of threads

The photographs are those inside Python packages. scikit-image is there after `make install`;
for the others: pip install --no-deps scikit-learn gradio imgaug mahotas ultralytics
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from PIL import Image

from runner.fetch import Client
from runner.pictures import Picture, brightness, decode
from runner.tasks.quality_score.boxes import Box, overlap
from runner.tasks.quality_score.compute import Compute, evaluate
from runner.tasks.quality_score.estimate import CENTRE, estimate
from runner.tasks.quality_score.subject import find
from tests.plugins.loopback import Exchange
from tests.plugins.picture_host import PictureHost

USABLE = 0.5
"""An overlap from which a box is of use for the score."""

SURE = 0.75


@dataclass(frozen=True, slots=True)
class Marked:
    """A photograph and its marked subject."""

    path: Path
    box: Box


def photographs() -> Iterator[Marked]:
    """Those of the installed packages; names what is missing on standard error."""
    listed = json.loads(Path(__file__).with_name("subjects.json").read_text())["photographs"]
    missing = set()
    for entry in listed:
        try:
            path = Path(str(distribution(entry["package"]).locate_file(entry["file"])))
        except PackageNotFoundError:
            missing.add(entry["package"])
            continue
        if path.exists():
            yield Marked(path, Box(*entry["box"]))
        else:
            missing.add(entry["file"])
    for name in sorted(missing):
        print(f"not installed: {name}", file=sys.stderr)


def subject() -> None:
    """Overlap of the estimate and of the fixed centre box with the marked one."""
    rows = []
    for marked in photographs():
        picture = decode(marked.path.read_bytes())
        began = time.perf_counter()
        found = estimate(picture.image)
        took = time.perf_counter() - began
        if found is None:
            raise SystemExit(f"nothing found in {marked.path.name}")
        mine, centre = overlap(found.box, marked.box), overlap(CENTRE, marked.box)
        rows.append((mine, centre, found.confidence, took))
        print(f"{marked.path.name:24} {mine:.2f}  centre {centre:.2f}  sure {found.confidence:.2f}")
    mine_all, centre_all, confidence, times = zip(*rows, strict=True)
    sure = [m for m, c in zip(mine_all, confidence, strict=True) if c >= SURE]
    unsure = [m for m, c in zip(mine_all, confidence, strict=True) if c < SURE]
    print(f"{len(rows)} photographs, mean overlap with the marked box:")
    print(f"  estimate {statistics.mean(mine_all):.3f}, usable {_usable(mine_all)}")
    print(f"  centre   {statistics.mean(centre_all):.3f}, usable {_usable(centre_all)}")
    for name, part in ((f"confidence >= {SURE}", sure), ("below", unsure)):
        if part:
            print(f"  {name}: n={len(part)}, mean {statistics.mean(part):.2f}")
    print(f"  {statistics.median(times) * 1000:.0f} ms each")


def _usable(values: tuple[float, ...]) -> str:
    return f"{sum(v >= USABLE for v in values)} of {len(values)}"


def in_full(data: bytes) -> Picture:
    """Decoded without any reduction."""
    small = decode(data)
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        full = image.convert("RGB")
    return replace(small, image=full, scale=1.0)


def draft(folder: Path | None) -> None:
    """What decoding at a fraction changes, on JPEGs of a folder or on enlarged photographs."""
    if folder is not None:
        files = {p.name: p.read_bytes() for p in sorted(folder.glob("*.jp*g"))}
    else:
        files = {m.path.name: _enlarged(m.path, 12_000_000) for m in photographs()}
    worst = [0.0, 1.0, 0.0]
    for name, data in files.items():
        began = time.perf_counter()
        small = decode(data)
        middle = time.perf_counter()
        full = in_full(data)
        ended = time.perf_counter()
        if small.scale == 1:
            continue
        first, second = (_evaluated(picture) for picture in (small, full))
        light = abs(brightness(small.image) - brightness(full.image))
        same = _overlap_of(first, second)
        score = abs(first["quality_score"] - second["quality_score"])
        print(
            f"{name:24} scale {small.scale:.3f}  brightness differs {light:.2f}  "
            f"box overlap {same:.3f}  score differs {score}  "
            f"{(middle - began) * 1000:.0f} ms, in full {(ended - middle) * 1000:.0f} ms"
        )
        worst = [max(worst[0], light), min(worst[1], same), max(worst[2], score)]
    print(f"worst: brightness {worst[0]:.2f}, box overlap {worst[1]:.3f}, score {worst[2]:.0f}")


def _overlap_of(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    one, other = first["quality_details"]["box"], second["quality_details"]["box"]
    if one is None or other is None:
        return float(one is other)
    return overlap(Box(**one), Box(**other))


def _evaluated(picture: Picture) -> dict[str, Any]:
    return evaluate(picture, find("picture", picture, None, (1, 1), None))


def _enlarged(path: Path, pixels: int) -> bytes:
    with Image.open(path) as image:
        scale = (pixels / (image.width * image.height)) ** 0.5
        size = (round(image.width * scale), round(image.height * scale))
        file = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(file, "JPEG", quality=90)
    return file.getvalue()


KINDS: Mapping[str, tuple[int, str, dict[str, Any]]] = {
    "JPEG": (100, "RGB", {"quality": 85}),
    "JPEG progressive": (100, "RGB", {"quality": 85, "progressive": True}),
    "JPEG progressive 4:4:4": (100, "RGB", {"progressive": True, "subsampling": 0}),
    "PNG": (100, "RGB", {"compress_level": 1}),
    "PNG with alpha": (100, "RGBA", {"compress_level": 1}),
    "PNG 16 bits": (100, "I;16", {"compress_level": 1}),
    "GIF": (100, "P", {}),
    "BMP": (100, "RGB", {}),
    "TIFF lzw": (100, "RGB", {"compression": "tiff_lzw"}),
    "WEBP": (24, "RGB", {"method": 0}),
    "AVIF": (24, "RGB", {"speed": 10}),
    "HEIF": (24, "RGB", {}),
}


def memory(kind: str | None) -> None:
    """Peak memory above the baseline of decoding each kind, in a process of its own."""
    if kind is None:
        for name in KINDS:
            subprocess.run([sys.executable, "-m", __spec__.name, "memory", name], check=True)
        return
    import resource
    import tempfile

    unit = 1 if sys.platform == "darwin" else 1024
    with tempfile.NamedTemporaryFile() as file:
        make = [sys.executable, "-m", __spec__.name, "make", kind, "--to", file.name]
        subprocess.run(make, check=True)
        decode(_small_jpeg())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        began = time.perf_counter()
        picture = decode(file)
        took = time.perf_counter() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
        size = file.seek(0, io.SEEK_END)
    print(
        f"{kind:24} {picture.width * picture.height / 1e6:4.0f} MP in {size / 1e6:6.1f} MB: "
        f"peak {peak / 1e6:5.0f} MB, {peak / picture.width / picture.height:5.2f} bytes a pixel, "
        f"{took * 1000:.0f} ms"
    )


def crowd() -> None:
    """Peak memory above the baseline while eight threads decode large pictures."""
    import resource
    import tempfile

    unit = 1 if sys.platform == "darwin" else 1024
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for kind in ("JPEG progressive", "JPEG progressive 4:4:4", "PNG"):
            files.append(Path(folder, kind.replace(" ", "-").replace(":", "")))
            make = [sys.executable, "-m", __spec__.name, "make", kind, "--to", str(files[-1])]
            subprocess.run(make, check=True)
        large = [file.read_bytes() for file in files] * 4
    decode(_small_jpeg())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, large))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - before
    print(f"eight threads, {len(large)} pictures of 100 MP: peak {peak / 1e6:.0f} MB")


def _small_jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    return file.getvalue()


def make(kind: str, to: Path) -> None:
    """Write a large picture of a kind."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    megapixels, mode, options = KINDS[kind]
    side = int((megapixels * 1e6) ** 0.5)
    with Image.open(next(photographs()).path) as image:
        large = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    large = large.convert("I").convert("I;16") if mode == "I;16" else large.convert(mode)
    large.save(to, kind.partition(" ")[0], **options)


def threads() -> None:
    """Rows a second of the whole computation, from a host that takes 100 ms to answer."""
    files = [_enlarged(m.path, 3_000_000) for m in photographs()]
    host = PictureHost()

    def slow(data: bytes) -> Any:
        def behave(exchange: Exchange) -> None:
            exchange.stopping.wait(0.1)
            exchange.answer(200, data)

        return behave

    urls = [host.add(f"/{n}.jpg", slow(data)) for n, data in enumerate(files)] * 8
    with host.running(), Client() as client:
        compute = Compute(client)
        for count in (1, 2, 4, 8, 16, 32):
            with ThreadPoolExecutor(count) as pool:
                began = time.perf_counter()
                list(pool.map(lambda url: compute({"url": url}), urls))
                rate = len(urls) / (time.perf_counter() - began)
            print(f"{count:3} threads: {rate:5.1f} rows a second")


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=["subject", "draft", "memory", "crowd", "threads", "make"])
    parser.add_argument("kind", nargs="?", help="memory: this kind only")
    parser.add_argument("--folder", type=Path, help="draft: JPEGs to measure instead")
    parser.add_argument("--to", type=Path, help="make: the file to write")
    given = parser.parse_args()
    if given.what == "subject":
        subject()
    elif given.what == "draft":
        draft(given.folder)
    elif given.what == "memory":
        memory(given.kind)
    elif given.what == "make":
        make(given.kind, given.to)
    elif given.what == "crowd":
        crowd()
    else:
        threads()


if __name__ == "__main__":
    main()
