"""The picture formats that are read, each by one decoder named here and by no other.

Decoders are called directly rather than through `Image.open`, which would also offer the bytes
to whatever plugins are registered in the process (PostScript runs a program, for one).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

COEFFICIENT_BYTES = 2
"""libjpeg keeps every coefficient of a progressive picture until its last scan."""

_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}


def _heif(file: IO[bytes]) -> ImageFile.ImageFile:
    from pillow_heif import HeifImageFile

    image: ImageFile.ImageFile = HeifImageFile(file)  # type: ignore[no-untyped-call]
    return image


@dataclass(frozen=True, slots=True)
class Format:
    """How one format is read.

    `codec_copies` is how many copies of four bytes a pixel the codec holds beside Pillow's own
    pixels, measured (`python -m tests.bench.pictures memory`).
    """

    name: str
    open: Callable[[IO[bytes]], ImageFile.ImageFile]
    codec_copies: float = 0
    scales: bool = False
    animates: bool = False

    def memory(self, image: ImageFile.ImageFile, width: int, height: int) -> int:
        """About how many bytes decoding takes; `image` is opened and drafted, not loaded.

        `width` and `height` are those of the file, before a draft made them smaller.
        """
        shown = image.size[0] * image.size[1]
        own = shown * _PIXEL_BYTES.get(image.mode, 4)
        if image.info.get("progressive"):
            own += width * height * COEFFICIENT_BYTES * Image.getmodebands(image.mode)
        return int(own + shown * 4 * self.codec_copies)


FORMATS = {
    form.name: form
    for form in (
        Format("JPEG", JpegImagePlugin.JpegImageFile, scales=True),
        Format("PNG", PngImagePlugin.PngImageFile, animates=True),
        Format("WEBP", WebPImagePlugin.WebPImageFile, codec_copies=3, animates=True),
        Format("GIF", GifImagePlugin.GifImageFile, animates=True),
        Format("BMP", BmpImagePlugin.BmpImageFile),
        Format("TIFF", TiffImagePlugin.TiffImageFile, codec_copies=0.5),
        Format("AVIF", AvifImagePlugin.AvifImageFile, codec_copies=1.5, animates=True),
        Format("HEIF", _heif, codec_copies=1),
    )
}
