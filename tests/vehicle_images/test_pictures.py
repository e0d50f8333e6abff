"""Which picture a URL stands for, what is kept of it, and what storage and budgets make of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from runner.contract import NoLimits, Spending
from runner.errors import Halt, Permanent, Retry
from runner.storage import Stored
from runner.tasks.vehicle_images.breaker import Breaker
from runner.tasks.vehicle_images.pictures import filename
from runner.tasks.vehicle_images.steps import Pace, Steps
from tests.pictures.samples import encoded, gradient, png_header
from tests.pictures.samples_exif import FULL, FULL_SUB, exif_block, with_exif
from tests.plugins.loopback import Exchange
from tests.plugins.picture_host import body
from tests.vehicle_images.vehicles import jpeg
from tests.vehicle_images.world import ATTEMPTS, Vehicle, World, finished, step

# --- the full size, and the URL that was given ----------------------------------------------------


def wordpress(world: World, host: str = "a.test") -> tuple[str, str]:
    """A smaller form and the path of the full one."""
    small, full = "/wp-content/uploads/car-300x200.jpg", "/wp-content/uploads/car.jpg"
    world.host.add(small, jpeg(1))
    return world.url(small, host), full


def test_the_full_size_is_preferred(world: World) -> None:
    """Where it is known and there, the smaller form isn't asked for."""
    small, full = wordpress(world)
    world.host.add(full, jpeg(2))
    vehicle = Vehicle([small])
    finished(vehicle, world.steps())
    row = vehicle.pictures[0]
    assert (row["source_url"], row["filename"], row["file_size"]) == (
        small, "car.jpg", len(jpeg(2)),
    )  # fmt: skip
    assert world.asked("/wp-content/uploads/car-300x200.jpg") == 0


@pytest.mark.parametrize("behaviour", [body(b"", 404), body(b"<html>", 200), body(b"", 403)])
def test_without_a_full_size_the_given_url_counts(
    world: World, behaviour: Callable[[Exchange], None]
) -> None:
    """A guess that was wrong is no failure."""
    small, full = wordpress(world)
    world.host.add(full, behaviour)
    vehicle = Vehicle([small])
    assert finished(vehicle, world.steps(), most=1)["error"] is None
    assert vehicle.pictures[0]["filename"] == "car-300x200.jpg"


def test_a_full_size_that_never_comes_is_given_up_at_last(world: World) -> None:
    """It may be a passing trouble, so the smaller picture is taken on the last attempt only."""
    small, full = wordpress(world)
    world.host.add(full, body(b"", 500))
    vehicle = Vehicle([small])
    assert finished(vehicle, world.steps(), most=ATTEMPTS)["error"] is None
    assert world.asked(full) == ATTEMPTS
    assert world.asked("/wp-content/uploads/car-300x200.jpg") == 1
    inner = f"http://gone.test:{world.host.server_port}/car.jpg"
    proxied = world.url(f"/cdn-cgi/image/width=80/{inner}")
    world.host.add(f"/cdn-cgi/image/width=80/{inner}", jpeg(3))
    vehicle = Vehicle([proxied])
    assert finished(vehicle, world.steps(), most=ATTEMPTS)["error"] is None


# --- what a picture is ----------------------------------------------------------------------------

KINDS = [
    ("JPEG", "image/jpeg", ".jpg"), ("PNG", "image/png", ".png"), ("WEBP", "image/webp", ".webp"),
    ("GIF", "image/gif", ".gif"), ("BMP", "image/bmp", ".bmp"), ("TIFF", "image/tiff", ".tiff"),
    ("AVIF", "image/avif", ".avif"), ("HEIF", "image/heic", ".heic"),
]  # fmt: skip


def test_every_kind_of_picture_is_known_by_its_content(world: World) -> None:
    """Type and suffix are those of the bytes, whatever the URL or the server says."""
    for form, _, _ in KINDS:
        world.host.add(f"/{form}.jpg", body(with_exif(form), 200, {"Content-Type": "text/html"}))
    vehicle = Vehicle([world.url(f"/{form}.jpg") for form, _, _ in KINDS])
    assert finished(vehicle, world.steps())["error"] is None
    rows = [vehicle.pictures[place] for place in range(len(KINDS))]
    assert [(row["mime_type"], row["filename"]) for row in rows] == [
        (mime, f"{form}{suffix}") for form, mime, suffix in KINDS
    ]
    assert all(row["storage_path"].endswith(row["filename"][-4:]) for row in rows)


def test_the_exif_time_and_camera_are_kept_and_no_place(world: World) -> None:
    """Time with its zone, maker, model and program; nothing else of it."""
    world.host.add("/camera.jpg", with_exif("JPEG", exif_block(FULL, FULL_SUB)))
    vehicle = Vehicle([world.url("/camera.jpg")])
    finished(vehicle, world.steps())
    row = vehicle.pictures[0]
    assert row["taken_at"] == "2024-01-02T03:04:05+05:30"
    assert row["exif_data"] == {
        "make": "Fruit", "model": "Fruit Phone 12", "software": "16.2", "taken_at": row["taken_at"],
    }  # fmt: skip


