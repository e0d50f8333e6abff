"""The sessions of docs/storage.md."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from tests.cli.test_storage import TASK, database, proxy
from tests.docs.example import consoles, promised, run
from tests.docs.pages import ROOT, read
from tests.plugins.database import Database
from tests.storage.places import FolderPlace
from tests.storage.samples import path_of
from tests.storage.service import Service

__all__ = ["database", "proxy"]

CREDENTIALS = """
[backfill]
aws_access_key_id = AKIDNOTREALNOTREAL00
aws_secret_access_key = notreal/notreal+notreal/notreal+notreal0
"""


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> FolderPlace:
    """The folder that the page speaks of, and the rows that refer to three of its files."""
    (tmp_path / "pictures").mkdir()
    place = FolderPlace(str(tmp_path / "pictures"))
    kept = [bytes([n]) * 2_040 for n in range(3)]
    for data in [*kept, b"orphan" * 340]:
        place.plant(path_of(data), data, age=timedelta(days=2, hours=3, minutes=30))
    place.plant(path_of(b"young" * 408), b"young" * 408)
    with psycopg.connect(database.url) as connection:
        connection.execute("drop function backfill.keeps_pictures(text[])")
        connection.execute(TASK.format(task="vehicle_images").encode())
        connection.execute(
            "insert into public.vehicle_images_file select unnest(%s::text[])",
            [[path_of(data) for data in kept]],
        )
    return place


def test_sessions(
    shop: FolderPlace,
    database: Database,
    proxy: Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commands that the page shows print what it says, on a folder and on a bucket."""
    proxy.reset()
    proxy.create("shop-pictures")
    (tmp_path / "credentials").write_text(CREDENTIALS)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    text = (ROOT / "docs" / "storage.md").read_text(encoding="utf-8")
    here = tmp_path / "storage.md"
    here.write_text(text.replace("/srv/pictures", shop.url), encoding="utf-8")
    page = read(here)
    printed = run(page, database.url, tmp_path)
    for block, shown in zip(consoles(page), printed, strict=True):
        for one, expected in zip(shown, promised(block), strict=True):
            assert _words(one.output) == _words(expected.output), one.command
    assert len(list(shop.root.rglob("*.jpg"))) == 4


def _words(output: str) -> list[str]:
    return re.split(r"\s+", output.strip())
