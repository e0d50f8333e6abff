"""What a step makes of a vehicle's URLs, with a real server and a real folder."""

from __future__ import annotations

import errno
import time
from contextlib import AbstractContextManager
from typing import Any

import pytest

from runner.contract import NoLimits
from runner.errors import Halt, NothingFound, Permanent, Retry, Skip
from runner.pictures import inspect
from runner.tasks.vehicle_images import steps as steps_module
from tests.plugins.picture_host import body, redirect
from tests.vehicle_images.vehicles import jpeg
from tests.vehicle_images.world import ATTEMPTS, Vehicle, World, finished, labelled, step

# --- whole vehicles -------------------------------------------------------------------------------


def test_each_picture_is_stored_once_and_described(world: World) -> None:
    """Files of a vehicle become objects and rows; the same file twice is one object."""
    vehicle = Vehicle([world.serve(1), world.serve(2), world.serve(1, "/again.jpg")])
    result = step(vehicle, world.steps(public_url="https://cdn.test/p/"))
    assert not result.more
    assert (result.value["done"], result.value["error"]) == (True, None)
    assert vehicle.states() == ["stored"] * 3
    assert world.objects() == 2
    row = vehicle.pictures[1]
    assert row == {
        "position": 1, "source_url": vehicle.urls[1], "filename": "2.jpg",  # type: ignore[index]
        "storage_path": row["storage_path"],
        "image_url": "https://cdn.test/p/" + row["storage_path"],
        "file_hash": row["file_hash"], "file_size": len(jpeg(2)), "mime_type": "image/jpeg",
        "taken_at": None, "exif_data": None,
    }  # fmt: skip
    assert (world.folder / row["storage_path"]).read_bytes() == jpeg(2)
    size = len(jpeg(1)) * 2 + len(jpeg(2))
    assert labelled(result.figures) == {
        ("stored", "host:a.test"): 2, ("duplicate", "host:a.test"): 1,
        ("bytes", "host:a.test"): size, ("bytes", ""): size,
        ("objects", ""): 2, ("deduplicated", ""): 1,
    }  # fmt: skip


def test_one_dead_url_does_not_fail_the_others(world: World) -> None:
    """What is gone, forbidden or no picture is recorded by itself; the vehicle is done."""
    paths = ["/missing.jpg", "/gone.jpg", "/forbidden.jpg", "/html.jpg", "/empty.jpg", "/loop.jpg"]
    vehicle = Vehicle([*map(world.url, paths), world.serve(1)])
    value = finished(vehicle, world.steps())
    assert vehicle.states() == [
        "gone",
        "gone",
        "refused",
        "refused",
        "refused",
        "refused",
        "stored",
    ]
    assert vehicle.reasons() == [
        "http_404", "http_410", "http_403", "not_a_picture", "empty", "redirects", None,
    ]  # fmt: skip
    assert value["error"] == (
        "6 of 7 URLs: 1 empty, 1 http_403, 1 http_404, 1 http_410, 1 not_a_picture, 1 redirects"
    )
    assert "HTTP 404 (not found)" in vehicle.outcomes[0]["error_message"]


def test_all_gone_is_nothing_found(world: World) -> None:
    """With nothing that may come back the vehicle is done, and says why."""
    vehicle = Vehicle([world.url("/missing.jpg"), world.url("/html.jpg")])
    with pytest.raises(NothingFound, match="2 of 2 URLs: 1 http_404, 1 not_a_picture") as caught:
        world.steps()(vehicle.row())
    result = caught.value.result
    assert result is not None
    assert (result["done"], len(result["outcomes"])) == (True, 2)
    assert labelled(caught.value.figures) == {
        ("gone", "host:a.test"): 1, ("refused", "host:a.test"): 1,
    }  # fmt: skip


