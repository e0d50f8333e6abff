"""Which URLs of a vehicle are downloaded, which are not and why. No network, no database.

Only what is clearly no photograph of the vehicle is left out here. What can't be judged from
its URL is kept, and its download decides; whether an address is safe is the downloader's.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from runner.errors import Permanent
from runner.fetch.urls import LONGEST_URL, check
from runner.tasks.vehicle_images.hosts import Address, full_size, is_tracker, split

Reason = Literal[
    "not_text", "empty", "data", "too_long", "svg", "tracker", "thumbnail", "repeated", "beyond"
]

REASONS: dict[Reason, str] = {
    "not_text": "it is not a text, nor an object with a text called url or src",
    "empty": "it is empty",
    "data": "it is a data: URI, which holds a picture instead of the address of one",
    "too_long": "it is longer than any address that is asked for",
    "svg": "it is a drawing (SVG), not a photograph",
    "tracker": "it counts visitors, or fills a gap in a page, and shows nothing",
    "thumbnail": "it is a thumbnail, and where its full size is isn't known",
    "repeated": "it leads to the same picture as an earlier one of this vehicle",
    "beyond": "as many as are wanted of one vehicle come before it",
}
"""The reasons for leaving a URL out, each as a sentence."""

SMALLEST, LARGEST = 40, 200
"""Pixels a side of what is called a thumbnail when its name has a size in it.

Smaller pairs of numbers are more often a 4x4, a print of 24x36 inches or a wheel of 17x10.
"""

LONGEST_SHOWN = 80
"""Characters kept of what is no address or too long for one."""

PASSES = 4
"""Times that entities are unescaped within what was unescaped."""

_AMPERSANDS = re.compile(r"&(?:(?:amp|#0*38|#x0*26);)++", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

# What the downloader's own form leaves as it is, but for capitals in scheme and host.
_PLAIN = re.compile(
    r"([Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)"
    r"(/[A-Za-z0-9/%:@!$&'()*+,;=~._-]*(?:\?[A-Za-z0-9/%:@!$&'()*+,;=~._?-]*)?)"
)

_FILLERS = frozenset(
    f"{name}.{kind}"
    for name in ("1x1", "pixel", "spacer", "blank", "clear", "transparent", "__utm")
    for kind in ("gif", "png")
)
"""Usual names of a file of one transparent pixel (Wikipedia, "Spacer GIF"; Google Analytics)."""

_SIZE = re.compile(r"(?<![A-Za-z0-9])([0-9]{2,5})(?:x([0-9]{2,5})|px)(?![A-Za-z0-9])")
_ONLY_SIZE = re.compile(r"([0-9]{2,5})x([0-9]{2,5})")
_ASKED_SIZE = re.compile(r"[?&](?:w|h|width|height|size)=([0-9]{1,5})(?![0-9])")
_ONLY_THUMB = re.compile(r"[\W\d_]*thumb(?:nail)?s?[\W\dx_]*", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![^\W\d_A-Z])|[A-Z]?[^\W\d_A-Z]+")
_THUMBS = frozenset({"thumb", "thumbs", "thumbnail", "thumbnails"})

_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """One URL to download."""

    url: str
    """To be asked for first: the full-size form where one is known, else as `given`."""
    given: str
    """As the row has it, unescaped, stripped, and with https: before a leading //."""
    position: int
    """0-based place in the row's array."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One entry that isn't downloaded, with the code of the reason."""

    given: str
    """As in `Chosen`; the kind of JSON where it is no text; the beginning of a data: URI."""
    position: int
    reason: Reason

    @property
    def sentence(self) -> str:
        """Why, in words."""
        return REASONS[self.reason]