def test_hostile_exif_harms_nobody(world: World) -> None:
    """NUL, half letters, control characters and impossible dates don't reach the row."""
    from PIL.ExifTags import Base

    tags: dict[int, Any] = {
        Base.Make: "Fr\0uit\x1b[31m",
        Base.Model: "x" * 5000,
        Base.Software: "\x80\xff",
    }
    for place, date in enumerate(
        ("0000:00:00 00:00:00", "9999:99:99 99:99:99", "1601:01:01 1:1:1")
    ):
        block = exif_block(tags, {Base.DateTimeOriginal: date})
        world.host.add(f"/{place}.jpg", with_exif("JPEG", block))
    vehicle = Vehicle([world.url(f"/{place}.jpg") for place in range(3)])
    finished(vehicle, world.steps())
    for row in vehicle.pictures.values():
        assert row["taken_at"] is None
        text = json.dumps(row)
        assert "\\u0000" not in text
        assert "\\u001b" not in text
        assert len(text) < 2000


def test_too_many_pixels_are_refused_before_anything_is_stored(world: World) -> None:
    """A small file that claims to be huge costs nothing."""
    world.host.add("/huge.png", png_header(60_000, 60_000))
    vehicle = Vehicle([world.url("/huge.png"), world.serve(1)])
    finished(vehicle, world.steps(max_pixels=1_000_000))
    assert vehicle.reasons() == ["too_many_pixels", None]
    assert world.objects() == 1


def test_more_bytes_than_allowed_are_refused(world: World) -> None:
    """Endless answers, bombs and drips end by the limits, and the others are stored."""
    paths = ["/endless.jpg", "/gzip-bomb.jpg"]
    vehicle = Vehicle([*map(world.url, paths), world.serve(1)])
    finished(vehicle, world.steps())
    assert vehicle.reasons() == ["too_large", "too_large", None]


@pytest.mark.parametrize(
    "path, name",
    [
        ("/a/b/car.JPG?x=/y.png", "car.jpg"),
        ("/car", "car.jpg"),
        ("/car.v2", "car.jpg"),
        ("/my.old.car.webp", "my.old.car.jpg"),
        ("/%2e%2e%2fetc%2fpasswd", "etc_passwd.jpg"),
        ("/a%00b%0d%0a%5cc.jpg", "a_b___c.jpg"),
        ("/..%2f..%2f", None),
        ("/", None),
        ("/.jpg", "jpg.jpg"),
        ("/%E8%BB%8A.png", "車.jpg"),
        ("/%ED%A0%80.png", "\ufffd\ufffd\ufffd.jpg"),
        ("/cod%E2%80%AEgpj.exe", "cod_gpj.jpg"),
        ("/" + "x" * 500 + ".jpg", "x" * 196 + ".jpg"),
    ],
)
def test_a_name_is_the_last_of_the_path_and_harmless(path: str, name: str | None) -> None:
    """No folder, nothing that can't be printed or turns text round; the content's suffix."""
    assert filename(f"https://pictures.test{path}", ".jpg") == name


# --- storage, budgets and pace --------------------------------------------------------------------


def test_a_storage_that_can_not_be_used_ends_the_process(world: World) -> None:
    """Denied or full is nobody's row: it is said once, and no outcome is written."""
    vehicle = Vehicle([world.serve(1)])

    class Full:
        def put(self, *_: Any) -> Any:
            raise Permanent("storage folder /p: no space left", code="storage_full")

    source = replace(world.source(), storage=Full())  # type: ignore[arg-type]
    with pytest.raises(Halt, match="no space left"):
        Steps(source, 20, 0.0)(vehicle.row())


class Troubled:
    """A storage that fails as often as it is told to, and then works."""

    def __init__(self, times: int, code: str = "storage_io", after: float | None = None) -> None:
        self.times = times
        self.error = Retry("storage: no answer", code=code, after=after)

    def put(self, *_: Any) -> Stored:
        """Store nothing."""
        if self.times > 0:
            self.times -= 1
            raise self.error
        return Stored("ab/cd/x.jpg", True)


@pytest.mark.parametrize("code", ["storage_unavailable", "storage_io", "storage_throttled"])
def test_a_storage_in_trouble_costs_no_attempt(world: World, code: str) -> None:
    """The vehicle waits, and none of its other URLs is downloaded for nothing."""
    vehicle = Vehicle([world.serve(1), world.serve(2, host="b.test")])
    storage: Any = Troubled(9, code)
    compute = Steps(replace(world.source(), storage=storage), 20, 0.0)
    result = step(vehicle, compute)
    assert result.more
    assert result.after == 1
    assert [o["attempts"] for o in vehicle.outcomes.values()] == [0, 0]
    with pytest.raises(Retry, match="no answer") as caught:
        compute(vehicle.row())
    assert (caught.value.code, caught.value.counts) == (code, False)
    assert caught.value.after is not None
    assert caught.value.after <= 1
    assert [world.asked(f"/{n}.jpg") for n in (1, 2)] == [1, 0]