def test_what_was_left_out_is_no_error(world: World) -> None:
    """Repetitions, drawings and what is beyond the most are recorded and not complained of."""
    urls = [world.serve(1), world.serve(1), world.url("/logo.svg"), world.serve(2), world.serve(3)]
    vehicle = Vehicle([*urls, world.url("/missing.jpg")])
    value = finished(vehicle, world.steps(most=2))
    assert vehicle.reasons() == [None, "repeated", "svg", None, "beyond", "beyond"]
    assert value["error"] is None
    assert world.asked("/3.jpg") == 0
    with pytest.raises(NothingFound, match="3 of 3 URLs: 2 svg, 1 not_text"):
        world.steps()(Vehicle([world.url("/a.svg"), None, world.url("/b.svg")]).row())


def test_a_list_of_nothing_is_skipped(world: World) -> None:
    """A row that the view should not have is no failure."""
    with pytest.raises(Skip):
        world.steps()(Vehicle([]).row())


@pytest.mark.parametrize("path", ["http://10.0.0.1/a.jpg", "/relative.jpg"])
def test_what_the_options_refuse_fails_and_is_told_first(world: World, path: str) -> None:
    """Addresses that may be allowed another time leave the vehicle undone; a step says it all."""
    vehicle = Vehicle([path, world.url("/missing.jpg")])
    compute = world.steps()
    result = step(vehicle, compute)
    assert (result.more, result.value["done"]) == (True, False)
    with pytest.raises(Permanent, match="no picture could be had: 2 of 2 URLs") as caught:
        compute(vehicle.row())
    assert caught.value.code in ("address_refused", "no_base_url")
    hint = "--allow" if caught.value.code == "address_refused" else "--base-url"
    assert hint in str(caught.value)


# --- trying again ---------------------------------------------------------------------------------


def test_a_url_is_tried_three_times_and_waits_between(world: World) -> None:
    """Each attempt is recorded with its wait, which doubles; the last one fails the URL alone."""
    vehicle = Vehicle([world.url("/error.jpg"), world.serve(1)])
    compute = world.steps()
    waits = []
    for _ in range(ATTEMPTS - 1):
        result = step(vehicle, compute)
        assert result.more
        assert result.after is not None
        assert vehicle.outcomes[0]["wait"] == result.after
        waits.append(result.after)
        vehicle.due()
    assert 1 <= waits[0] <= 2 <= waits[1] <= 4
    value = step(vehicle, compute).value
    assert vehicle.states() == ["failed", "stored"]
    assert value["error"] == "1 of 2 URLs: 1 http_500"
    assert (world.asked("/error.jpg"), world.asked("/1.jpg")) == (3, 1)


def test_a_url_is_not_tried_before_its_time(world: World) -> None:
    """While others are downloaded, one that failed has its rest."""
    vehicle = Vehicle([world.url("/error.jpg"), world.serve(1)])
    compute = world.steps()
    step(vehicle, compute)
    with pytest.raises(Retry) as caught:
        compute(vehicle.row())
    assert (caught.value.code, caught.value.counts) == ("http_500", False)
    assert caught.value.after == vehicle.outcomes[0]["wait"]
    assert world.asked("/error.jpg") == 1


def test_a_servers_own_wait_is_kept(world: World) -> None:
    """A Retry-After that counts as an attempt is obeyed where it is longer than the backoff."""
    world.host.add("/slow-down.jpg", body(b"", 500, {"Retry-After": "45"}))
    vehicle = Vehicle([world.url("/slow-down.jpg")])
    assert step(vehicle, world.steps()).after == 45


def test_with_one_attempt_nothing_is_tried_again(world: World) -> None:
    """The first failure is the last, and the vehicle says what it was."""
    vehicle = Vehicle([world.url("/error.jpg")])
    compute = world.steps(attempts=1)
    assert step(vehicle, compute).value["done"] is False
    with pytest.raises(Permanent, match="1 of 1 URLs: 1 http_500"):
        compute(vehicle.row())
    assert world.asked("/error.jpg") == 1


def test_what_failed_in_a_job_that_is_over_is_tried_anew(world: World) -> None:
    """Attempts that were taken back begin again; what is stored is not downloaded again."""
    flaky, stored = world.url("/flaky.jpg"), world.serve(1)
    vehicle = Vehicle([flaky, stored])
    world.host.add("/flaky.jpg", body(b"", 500))
    finished(vehicle, world.steps())
    assert vehicle.states() == ["failed", "stored"]
    vehicle.outcomes[0]["attempts"] = 0
    world.host.add("/flaky.jpg", jpeg(2))
    assert finished(vehicle, world.steps())["error"] is None
    assert vehicle.states() == ["stored", "stored"]
    assert world.asked("/1.jpg") == 1


