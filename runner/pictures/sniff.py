"""What bytes are, by the first of them: Content-Type headers and file names are hearsay."""

from __future__ import annotations

HEAD_BYTES = 512
"""How much of a file's beginning `sniff` and `describe` want to see."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)

# Brands of ISO base media files, by MPEG's HEIF (ISO/IEC 23008-12) and AOM's AVIF specification.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)

_OTHERS = (
    (b"%PDF-", "PDF document"),
    (b"%!PS", "PostScript file"),
    (b"PK\x03\x04", "ZIP archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"\xff\x0a", "JPEG XL picture, which can't be read here"),
    (b"\0\0\0\x0cJXL ", "JPEG XL picture, which can't be read here"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000 picture, which can't be read here"),
    (b"\xff\x4f\xff\x51", "JPEG 2000 picture, which can't be read here"),
    (b"8BPS", "Photoshop document"),
    (b"\0\0\1\0", "Windows icon"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM video"),
    (b"RIFF", "RIFF file (audio or video)"),
    (b"OggS", "Ogg file (audio or video)"),
    (b"ID3", "MP3 audio"),
    (b"\x7fELF", "program (ELF)"),
)

_MARKUP = (
    ("<!doctype html", "HTML page"),
    ("<html", "HTML page"),
    ("<head", "HTML page"),
    ("<body", "HTML page"),
    ("<svg", "SVG drawing, which has no pixels"),
    ("<!doctype svg", "SVG drawing, which has no pixels"),
    ("{", "JSON text"),
    ("[", "JSON text"),
    ("<?xml", "XML document"),
    ("data:", "data: URL instead of the picture itself"),
)


def sniff(head: bytes) -> str | None:
    """The picture format that `head` begins like (`JPEG`, `PNG`, ...), or None."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _sniff_iso(head)
    return next((name for magic, name in _SIGNATURES if head.startswith(magic)), None)


def describe(head: bytes) -> str:
    """What bytes that are no picture seem to be, as a noun phrase for an error message."""
    if head[4:8] == b"ftyp":
        return "video or audio (ISO media)"
    known = next((name for magic, name in _OTHERS if head.startswith(magic)), None)
    if known:
        return known
    if not head.strip(b"\0"):
        return "zero bytes only"
    return _describe_text(head) or "unknown binary data"


def _sniff_iso(head: bytes) -> str | None:
    box_end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, box_end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def _describe_text(head: bytes) -> str | None:
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = head.decode(encoding, errors="ignore")
    readable = sum(c.isprintable() or c.isspace() for c in text)
    if readable < 0.95 * max(len(text), 1) or len(text) < 0.3 * len(head):
        return None
    start = text.lstrip().lower()
    if start.startswith(("<?xml", "<!--")):
        for tag in ("<svg", "<html"):
            if tag in start:
                start = tag
    return next((name for sign, name in _MARKUP if start.startswith(sign)), "text")
