"""What XMP, Adobe's metadata in XML, says about programs and comments.

It is searched and not parsed: three properties are wanted, and strangers' XML is not to be trusted.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import islice

MOST_BYTES = 1_000_000
"""Of a packet that are searched; Adobe's own are some 10 kB."""

MOST_FINDS = 20

_PROGRAM = re.compile(
    r"""(?:xmp:CreatorTool|stEvt:softwareAgent|tiff:Software)(?:=["']|>)([^"'<>]{1,400})"""
)
"""As an attribute or as an element (XMP specification, parts 1 and 2)."""

_COMMENT = re.compile(
    r"""exif:UserComment(?:=["']|>)\s{0,80}(?:<rdf:Alt>\s{0,80}<rdf:li[^<>]{0,80}>)?([^"'<>]{1,400})"""
)


@dataclass(frozen=True, slots=True)
class Xmp:
    """Programs that wrote or changed the picture, and comments."""

    programs: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()


def read_xmp(packet: bytes) -> Xmp:
    """Search an XMP packet; bytes that are none give nothing."""
    text = packet[:MOST_BYTES].decode("utf-8", "replace")
    return Xmp(_finds(_PROGRAM, text), _finds(_COMMENT, text))


def _finds(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    return tuple(html.unescape(found[1]) for found in islice(pattern.finditer(text), MOST_FINDS))