def test_a_throttled_host_costs_no_attempt(world: World) -> None:
    """A 429 is told as the wait that the host asked for, and not held against the URL."""
    vehicle = Vehicle([world.url("/busy.jpg")])
    compute = world.steps()
    first = step(vehicle, compute)
    assert (first.more, first.after) == (True, 7)
    assert (vehicle.states(), vehicle.outcomes[0]["attempts"]) == (["pending"], 0)
    with pytest.raises(Retry) as caught:
        compute(vehicle.row())
    assert (caught.value.code, caught.value.counts, caught.value.after) == ("http_429", False, 7)


def test_a_throttled_host_holds_up_only_its_own(world: World) -> None:
    """The URLs of other hosts are done meanwhile, whatever stands first in the list."""
    urls = [world.url("/busy.jpg"), world.url("/never.jpg"), world.serve(1, host="b.test"),
            world.serve(2, host="c.test"), world.url("/error.jpg", "b.test")]  # fmt: skip
    vehicle = Vehicle(urls)
    result = step(vehicle, world.steps())
    assert vehicle.states() == ["pending", "pending", "stored", "stored", "pending"]
    assert world.asked("/never.jpg") == 0
    assert result.after is not None
    assert 1 <= result.after <= 2


def test_slow_urls_are_committed_one_by_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step ends after its time with what it has, and the next one goes on at once."""
    monkeypatch.setattr(steps_module, "STEP_S", 0.0)
    vehicle = Vehicle([world.serve(n) for n in range(4)])
    compute = world.steps()
    states = []
    for number in range(4):
        result = step(vehicle, compute)
        assert result.more == (number < 3)
        assert result.after in (None, 0)
        states.append(vehicle.states().count("stored"))
    assert states == [1, 2, 3, 4]
    assert [world.asked(f"/{n}.jpg") for n in range(4)] == [1] * 4


@pytest.mark.parametrize("number", [20, 100])
def test_no_vehicle_takes_too_many_steps(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """However slow each URL is, and though each fails each time, it is far from 1000 steps."""
    monkeypatch.setattr(steps_module, "STEP_S", 0.0)
    vehicle = Vehicle([world.url(f"/error.jpg?{n}") for n in range(number)])
    compute, taken, now = world.steps(most=100), 0, 0.0
    while True:
        try:
            result = step(vehicle, compute)
        except Permanent:
            break
        taken += 1
        after = result.after or 0.0
        now += after
        for told in vehicle.outcomes.values():
            told["wait"] = max(told["wait"] - after, 0.0)
    assert vehicle.states() == ["failed"] * number
    assert taken <= ATTEMPTS * 20 + 20
    assert now < 600


def test_a_host_behind_a_redirect_holds_up_nobody_else(world: World) -> None:
    """What leads to a throttled host waits by itself; the host that sent it there is asked on."""

    class Busy(NoLimits):
        def acquire(
            self, name: str, tokens: int = 1, *, timeout: float | None = None
        ) -> AbstractContextManager[None]:
            if name == "host:b.test":
                raise Retry("b.test asked for a pause", code="rate_limit", after=3600, counts=False)
            return super().acquire(name, tokens, timeout=timeout)

    world.limiter = Busy()
    world.host.add("/to-b.jpg", redirect(world.url("/1.jpg", "b.test")))
    vehicle = Vehicle([world.url("/to-b.jpg"), world.serve(2), world.serve(3)])
    result = step(vehicle, world.steps())
    assert vehicle.states() == ["pending", "stored", "stored"]
    assert (result.more, result.after, vehicle.outcomes[0]["attempts"]) == (True, 3600, 0)
    with pytest.raises(Retry, match="pause"):
        world.steps()(vehicle.row())
    assert world.asked("/to-b.jpg") == 1


def test_a_host_that_refuses_for_ever_is_left_to_later_runs(world: World) -> None:
    """Each 429 makes the next wait longer, no attempt is counted, and other hosts go on."""
    world.host.add("/busy.jpg", body(b"", 429))
    vehicle = Vehicle([world.url("/busy.jpg"), world.serve(1, host="b.test")])
    waits = []
    for _ in range(9):
        result = step(vehicle, world.steps())
        assert result.more
        waits.append(float(result.after or 0))
        vehicle.due()
    assert vehicle.states() == ["pending", "stored"]
    assert vehicle.outcomes[0]["attempts"] == 0
    assert waits[0] <= 2
    assert waits[-1] >= 256  # longer than a run waits for anything: 300 s at the tenth


def test_what_failed_before_comes_last(world: World) -> None:
    """A slow URL is not waited for anew before the others had their turn."""
    vehicle = Vehicle([world.url("/error.jpg"), world.serve(1)])
    step(vehicle, world.steps())
    vehicle.due()
    vehicle.urls = [world.url("/error.jpg"), world.serve(1), world.serve(2)]
    step(vehicle, world.steps())
    asked = [request.target for request in world.host.requests]
    assert asked[-2:] == ["/2.jpg", "/error.jpg"]


def test_no_room_for_temporary_files_stops_the_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with this machine is not held against URLs."""

    def full(file: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("runner.tasks.vehicle_images.pictures.inspect", full)
    with pytest.raises(Halt, match="No space left"):
        world.steps()(Vehicle([world.serve(1)]).row())


def test_an_unforeseen_failure_is_one_urls_attempt(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decoder that breaks, or memory that runs out, costs that URL and none of the others."""
    real = inspect

    def breaks(file: Any, **options: Any) -> Any:
        if file.read() == jpeg(1):
            raise MemoryError("no \0 memory \udcff")
        return real(file, **options)

    monkeypatch.setattr("runner.tasks.vehicle_images.pictures.inspect", breaks)
    vehicle = Vehicle([world.serve(1), world.serve(2)])
    value = finished(vehicle, world.steps())
    assert vehicle.states() == ["failed", "stored"]
    assert value["error"] == "1 of 2 URLs: 1 MemoryError"
    assert vehicle.outcomes[0]["error_message"] == "MemoryError: no  memory ?"


def test_a_list_that_changed_begins_with_what_is_still_in_it(world: World) -> None:
    """What stands where it stood is known; another URL in its place is another matter."""
    vehicle = Vehicle([world.serve(1), world.serve(2)])
    step(vehicle, world.steps())
    vehicle.urls = [world.url("/1.jpg"), world.serve(3), world.url("/2.jpg")]
    result = world.steps()(vehicle.row())
    assert [("state" in o, o["position"]) for o in result.value["outcomes"]] == [
        (False, 0), (True, 1), (True, 2),
    ]  # fmt: skip
    assert [world.asked(f"/{n}.jpg") for n in (1, 2, 3)] == [1, 2, 1]


def test_fewer_wanted_now_forgets_nothing(world: World) -> None:
    """A picture that is stored stays known when it is beyond the most; a raised most takes more."""
    vehicle = Vehicle([world.serve(n) for n in range(3)])
    finished(vehicle, world.steps(most=2))
    finished(vehicle, world.steps(most=1))
    assert vehicle.states() == ["stored", "stored", "left_out"]
    finished(vehicle, world.steps(most=3))
    assert vehicle.states() == ["stored"] * 3
    assert [world.asked(f"/{n}.jpg") for n in range(3)] == [1] * 3


def test_a_thousand_urls_are_no_matter(world: World) -> None:
    """Twenty are taken, the others are said to be beyond, and the step is quick."""
    vehicle = Vehicle([world.serve(1), *(world.url(f"/x{n}.jpg") for n in range(999))])
    began = time.monotonic()
    value = finished(vehicle, world.steps())
    assert vehicle.reasons().count("beyond") == 980
    assert value["error"] == "19 of 20 URLs: 19 http_404"
    assert time.monotonic() - began < 20