def test_a_storage_in_trouble_gets_longer_and_longer_rests(world: World) -> None:
    """Other vehicles of the process download nothing meanwhile; a success ends it."""
    now = [100.0]
    storage: Any = Troubled(9)
    breaker = Breaker(lambda: now[0])
    compute = Steps(replace(world.source(), storage=storage, breaker=breaker), 20, 0.0)

    def rest() -> float | None:
        asked = world.asked("/1.jpg")
        after = step(Vehicle([world.serve(1)]), compute).after
        assert step(Vehicle([world.url("/1.jpg")]), compute).after == after
        assert world.asked("/1.jpg") == asked + 1
        now[0] += after or 0.0
        return after

    assert [rest() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    storage.times = 0
    assert not step(Vehicle([world.serve(1)]), compute).more
    storage.times = 1
    assert rest() == 1


def test_failures_of_one_moment_are_one_trouble() -> None:
    """Threads that fail together begin one rest: the storage's own wait, if that is longer."""
    breaker = Breaker(lambda: 100.0)
    error = Retry("slow down", code="storage_throttled", after=30, counts=False)
    assert [breaker.failed(error).after for _ in range(8)] == [30] * 8
    with pytest.raises(Retry, match="slow down") as caught:
        breaker.check()
    assert (caught.value.code, caught.value.counts, caught.value.after) == (
        "storage_throttled", False, 30,
    )  # fmt: skip


def test_an_object_that_is_refused_is_not_the_pictures_fault(world: World) -> None:
    """What a stray file or the storage's limit keeps out is failed, not gone: it may go later."""
    first, second = jpeg(1), jpeg(2)
    vehicle = Vehicle([world.serve(1), world.serve(2)])
    stray = world.folder / hashlib.sha256(first).hexdigest()[:2]
    assert stray.name != hashlib.sha256(second).hexdigest()[:2]
    stray.touch()
    value = finished(vehicle, world.steps())
    assert (vehicle.states(), value["error"]) == (["failed", "stored"], "1 of 2 URLs: 1 bad_path")
    alone = Vehicle([world.url("/1.jpg")])
    with pytest.raises(Permanent, match="1 of 1 URLs: 1 bad_path") as caught:
        finished(alone, world.steps())
    assert caught.value.code == "bad_path"
    stray.unlink()


class Budget(NoLimits):
    """A budget of so many bytes."""

    def __init__(self, most: float) -> None:
        self.left = most

    @contextmanager
    def budget(
        self, meter: str, amount: float, at_least: float | None = None
    ) -> Iterator[Spending]:
        """Reserves until nothing is left."""
        assert (meter, at_least) == ("bytes", 1)
        if self.left < 1:
            raise Retry("the budget is used up", code="budget", counts=False)
        spending = Spending(min(amount, self.left))
        try:
            yield spending
        finally:
            self.left -= spending.used


def test_a_budget_that_is_used_up_holds_up_everything(world: World) -> None:
    """What was stored within it is kept; no other host is asked, and no attempt is counted."""
    world.limiter = Budget(len(jpeg(1)) + 1)
    urls = [world.serve(1), world.serve(2), world.serve(3), world.serve(4, host="b.test")]
    vehicle = Vehicle(urls)
    result = step(vehicle, world.steps(budgeted=True))
    assert result.more
    assert vehicle.states() == ["stored", "stored", "pending", "pending"]
    assert (world.asked("/3.jpg"), world.asked("/4.jpg")) == (0, 0)


def test_vehicles_of_a_process_begin_apart() -> None:
    """Each new vehicle has its turn, the first at once, and none is made up for."""
    began = time.monotonic()
    Pace(60).wait()
    assert time.monotonic() - began < 30
    pace, began = Pace(0.05), time.monotonic()
    for _ in range(4):
        pace.wait()
    assert time.monotonic() - began >= 0.15


def test_only_new_vehicles_wait_for_their_turn(world: World) -> None:
    """A later step of one that has begun goes on at once."""
    compute = Steps(world.source(), 20, 30.0)
    vehicle = Vehicle([world.url("/error.jpg")])
    began = time.monotonic()
    step(vehicle, compute)
    vehicle.due()
    step(vehicle, compute)
    assert time.monotonic() - began < 20


def test_the_size_of_an_animation_or_a_photograph_is_never_decoded(world: World) -> None:
    """A picture is stored as it came, byte for byte, however large."""
    photograph = encoded(gradient(1200, 800), "JPEG", quality=95)
    world.host.add("/large.jpg", photograph)
    vehicle = Vehicle([world.url("/large.jpg")])
    finished(vehicle, world.steps())
    stored = (world.folder / vehicle.pictures[0]["storage_path"]).read_bytes()
    assert stored == photograph
