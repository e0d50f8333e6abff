"""Vehicles from step to step with the real binding: what steps say is what the database takes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.contract import Result
from runner.errors import NothingFound, Permanent
from runner.tasks.vehicle_images import steps as steps_module
from tests.plugins.picture_host import body
from tests.vehicle_images.vehicles import Vehicles, jpeg
from tests.vehicle_images.world import World

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
"""What jsonb can hold."""

ENTITIES = st.sampled_from(
    [
        "&#0;",
        "&#xD800;",
        "&#x110000;",
        "&amp;amp;lt;",
        "&#1;",
        "&bne;",
        "\u202e",
        "\x85",
        "%00",
        "//",
    ]
)
ENTRY = (
    TEXT
    | st.lists(TEXT | ENTITIES, max_size=4).map("".join)
    | st.builds("http://10.0.0.1/{}".format, TEXT)
    | st.builds("https://{}/a.jpg".format, TEXT)
    | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.fixed_dictionaries({"url": TEXT}) | st.lists(TEXT, max_size=2)
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(urls=st.lists(ENTRY, min_size=1, max_size=6) | TEXT.filter(bool))
def test_whatever_a_list_holds_the_vehicle_comes_to_an_end(
    vehicles: Vehicles, world: World, urls: Any
) -> None:
    """No JSON that the database can hold makes a step that it would not take."""
    key, compute = vehicles.add(urls), world.steps(attempts=1)
    for _ in range(3):
        came = vehicles.step(key, compute)
        if not isinstance(came, Result) or not came.more:
            break
    assert isinstance(came, NothingFound | Permanent)
    listed = urls if isinstance(urls, list) else [urls]
    assert sorted(vehicles.states(key)) == list(range(len(listed)))
    assert vehicles.marks(key)["error"].startswith(("no picture", f"{len(listed)} of", *"123456"))
    assert (vehicles.needs(key) is None) == isinstance(came, NothingFound)
    assert vehicles.checks() == []


def test_hostile_words_reach_the_database_as_words(vehicles: Vehicles, world: World) -> None:
    """NUL and half letters in what a server sends are no reason to lose a vehicle."""
    world.host.add("/a.jpg", body(b"\0\xed\xa0\x80 not \0 a picture"))
    world.host.add("/b%00%ED%A0%80.jpg", jpeg(1))
    key = vehicles.add([world.url("/a.jpg"), world.url("/b%00%ED%A0%80.jpg")])
    came = vehicles.step(key, world.steps())
    assert isinstance(came, Result)
    assert list(vehicles.states(key).values()) == ["refused", "stored"]
    assert vehicles.pictures(key)[0]["filename"] == "b_\ufffd\ufffd\ufffd.jpg"


def test_a_list_that_changes_between_two_steps(
    vehicles: Vehicles, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next step follows the new list; what is stored and named still is not asked for again."""
    monkeypatch.setattr(steps_module, "STEP_S", 0.0)
    urls = [world.serve(n) for n in range(4)]
    key, compute = vehicles.add(urls[:3]), world.steps()
    vehicles.step(key, compute)
    vehicles.change(key, [urls[0], urls[3]])
    came = vehicles.step(key, compute)
    assert isinstance(came, Result)
    assert not came.more
    assert [world.asked(f"/{n}.jpg") for n in range(4)] == [1, 0, 0, 1]
    assert vehicles.marks(key)["count"] == 2
    assert vehicles.checks() == []


def test_a_list_that_changes_while_it_is_downloaded(vehicles: Vehicles, world: World) -> None:
    """The vehicle is not done before its new list is."""
    first, second = world.serve(1), world.serve(2)
    key, compute = vehicles.add([first]), world.steps()

    def changes(row: Any) -> Any:
        came = compute(row)
        vehicles.change(key, [second])
        return came

    vehicles.step(key, changes)
    assert vehicles.marks(key) == {}
    vehicles.step(key, compute)
    assert vehicles.marks(key)["count"] == 1
    assert world.asked("/2.jpg") == 1
    assert len(vehicles.pictures(key)) == 2
    assert vehicles.checks() == []


def test_marks_that_are_taken_away_cost_no_download(vehicles: Vehicles, world: World) -> None:
    """The vehicle is done again by what is known; only what failed is tried anew."""
    world.host.add("/flaky.jpg", body(b"", 500))
    key = vehicles.add([world.serve(1), world.url("/flaky.jpg"), world.url("/missing.jpg")])
    vehicles.step(key, world.steps(attempts=1))
    assert vehicles.marks(key)["error"] == "2 of 3 URLs: 1 http_404, 1 http_500"
    world.host.add("/flaky.jpg", jpeg(2))
    vehicles.clear(key)
    vehicles.step(key, world.steps(attempts=1))
    assert vehicles.marks(key)["error"] == "1 of 3 URLs: 1 http_404"
    assert vehicles.marks(key)["count"] == 2
    assert [world.asked(path) for path in ("/1.jpg", "/flaky.jpg", "/missing.jpg")] == [1, 2, 1]
    assert vehicles.checks() == []


def test_what_the_options_refused_is_done_once_it_is_allowed(
    vehicles: Vehicles, world: World
) -> None:
    """A vehicle that failed keeps its error until it is taken up again, and then has none."""
    key = vehicles.add([f"http://d.test:{world.host.server_port}/1.jpg", "/1.jpg"])
    compute = world.steps(attempts=1)
    vehicles.step(key, compute)
    came = vehicles.step(key, compute)
    assert isinstance(came, Permanent)
    assert vehicles.marks(key) == {"error": str(came)}
    vehicles.change(key, [world.serve(1)])
    vehicles.step(key, compute)
    assert vehicles.marks(key)["count"] == 1
    assert "error" not in vehicles.marks(key)


def test_a_url_without_end_is_one_refused_url(vehicles: Vehicles, world: World) -> None:
    """However long a text is, it is that URL's trouble."""
    key = vehicles.add([world.url("/" + "x" * 100_000), world.serve(1)])
    vehicles.step(key, world.steps())
    assert list(vehicles.states(key).values()) == ["left_out", "stored"]
    assert "error" not in vehicles.marks(key)
