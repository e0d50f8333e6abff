"""File bytes that are unusual (and must work) or broken on purpose (and must fail clearly)."""

from __future__ import annotations

import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from runner.demo import drawn
from runner.demo.boxes import Box
from runner.demo.encode import encoded, jpeg

BOMB_SIDE = 30_000
EXIF_ORIENTATION = 0x0112
ROTATE_90_TO_SHOW = 6
"""EXIF orientation 6: the viewer has to turn the picture by 90 degrees clockwise."""

CUT_OUT = (Box(150 / 600, 110 / 450, 330 / 600, 260 / 450, "bird"),)
"""Where the subject is in the transparent picture."""


@cache
def _picture() -> Image.Image:
    return drawn.image(drawn.STANDARD)


def truncated() -> bytes:
    """A JPEG that ends half-way, as after a broken upload: its header is whole."""
    whole = jpeg(_picture())
    return whole[: len(whole) // 2]


def html() -> bytes:
    """An error page, served with status 200 as a JPEG."""
    return (
        b"<!doctype html>\n<html><head><title>Sign in</title></head>"
        b"<body><h1>Please sign in to see this picture</h1></body></html>\n"
    )


def svg() -> bytes:
    """A vector drawing: a picture to a browser, but not one that has pixels."""
    return (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="600">'
        b'<circle cx="400" cy="300" r="200" fill="teal"/></svg>\n'
    )


def empty() -> bytes:
    """No bytes at all."""
    return b""


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


@cache
def bomb() -> bytes:
    """A valid gray PNG of 30000 x 30000 pixels: under 1 MB that unfolds to 900 MB.

    Compressed from one block that repeats (a full flush makes deflate blocks independent), so
    that making it doesn't take the memory or the time that reading it would.
    """
    total = BOMB_SIDE * (BOMB_SIDE + 1)  # each line begins with one byte that names its filter
    block = 1 << 20
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    repeated = deflate.compress(bytes(block)) + deflate.flush(zlib.Z_FULL_FLUSH)
    tail = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    rest = tail.compress(bytes(total % block)) + tail.flush()
    # Adler-32 (RFC 1950, 8.2) of n zero bytes: its low half stays 1, its high half counts them.
    adler = (total % 65521) << 16 | 1
    data = b"\x78\xda" + repeated * (total // block) + rest + struct.pack(">I", adler)
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", data)
        + _chunk(b"IEND", b"")
    )


def deep() -> bytes:
    """A gray PNG with 16 bits a pixel, as scanners and telescopes write it."""
    gray = np.asarray(_picture(), dtype=np.float32).mean(axis=2)
    return encoded(Image.fromarray((gray * 257).astype(np.uint16)), "PNG")


def cmyk() -> bytes:
    """A JPEG in the four colours of a printing press."""
    return jpeg(_picture().convert("CMYK"))


def animated() -> bytes:
    """A GIF of four frames, a bird that hops."""
    still = _picture().resize((480, 320))
    frames = [still.rotate(0, translate=(0, -12 * (n % 2))).quantize(64) for n in range(4)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=200, loop=0)


def transparent() -> bytes:
    """A palette PNG whose background is transparent."""
    image = Image.new("P", (600, 450), 0)
    image.putpalette([0, 0, 0, 46, 98, 168, 24, 58, 112, 226, 136, 28])
    pen = ImageDraw.Draw(image)
    pen.ellipse((150, 110, 430, 370), fill=1)
    pen.ellipse((220, 190, 350, 300), fill=2)
    pen.polygon([(420, 190), (480, 215), (420, 240)], fill=3)
    return encoded(image, "PNG", transparency=0)


def rotated() -> bytes:
    """A JPEG that lies on its side; its EXIF orientation says how to show it."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = ROTATE_90_TO_SHOW
    lying = _picture().transpose(Image.Transpose.ROTATE_90)
    return jpeg(lying, exif=exif)