def choose(image_urls: object, most: int) -> tuple[list[Chosen], list[LeftOut]]:
    """The URLs of a row to download, at most `most`, and the others; both in the row's order.

    Takes any JSON and never raises: a single text is a list of one, an entry may be an object
    with `url` or `src`, and what is neither list nor text has no URLs at all. What comes after
    the last one is beyond, without a further look. Choosing among the chosen URLs chooses the
    same again.
    """
    chosen: list[Chosen] = []
    left: list[LeftOut] = []
    seen: set[str] = set()
    for position, given, reason in _entries(image_urls):
        if reason or len(chosen) >= most:
            left.append(LeftOut(given, position, reason or "beyond"))
            continue
        here = split(given)
        full = full_size(here)
        url = given if full is here else full.url
        key = _key(url)
        against: Reason | None = "repeated" if key in seen else _mark(full)
        if against:
            left.append(LeftOut(given, position, against))
        else:
            seen.add(key)
            chosen.append(Chosen(url, given, position))
    return chosen, left


def _entries(image_urls: object) -> Iterator[tuple[int, str, Reason | None]]:
    """Place, cleaned text and, where that is all that has to be known, the reason against it."""
    values = [image_urls] if isinstance(image_urls, str) else image_urls
    for position, value in enumerate(values if isinstance(values, list) else ()):
        text = _text(value)
        if text is None:
            yield position, f"({_KINDS.get(type(value), 'unknown')})", "not_text"
            continue
        given = clean(text)
        if not given:
            yield position, given, "empty"
        elif given[:5].lower() == "data:":
            yield position, given[:LONGEST_SHOWN], "data"
        elif len(given) > LONGEST_URL:
            yield position, given[:LONGEST_SHOWN], "too_long"
        else:
            yield position, given, None


def _text(value: object) -> str | None:
    if isinstance(value, dict):
        value = next((value[k] for k in ("url", "src") if isinstance(value.get(k), str)), None)
    return value if isinstance(value, str) else None


def clean(text: str) -> str:
    """The URL that a page's source had: entities unescaped, stripped, with a scheme after all.

    An entity has to end with its semicolon, so that `?a=1&copy=2` stays what it is. A text
    that is escaped more than `PASSES` times isn't unescaped at all.
    """
    text = text.strip()
    if "&" in text:
        text = _unescaped(text).strip()
    return "https:" + text if text.startswith("//") and text[2:3] not in ("", "/") else text


def _unescaped(text: str) -> str:
    inner = text
    for _ in range(PASSES):
        before = inner
        inner = _AMPERSANDS.sub("&", inner)  # however often they were escaped
        inner = _ENTITY.sub(lambda entity: html.unescape(entity[0]), inner)
        if inner == before:
            return inner
    return text


def _key(url: str) -> str:
    """What two URLs of one picture have in common: the downloader's form of them."""
    plain = _PLAIN.fullmatch(url)
    if plain:
        return plain[1].lower() + plain[2]
    with suppress(Permanent):  # the downloader will say why
        return check(url)
    return url.partition("#")[0]


def _mark(address: Address) -> Reason | None:
    """What marks the address as no photograph."""
    folder, _, name = address.path.rpartition("/")
    if name.lower().endswith((".svg", ".svgz")):
        return "svg"
    if name.lower() in _FILLERS or is_tracker(address):
        return "tracker"
    return "thumbnail" if _is_thumbnail(folder.split("/"), name, address.query) else None


def _is_thumbnail(folders: list[str], name: str, query: str) -> bool:
    """Whether a size in the path says so or, where none says otherwise, the word for it."""
    sizes = [found.groups() for part in folders if (found := _ONLY_SIZE.fullmatch(part))]
    for wide, high in [*_SIZE.findall(name), *sizes]:
        sides = (int(wide), int(high or wide))
        if max(sides) > LARGEST:
            return False
        if min(sides) >= SMALLEST:
            return True
    return _has_word(folders, name) and all(
        int(side) <= LARGEST for side in _ASKED_SIZE.findall(query)
    )


def _has_word(folders: list[str], name: str) -> bool:
    """Whether thumb or thumbnail is all of a folder's name, or the first or last word of a file's.

    Neither thumbelina.jpg nor the-tom-thumb-special.jpg has it.
    """
    if any(_ONLY_THUMB.fullmatch(part) for part in folders):
        return True
    if "humb" not in name.lower():
        return False
    words = _WORD.findall(name.rpartition(".")[0] or name)
    return bool(words) and (words[0].lower() in _THUMBS or words[-1].lower() in _THUMBS)
