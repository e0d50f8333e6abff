"""Real photographs: those inside the scikit-image package, and variants made of them.

The package is only looked up, never imported: importing it would cost a second and load scipy.
Each photograph used here is CC0 or in the public domain according to scikit-image's documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from PIL import Image, ImageOps, ImageStat

from runner.demo.boxes import Box
from runner.demo.encode import jpeg
from runner.errors import UsageError

PACKAGE = "scikit-image"
FOLDER = "skimage/data"


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph of the package; `subject` was marked by eye, None where nothing stands out."""

    name: str
    file: str
    subject: Box | None = None


PHOTOGRAPHS = (
    Photograph("astronaut", "astronaut.png", Box(0.04, 0.03, 0.68, 0.97, "person")),
    Photograph("coffee", "coffee.png", Box(0.125, 0.04, 0.675, 0.93, "cup")),
    Photograph("cat", "chelsea.png", Box(0.08, 0.0, 0.8, 1.0, "cat")),
    Photograph("rocket", "rocket.jpg", Box(0.48, 0.3, 0.045, 0.655, "rocket")),
    Photograph("motorcycle", "motorcycle_left.png", Box(0.125, 0.13, 0.8, 0.78, "motorcycle")),
    Photograph("cameraman", "camera.png", Box(0.0, 0.12, 0.645, 0.88, "person")),
    Photograph("galaxies", "hubble_deep_field.jpg"),
    Photograph("moon", "moon.png"),
    Photograph("grass", "grass.png"),
    Photograph("gravel", "gravel.png"),
    Photograph("brick", "brick.png"),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to make another picture of a photograph.

    `long_side` is in pixels; `crop` is the part that is kept, in shares of the original;
    `brightness` is the mean (0..255) that the result is brought to, up or down.
    """

    name: str
    long_side: int
    crop: Box | None = None
    brightness: float | None = None
    mirrored: bool = False
    gray: bool = False


SIZES = (
    Variant("large", 2000),
    Variant("standard", 1024),
    Variant("small", 320),
    Variant("night", 800, brightness=10),
)
VARIANTS = (
    *SIZES,
    Variant("web", 640),
    Variant("thumbnail", 96),
    Variant("mirrored", 900, mirrored=True),
    Variant("gray", 700, gray=True),
    Variant("dark", 1024, brightness=28),
    Variant("overexposed", 1024, brightness=232),
    Variant("white", 800, brightness=250),
    Variant("close-up", 1024, crop=Box(0.25, 0.2, 0.5, 0.6)),
    Variant("cut-left", 900, crop=Box(0.4, 0.0, 0.6, 1.0)),
    Variant("cut-below", 900, crop=Box(0.0, 0.0, 1.0, 0.55)),
)
HUGE = Variant("huge", 4000)
"""For a few only: each takes about a fifth of a second to make."""


def variants(photograph: Photograph) -> tuple[Variant, ...]:
    """The variants of a photograph; one without a subject has few, since they all score alike."""
    if photograph.subject is None:
        return SIZES
    return (*VARIANTS, HUGE) if photograph.name in {"astronaut", "coffee"} else VARIANTS


def folder() -> Path:
    """Where the package keeps its photographs; raises `UsageError` where it isn't installed."""
    try:
        found = Path(str(distribution(PACKAGE).locate_file(FOLDER)))
    except PackageNotFoundError as error:
        raise UsageError(
            f"the demo's photographs are missing: {PACKAGE} isn't installed; "
            "run make install, or pip install 'pgbackfill[demo]'"
        ) from error
    return found


@lru_cache(maxsize=len(PHOTOGRAPHS))
def _original(file: str) -> Image.Image:
    path = folder() / file
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except FileNotFoundError as error:
        raise UsageError(
            f"the demo's photograph {file} is missing: this version of {PACKAGE} has none; "
            "install the versions of constraints.txt"
        ) from error


@lru_cache(maxsize=len(PHOTOGRAPHS))
def _original_size(file: str) -> tuple[int, int]:
    with Image.open(folder() / file) as image:
        return image.size


def _kept(photograph: Photograph, variant: Variant) -> tuple[int, int, int, int]:
    width, height = _original_size(photograph.file)
    crop = variant.crop or Box(0.0, 0.0, 1.0, 1.0)
    right, bottom = crop.x + crop.width, crop.y + crop.height
    return (
        round(crop.x * width),
        round(crop.y * height),
        round(right * width),
        round(bottom * height),
    )


def size(photograph: Photograph, variant: Variant) -> tuple[int, int]:
    """Width and height in pixels of what `render` makes, without making it."""
    left, top, right, bottom = _kept(photograph, variant)
    scale = variant.long_side / max(right - left, bottom - top)
    return max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))


def subject(photograph: Photograph, variant: Variant) -> Box | None:
    """Where the subject is in the variant; None where there is none or the crop lost it."""
    found = photograph.subject
    if found is not None and variant.mirrored:
        found = found.mirrored()
    if found is not None and variant.crop is not None:
        found = found.within(variant.crop)
    return found


def expose(image: Image.Image, brightness: float) -> Image.Image:
    """The picture darkened or lightened until the mean of its channels is about `brightness`."""
    means = ImageStat.Stat(image).mean
    mean = sum(means) / len(means)
    if brightness <= mean:
        curve = [v * brightness / mean for v in range(256)]
    else:
        curve = [255 - (255 - v) * (255 - brightness) / (255 - mean) for v in range(256)]
    return image.point([round(v) for v in curve] * len(image.getbands()))


def image(photograph: Photograph, variant: Variant) -> Image.Image:
    """The variant as a picture in memory, mode RGB or L."""
    box = _kept(photograph, variant)
    result = _original(photograph.file).resize(
        size(photograph, variant), Image.Resampling.BICUBIC, box=box
    )
    if variant.mirrored:
        result = ImageOps.mirror(result)
    if variant.gray:
        result = result.convert("L")
    if variant.brightness is not None:
        result = expose(result, variant.brightness)
    return result


def render(photograph: Photograph, variant: Variant) -> bytes:
    """The variant as a JPEG file."""
    return jpeg(image(photograph, variant))
