"""Runs that share a budget, overlap, are killed or stopped, or lose their storage."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugins.loopback import Exchange
from tests.plugins.picture_host import PictureHost, body
from tests.vehicle_images.conftest import Run, Start
from tests.vehicle_images.vehicles import Vehicles, jpeg, objects


def test_a_budget_holds_across_processes(
    own_vehicles: Vehicles,
    start: Start,
    run: Run,
    fleet: Callable[..., list[str]],
    picture_host: PictureHost,
) -> None:
    """Downloads stop near the budget, all processes together, and the next run goes on."""
    keys = fleet(40, 3)
    size = len(jpeg(1))
    most = 30 * size
    ended = start("--workers", "2", "--threads", "4", "--max-bytes", str(most), "--json")
    assert ended.ended() == 0, ended.err
    assert ended.json["exit_reason"] == "budget"
    used = int(own_vehicles.one("select sum(used) from backfill.run_meter"))
    served = sum(request.target.endswith(".jpg") for request in picture_host.requests) * size
    # each of the eight threads may be at one picture when the budget is used up
    assert most - size < used < most + 8 * 1.2 * size
    assert abs(served - used) < 8 * 1.2 * size
    assert own_vehicles.one("select max(failures) from backfill.job") == 0
    rest = run()
    assert rest.code == 0, rest.err
    assert [own_vehicles.marks(key)["count"] for key in keys] == [3] * 40
    assert own_vehicles.checks() == []


def test_two_commands_at_once_share_the_work(
    own_vehicles: Vehicles,
    start: Start,
    fleet: Callable[..., list[str]],
    picture_host: PictureHost,
    storage: Path,
) -> None:
    """Overlapping runs do each vehicle once, and both end well."""
    keys = fleet(40)
    both = [start("--json"), start("--json")]
    assert [ended.ended() for ended in both] == [0, 0], both[0].err + both[1].err
    assert sum(ended.json["ok"] for ended in both) == 40
    assert [own_vehicles.marks(key)["count"] for key in keys] == [2] * 40
    targets = [request.target for request in picture_host.requests]
    assert len(targets) == len(set(targets)) == 80
    assert objects(storage) == own_vehicles.paths()


def waits(exchange: Exchange) -> None:
    """Answers only when the server ends."""
    exchange.stopping.wait()
    exchange.hang_up()


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on(
    own_vehicles: Vehicles,
    start: Start,
    run: Run,
    fleet: Callable[..., list[str]],
    picture_host: PictureHost,
    storage: Path,
) -> None:
    """After a kill -9 the next run ends with the same rows, and downloads no step again."""
    keys = fleet(6, 3)
    last = [f"/{3 * number}.jpg" for number in range(1, 7)]
    pictures = {path: picture_host.paths[path] for path in last}
    for path in last:
        picture_host.add(path, body(b"", 429, {"Retry-After": "1"}))
    killed = start()
    # two of three are committed by a step, the third is asked for again and again
    killed.until(lambda: len(own_vehicles.paths()) == 12)
    killed.send(signal.SIGKILL)
    assert killed.ended() == -signal.SIGKILL
    picture_host.paths |= pictures
    picture_host.requests.clear()
    ended = run()
    assert ended.code == 0, ended.err
    assert {request.target for request in picture_host.requests} <= set(last)
    assert [own_vehicles.marks(key)["count"] for key in keys] == [3] * 6
    assert objects(storage) == own_vehicles.paths()
    assert own_vehicles.checks() == []


def test_sigterm_keeps_what_is_done(
    own_vehicles: Vehicles,
    start: Start,
    run: Run,
    fleet: Callable[..., list[str]],
    picture_host: PictureHost,
) -> None:
    """It ends with 130 within its grace, what is stored is committed, and the next run goes on."""
    keys = fleet(6)
    slow = "/3.jpg"
    picture_host.add(slow, waits)
    stopped = start("--threads", "2", "--grace", "1s", "--batch-size", "1")
    stopped.until(
        lambda: own_vehicles.done() >= 1 and any(r.target == slow for r in picture_host.requests)
    )
    stopped.send(signal.SIGTERM)
    assert stopped.ended(20) == 130
    assert "Traceback" not in stopped.err
    picture_host.add(slow, jpeg(3))
    ended = run()
    assert ended.code == 0, ended.err
    assert [own_vehicles.marks(key)["count"] for key in keys] == [2] * 6
    assert own_vehicles.one("select max(failures) from backfill.job") == 0


def test_a_storage_that_goes_ends_the_run_and_blames_no_row(
    own_vehicles: Vehicles,
    run: Run,
    fleet: Callable[..., list[str]],
    picture_host: PictureHost,
    storage: Path,
) -> None:
    """One line says what is wrong with the storage; rows are handed back without an attempt."""
    fleet(4)

    def unmounts(exchange: Exchange) -> None:
        shutil.rmtree(storage, ignore_errors=True)
        exchange.answer(200, jpeg(2))

    picture_host.add("/2.jpg", unmounts)
    ended = run("--threads", "1")
    assert ended.code == 1
    (line,) = [line for line in ended.err.splitlines() if line.startswith("backfill:")]
    assert f"storage folder {storage}: there is no such folder" in line
    assert "Traceback" not in ended.err
    assert own_vehicles.one("select max(failures) from backfill.job") == 0
    assert own_vehicles.one("select count(*) from backfill.job where state = 'failed'") == 0
    picture_host.add("/2.jpg", jpeg(2))
    own_vehicles.all("truncate vehicle_images, backfill.vehicle_url")
    assert run().code == 0
    assert own_vehicles.done() == 4
