"""Storages that tests use, with a back door to what is stored."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runner.storage import Storage, open_storage
from tests.storage.service import Service


@dataclass
class Place(ABC):
    """Something a storage can be opened on, and ways around it."""

    url: str
    options: dict[str, Any] = field(default_factory=dict)

    def open(self, **options: Any) -> Storage:
        """A storage on this place."""
        return open_storage(self.url, **{**self.options, **options})

    @abstractmethod
    def plant(self, path: str, data: bytes, *, age: timedelta = timedelta()) -> None:
        """Put these bytes there behind the storage's back, as if so long ago."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Everything that is visible there, by path; not the storage's own trial file."""


@dataclass
class FolderPlace(Place):
    """A local folder."""

    @property
    def root(self) -> Path:
        """The folder."""
        return Path(self.url)

    def plant(self, path: str, data: bytes, *, age: timedelta = timedelta()) -> None:
        """See `Place`."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        then = (datetime.now(UTC) - age).timestamp()
        os.utime(file, (then, then))

    def files(self) -> dict[str, bytes]:
        """See `Place`."""
        return {
            str(file.relative_to(self.root)): file.read_bytes()
            for file in self.root.rglob("*")
            if file.is_file()
        }


@dataclass
class BucketPlace(Place):
    """A prefix in a bucket of its own."""

    service: Service = field(kw_only=True)
    bucket: str = field(kw_only=True)

    def plant(self, path: str, data: bytes, *, age: timedelta = timedelta()) -> None:
        """See `Place`."""
        self.service.plant(self.bucket, f"pictures/{path}", data, datetime.now(UTC) - age)

    def files(self) -> dict[str, bytes]:
        """See `Place`."""
        found = self.service.objects(self.bucket)
        assert all(key.startswith("pictures/") for key in found)
        paths = {key.removeprefix("pictures/"): data for key, data in found.items()}
        return {path: data for path, data in paths.items() if path != ".backfill-check"}
