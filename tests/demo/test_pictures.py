"""What the catalogue promises about its pictures."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import zlib
from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image, ImageChops, ImageOps, ImageStat

from runner.demo import drawn, photographs
from runner.demo.boxes import Box
from runner.demo.pictures import Kind, Picture, by_path, catalogue

SOUND = [p for p in catalogue() if p.kind in {Kind.PHOTOGRAPH, Kind.DRAWN, Kind.UNRELIABLE}]
SAMPLE = SOUND[::5]


def opened(picture: Picture) -> Image.Image:
    """The picture's file, opened but not decoded."""
    return Image.open(io.BytesIO(picture.render()))


def brightness(image: Image.Image) -> float:
    """The mean of the picture's channels."""
    means = ImageStat.Stat(image.convert("RGB")).mean
    return sum(means) / len(means)


def test_catalogue_has_something_of_everything() -> None:
    """Some hundreds of pictures, of every kind and every source, about 25 of them difficult."""
    kinds = Counter(p.kind for p in catalogue())
    assert len(catalogue()) == 400
    assert kinds[Kind.PHOTOGRAPH] >= 100
    assert 20 <= kinds[Kind.UNUSUAL] + kinds[Kind.UNRELIABLE] + kinds[Kind.BROKEN] <= 30
    assert {p.source_type for p in catalogue()} == {"unsplash", "local_upload", "url"}
    assert len(by_path()) == len(catalogue())


