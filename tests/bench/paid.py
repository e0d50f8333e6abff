"""An application with many pictures of one face each, for runs of which only the calls matter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid5

import psycopg

from tests.bench.faces_chaos_tables import TASK, AssetRow, add
from tests.plugins.picture_host import PictureHost
from tests.rekognition.portraits import Face, photo
from tests.rekognition.remote import Remote

PICTURES = 60
"""That differ: as many as a user has assets, so that no face is like another one."""

ENDED_S = 60.0

_NAMES = UUID("0a3d7c52-3f0e-4bb1-8a34-6b8f2f0f6a10")


@contextmanager
def pictures() -> Iterator[PictureHost]:
    """A host that has them."""
    host = PictureHost()
    for number in range(PICTURES):
        host.add(f"/{number}", photo(Face(number + 1), ground=number))
    with host.running():
        yield host


def rows(host: PictureHost, assets: int) -> Iterator[AssetRow]:
    """So many rows of `assets`."""
    for number in range(assets):
        user = uuid5(_NAMES, f"user {number // PICTURES}")
        place = f"{host.url}/{number % PICTURES}"
        yield uuid5(user, str(number)), user, place, "image/jpeg", True, False


def prepare(url: str, host: PictureHost, assets: int, rate: float) -> None:
    """So many assets in a database that has the task and none, and the provider's rate."""
    with psycopg.connect(url, autocommit=True) as connection:
        add(connection, rows(host, assets))
        connection.execute("vacuum analyze assets")
        connection.execute("select backfill.set_rate('rekognition', %s)", [rate])


def arguments(host: PictureHost, processes: int, *more: str) -> list[str]:
    """Those of `backfill run face_index`."""
    return [
        "--allow", host.url.removeprefix("http://"), "--limit", "0", "--delay", "0", "--workers",
        str(processes), "--threads", "8", "--batch-size", "10", "--skip-prompt", "--json", *more,
    ]  # fmt: skip


@contextmanager
def running(url: str, service: Remote, given: list[str], log: Path) -> Iterator[None]:
    """`backfill run face_index` with these arguments; stopped, as by Ctrl-C, after the block."""
    environment = {**os.environ, **service.environment(), "DATABASE_URL": url}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "runner", "run", TASK, *given],
            env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield
            if process.poll() is not None:
                raise RuntimeError(f"it ended by itself: {log.read_text()[-2000:]}")
            process.terminate()
            process.wait(ENDED_S)
        finally:
            if process.poll() is None:
                # its children follow
                process.kill()
                process.wait()
