"""Fixtures of the tests of vehicle_images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from runner.cli import main
from tests.cli.conftest import Ended
from tests.plugins.database import DatabaseTemplate, NewDatabase, with_dbname
from tests.plugins.picture_host import PictureHost
from tests.plugins.processes import Command, StartCommand
from tests.vehicle_images.vehicles import Vehicles, jpeg
from tests.vehicle_images.vehicles_install import install
from tests.vehicle_images.world import World

SHARED = "pgbackfill_vehicles_shared"


@pytest.fixture(scope="session")
def shared_vehicles(server_url: str, database_template: DatabaseTemplate) -> Iterator[str]:
    """One database for all tests that leave no more than rows of vehicles behind."""
    template = database_template("vehicles", install)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"create database {SHARED} template {template}".encode())
        yield with_dbname(server_url, SHARED)
        connection.execute(f"drop database {SHARED} with (force)".encode())


@pytest.fixture
def vehicles(shared_vehicles: str) -> Iterator[Vehicles]:
    """A database with the task and no vehicles, for tests that call the binding only."""
    found = Vehicles(shared_vehicles)
    found.all("truncate vehicles, vehicle_images, organization_vehicles, backfill.vehicle_url")
    yield found
    found.close()


@pytest.fixture
def own_vehicles(
    database_template: DatabaseTemplate, new_database: NewDatabase
) -> Iterator[Vehicles]:
    """The same in a database of the test's own, for tests that run commands or change tables."""
    found = Vehicles(new_database(template=database_template("vehicles", install)).url)
    yield found
    found.close()


@pytest.fixture
def world(picture_host: PictureHost, tmp_path: Path) -> Iterator[World]:
    """See `World`."""
    with ExitStack() as stack:
        yield World(picture_host, tmp_path / "storage", stack)


# --- the command ------------------------------------------------------------------------------

QUICK = ("--delay", "0", "--vehicle-delay", "0")


class Run(Protocol):
    """Calls `backfill run vehicle_images` in this process, without pauses between vehicles, with
    the test's storage and host.
    """

    def __call__(self, *arguments: str) -> Ended: ...


class Start(Protocol):
    """The same as a process of its own."""

    def __call__(self, *arguments: str) -> Command: ...


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Where pictures are put."""
    return tmp_path / "storage"


@pytest.fixture
def given(own_vehicles: Vehicles, picture_host: PictureHost, storage: Path) -> list[str]:
    """The command, with a rate and a backoff at which tests are quick."""
    own_vehicles.all("select backfill.set_rate('host:127.0.0.1', 500, p_concurrency => 64)")
    own_vehicles.all(
        "update backfill.task set backoff_base = '50 milliseconds', backoff_max = '0.2 seconds'"
    )
    allow = f"127.0.0.1:{picture_host.server_port}"
    return ["run", "vehicle_images", "--storage", str(storage), "--allow", allow, *QUICK]


@pytest.fixture
def run(
    given: list[str],
    own_vehicles: Vehicles,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Run]:
    """See `Run`."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], (root.level, logging.getLogger("runner").level)
    monkeypatch.setenv("DATABASE_URL", own_vehicles.url)

    def call(*arguments: str) -> Ended:
        capsys.readouterr()
        code = main([*given, *arguments])
        captured = capsys.readouterr()
        return Ended(code, captured.out, captured.err)

    yield call
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    logging.getLogger("runner").setLevel(levels[1])


@pytest.fixture
def start(given: list[str], own_vehicles: Vehicles, command: StartCommand) -> Start:
    """See `Start`."""
    return lambda *arguments: command(own_vehicles.url, *given, *arguments)


@pytest.fixture
def fleet(own_vehicles: Vehicles, picture_host: PictureHost) -> Callable[..., list[str]]:
    """Adds vehicles of so many pictures each, none of which is another's; their keys."""
    served = 0

    def add(number: int, pictures: int = 2) -> list[str]:
        nonlocal served
        keys = []
        for _ in range(number):
            urls = []
            for _ in range(pictures):
                served += 1
                urls.append(picture_host.add(f"/{served}.jpg", jpeg(served)))
            keys.append(own_vehicles.add(urls))
        return keys

    return add