def test_catalogue_is_the_same_in_every_process() -> None:
    """Another process, with another hash seed, sees the same pictures in the same order."""
    code = (
        "import hashlib\n"
        "from runner.demo.pictures import catalogue\n"
        "print(hashlib.sha256(repr([(p.path, p.width, p.height, p.boxes, p.subjects)"
        " for p in catalogue()]).encode()).hexdigest())\n"
        "print(*(hashlib.sha256(p.render()).hexdigest() for p in catalogue()[::40]))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_rendering_twice_gives_the_same_file() -> None:
    """A picture's bytes never change from one rendering to the next."""
    for picture in catalogue()[::16]:
        digests = {hashlib.sha256(picture.render()).digest() for _ in range(2)}
        assert len(digests) == 1, picture.path


def test_sound_pictures_have_the_size_they_claim() -> None:
    """Width and height of photographs and drawings are known without decoding, and true."""
    for picture in SAMPLE:
        with opened(picture) as image:
            assert image.size == (picture.width, picture.height), picture.path
            image.load()


def test_resolutions_reach_from_tiny_to_huge() -> None:
    """Some pictures are below the 120,000 pixels of a full resolution score, some above 10 MP."""
    pixels = [p.width * p.height for p in SOUND if p.width and p.height]
    assert sum(n < 120_000 for n in pixels) >= 20
    assert sum(n > 120_000 for n in pixels) >= 200
    assert max(pixels) > 10_000_000


@pytest.mark.parametrize("photograph", photographs.PHOTOGRAPHS, ids=lambda p: p.name)
def test_exposure_variants_are_really_dark_or_bright(photograph: photographs.Photograph) -> None:
    """Dark variants are below brightness 40, over-exposed ones above 220."""
    for variant in photographs.variants(photograph):
        if variant.brightness is not None:
            mean = brightness(photographs.image(photograph, variant))
            assert mean == pytest.approx(variant.brightness, abs=3), variant.name
            assert not 40 <= mean <= 220, variant.name


def _seen(bird: Box, spec: drawn.Drawing) -> tuple[int, int, int, int] | None:
    """The smallest box of pixels that drawing this bird changes."""
    without = drawn.image(replace(spec, birds=(), brightness=None))
    with_it = drawn.image(replace(spec, birds=(bird,), brightness=None))
    return ImageChops.difference(without, with_it).getbbox()


@pytest.mark.parametrize("number", range(0, 48, 3))
def test_drawn_birds_are_where_their_boxes_say(number: int) -> None:
    """A drawn bird changes pixels up to its box's edges and none beyond."""
    spec = drawn.drawing(number)
    for bird, subject in zip(spec.birds, spec.subjects, strict=True):
        found = _seen(bird, spec)
        assert found is not None
        expected = (
            subject.x * spec.width,
            subject.y * spec.height,
            (subject.x + subject.width) * spec.width,
            (subject.y + subject.height) * spec.height,
        )
        slack = 2 + max(spec.width, spec.height) / 100
        # Of a bird that the border cuts, what shows need not reach the other sides of its box.
        cut = bird.x < 0 or bird.x + bird.width > 1
        for side, (seen, wanted) in enumerate(zip(found, expected, strict=True)):
            outward = wanted - seen if side < 2 else seen - wanted
            assert outward <= slack
            assert cut or outward >= -slack


def test_parts_of_a_bird_make_up_its_box() -> None:
    """The union of head, body and tail is the bird's box."""
    whole = [s for s in map(drawn.drawing, range(80)) if s.birds == s.subjects]
    whole = [s for s in whole if len(s.birds) == 1]
    assert len(whole) > 30
    for spec in whole:
        (subject,) = spec.subjects
        left, top = min(p.x for p in spec.parts), min(p.y for p in spec.parts)
        right = max(p.x + p.width for p in spec.parts)
        bottom = max(p.y + p.height for p in spec.parts)
        assert (left, top, right - left, bottom - top) == pytest.approx(
            (subject.x, subject.y, subject.width, subject.height), abs=1e-9
        )


def test_subjects_cover_every_share() -> None:
    """Subjects are too small, right, and too big; at times there are several, at times none."""
    shares = [p.subjects[0].share for p in SOUND if len(p.subjects) == 1]
    assert sum(a < 0.15 for a in shares) >= 20
    assert sum(0.15 <= a <= 0.8 for a in shares) >= 100
    assert sum(a > 0.8 for a in shares) >= 10
    assert sum(len(p.subjects) > 1 for p in SOUND) >= 10
    assert sum(not p.subjects for p in SOUND) >= 10


def _is_in_shares(box: dict[str, object]) -> bool:
    numbers: list[float] = []
    for value in box.values():
        numbers += value.values() if isinstance(value, dict) else []
        numbers += [value] if isinstance(value, float) else []
    return len(numbers) == 4 and all(0 <= n <= 1 for n in numbers)


def test_stored_boxes_come_in_both_shapes() -> None:
    """Some pictures have stored boxes, in either shape and at times as parts; many have none."""
    stored = [p for p in catalogue() if p.boxes]
    assert 100 <= len(stored) <= 300
    shapes = Counter("topLeft" in p.boxes[0] for p in stored)
    assert min(shapes[True], shapes[False]) >= 30
    assert sum({b["label"] for b in p.boxes} >= {"head", "body"} for p in stored) >= 10
    assert all(_is_in_shares(dict(box)) for p in stored for box in p.boxes)


def test_deep_png_has_16_bits_a_pixel() -> None:
    """The 16-bit PNG holds levels in between those that 8 bits can tell apart."""
    with opened(by_path()["/uploads/deep-1.png"]) as image:
        assert image.mode == "I;16"
        levels = set(memoryview(image.tobytes()).cast("H"))
    assert any(level % 257 for level in levels)


@pytest.mark.parametrize(
    "path, file_format, mode",
    [
        ("/uploads/press-1.jpg", "JPEG", "CMYK"),
        ("/uploads/hop.gif", "GIF", "P"),
        ("/uploads/cut-out-1.png", "PNG", "P"),
        ("/uploads/on-its-side.jpg", "JPEG", "RGB"),
    ],
)
def test_unusual_pictures_are_what_they_claim(path: str, file_format: str, mode: str) -> None:
    """An unusual picture has the format and the mode that it is there for, and decodes."""
    with opened(by_path()[path]) as image:
        assert (image.format, image.mode) == (file_format, mode)
        image.load()


def test_gif_is_animated() -> None:
    """The GIF has several frames that differ."""
    with opened(by_path()["/uploads/hop.gif"]) as image:
        assert getattr(image, "n_frames", 1) == 4
        first = image.convert("RGB")
        image.seek(1)
        assert ImageChops.difference(first, image.convert("RGB")).getbbox() is not None


def test_palette_png_is_transparent() -> None:
    """The palette PNG's background is transparent and its subject is not."""
    with opened(by_path()["/uploads/cut-out-1.png"]) as image:
        assert image.convert("RGBA").getchannel("A").getextrema() == (0, 255)


def test_rotated_jpeg_stands_once_its_orientation_is_applied() -> None:
    """The JPEG lies on its side in the file; shown as its EXIF says, it has its claimed size."""
    picture = by_path()["/uploads/on-its-side.jpg"]
    with opened(picture) as image:
        assert image.size == (picture.height, picture.width)
        standing = ImageOps.exif_transpose(image)
        straight = drawn.image(drawn.STANDARD)
        assert standing.size == (picture.width, picture.height)
        difference = ImageChops.difference(standing, straight)
        assert max(ImageStat.Stat(difference).mean) < 6


def _loads(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()


@pytest.mark.parametrize(
    "path, error",
    [
        ("/uploads/half-sent-1.jpg", "truncated"),
        ("/web/sign-in-1.jpg", "cannot identify"),
        ("/web/logo.svg", "cannot identify"),
        ("/web/empty-2.jpg", "cannot identify"),
    ],
)
def test_broken_files_can_not_be_decoded(path: str, error: str) -> None:
    """A broken file fails in Pillow, in the way that it is meant to."""
    with pytest.raises(OSError, match=error):
        _loads(by_path()[path].render())


def test_truncated_jpeg_passes_verify() -> None:
    """A half-sent JPEG has a whole header, so that only decoding finds out."""
    with opened(by_path()["/uploads/half-sent-1.jpg"]) as image:
        image.verify()
        assert image.size == (drawn.STANDARD.width, drawn.STANDARD.height)


def test_bomb_is_small_and_claims_to_be_huge() -> None:
    """The bomb is below 1 MB, and Pillow refuses its 30000 x 30000 pixels by default."""
    data = by_path()["/web/bomb.png"].render()
    assert len(data) < 1_000_000
    with pytest.raises(Image.DecompressionBombError, match="900000000 pixels"):
        _loads(data)


def test_bomb_would_really_unfold() -> None:
    """The bomb is a valid PNG down to its checksums, and holds every pixel that it claims."""
    data = by_path()["/web/bomb.png"].render()
    at, unfolded = 8, 0
    stream = zlib.decompressobj()
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        assert zlib.crc32(kind + body) == checksum
        while kind == b"IDAT" and body:
            unfolded += len(stream.decompress(body, 1 << 24))
            body = stream.unconsumed_tail
        at += 12 + length
    # zlib raises where the checksum at the end of its stream is wrong, and then isn't at its end.
    assert stream.eof
    assert unfolded == 30_000 * 30_001


def test_broken_is_exactly_what_can_not_be_had() -> None:
    """A picture is called broken if its answer is an error for good or its file can't be read."""
    for picture in catalogue():
        if picture.kind in {Kind.BROKEN, Kind.UNUSUAL, Kind.UNRELIABLE}:
            sound = picture.answer.status == 200 and _is_readable(picture)
            assert sound == picture.scorable, picture.path


def _is_readable(picture: Picture) -> bool:
    try:
        _loads(picture.render())
    except (OSError, Image.DecompressionBombError):
        return False
    return True
