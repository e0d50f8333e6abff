"""From a stranger's URL to a stored object and the row that describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from runner.contract import Limiter
from runner.errors import Halt, Permanent, Retry, RowOutcome
from runner.fetch import Client, Download
from runner.pictures import inspect
from runner.pictures.exif import Exif, read
from runner.storage import Storage, Stored
from runner.tasks.vehicle_images.breaker import Breaker
from runner.tasks.vehicle_images.urls import Chosen

CHUNK = 1 << 20

EXPECTED_BYTES = 500_000
"""Reserved of a budget for a download; what it really took is counted afterwards."""

LONGEST_NAME = 200

UNUSABLE = ("storage_denied", "storage_missing", "storage_full")
"""What is wrong with the storage as a whole."""

TYPES = {
    "JPEG": ("image/jpeg", ".jpg"),
    "PNG": ("image/png", ".png"),
    "WEBP": ("image/webp", ".webp"),
    "GIF": ("image/gif", ".gif"),
    "BMP": ("image/bmp", ".bmp"),
    "TIFF": ("image/tiff", ".tiff"),
    "AVIF": ("image/avif", ".avif"),
    "HEIF": ("image/heic", ".heic"),
}
"""MIME type (IANA's registry) and suffix of each format that is recognised."""


@dataclass(frozen=True, slots=True)
class Found:
    """A picture that is stored: its row, its bytes, and whether its object is new."""

    row: dict[str, Any]
    size: int
    created: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Downloads pictures and stores them. Used by several threads at once."""

    client: Client
    storage: Storage
    limiter: Limiter
    max_pixels: int = 100_000_000
    public_url: str = ""
    budgeted: bool = False
    expected: int = EXPECTED_BYTES
    breaker: Breaker = field(default_factory=Breaker)

    def fetch(self, chosen: Chosen, *, last: bool = False) -> Found:
        """Download and store one picture.

        Nobody promised the full-size form: the URL that was given decides where that has no
        picture, and on the `last` attempt where it could not be had.
        Raises `Permanent` and `Retry` as `Client.get` and `Storage.put` do, `Permanent` where it is
        no picture, `Retry` (`budget`), and `Halt` where the storage can't be used.
        """
        if chosen.url != chosen.given:
            try:
                return self._fetch(chosen, chosen.url)
            except Permanent:
                pass  # what is wrong with it is said of the URL that was given
            except Retry as error:
                if not (last and error.counts):
                    raise
        return self._fetch(chosen, chosen.given)

    def _fetch(self, chosen: Chosen, url: str) -> Found:
        self.breaker.check()
        with self._download(url) as download:
            file = download.file
            try:
                form = inspect(file, max_pixels=self.max_pixels).format
            except Permanent as error:
                raise Permanent(f"{download.url}: {error}", code=error.code) from error
            exif = read(file)
            digest = sha256(file)
            mime, suffix = TYPES[form]
            stored = self._put(file, digest, download.size, mime, suffix)
        row = self._row(chosen, stored, exif)
        row |= {"file_hash": digest, "file_size": download.size, "mime_type": mime}
        return Found(row | {"filename": filename(url, suffix)}, download.size, stored.created)

    @contextmanager
    def _download(self, url: str) -> Iterator[Download]:
        if not self.budgeted:
            with self.client.get(url) as download:
                yield download
            return
        with self.limiter.budget("bytes", self.expected, at_least=1) as spending:
            try:
                with self.client.get(url) as download:
                    spending.used = download.size
                    yield download
            except RowOutcome as error:
                # what is thrown away was downloaded as well
                spending.used = max(spending.used, error.received)
                raise

    def _put(self, file: IO[bytes], digest: str, size: int, mime: str, suffix: str) -> Stored:
        try:
            stored = self.storage.put(file, digest, size, mime, suffix)
        except Retry as error:
            raise self.breaker.failed(error) from error
        except Permanent as error:
            if error.code in UNUSABLE:
                raise Halt(str(error)) from error
            # one object is refused, or can't be where it belongs: the picture is as good as before
            raise Retry(str(error), code=error.code) from error
        self.breaker.succeeded()
        return stored

    def _row(self, chosen: Chosen, stored: Stored, exif: Exif) -> dict[str, Any]:
        return {
            "position": chosen.position,
            "source_url": chosen.given,
            "image_url": self.public_url + stored.path,
            "storage_path": stored.path,
            "taken_at": exif.created,
            "exif_data": described(exif),
        }


def sha256(file: IO[bytes]) -> str:
    """Hex digest of a whole file."""
    digest = hashlib.sha256()
    file.seek(0)
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def described(exif: Exif) -> dict[str, Any] | None:
    """What is kept of a picture's EXIF: nothing that says where it was taken."""
    told = {
        "make": exif.make,
        "model": exif.model,
        "software": exif.software,
        "taken_at": exif.created,
    }
    kept = {name: value for name, value in told.items() if value}
    return kept or None


def filename(url: str, suffix: str) -> str | None:
    """The name that a URL's path ends with, with the suffix of its content; None: it has none.

    What can't be printed, turns text round or would make a folder of it is `_`.
    """
    name = unquote(urlsplit(url).path.rpartition("/")[2], errors="replace")
    name = "".join(c if c.isprintable() and c not in "/\\" else "_" for c in name).strip(" ._")
    stem, dot, end = name.rpartition(".")
    if dot and stem and len(end) <= 5:
        name = stem
    name = name[: LONGEST_NAME - len(suffix)]
    return f"{name}{suffix}" if name else None
