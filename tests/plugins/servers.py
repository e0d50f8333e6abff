"""Picks the PostgreSQL server that the tests use."""

from __future__ import annotations

import gc
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from runner.embedded import THROWAWAY, EmbeddedServer

CONTAINER_IMAGE = "postgres:17"


@dataclass(frozen=True, slots=True)
class Server:
    """A server: the URL of its maintenance database as superuser, and how it was come by."""

    url: str
    origin: str


@contextmanager
def any_server(folder: Path) -> Iterator[Server]:
    """$TEST_DATABASE_URL, else a container where Docker works, else an embedded server."""
    named = os.environ.get("TEST_DATABASE_URL")
    if named:
        yield Server(named, "TEST_DATABASE_URL")
        return
    with container() as found:
        if isinstance(found, Server):
            yield found
            return
        with EmbeddedServer(folder, settings=THROWAWAY) as server:
            yield Server(server.url(), f"embedded, since {found}")


@contextmanager
def container() -> Iterator[Server | str]:
    """A server in a container, or why there is none.

    Whatever goes wrong with Docker must not stop tests that can do without it, so every
    exception counts.
    """
    with warnings.catch_warnings():
        # Of the library's own: deprecated names, sockets left open after a refused connection.
        warnings.simplefilter("ignore")
        try:
            started = _start_container()
        except Exception as error:  # noqa: BLE001
            started = f"Docker can't be used ({type(error).__name__})"
        # The failed attempt's sockets go now, while their warnings are ignored.
        gc.collect()
    if isinstance(started, str):
        yield started
        return
    try:
        yield Server(started.get_connection_url(driver=None), f"container {CONTAINER_IMAGE}")
    finally:
        started.stop()


def _start_container() -> Any:
    from testcontainers.core.docker_client import DockerClient

    client = DockerClient(timeout=2).client
    try:
        client.ping()
    finally:
        client.close()
    try:
        from testcontainers.community.postgres import PostgresContainer
    except ImportError:
        from testcontainers.postgres import PostgresContainer
    found = PostgresContainer(CONTAINER_IMAGE, username="postgres", driver=None)
    try:
        found.start()
        psycopg.connect(found.get_connection_url(driver=None)).close()
    except BaseException:
        found.stop()
        raise
    return found


def open_folder() -> Path:
    """A temporary folder that the unprivileged account which root starts servers as can enter.

    Those of pytest's `tmp_path` are closed to all but their owner.
    """
    folder = Path(tempfile.mkdtemp(prefix="pgbackfill-tests-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    return folder
