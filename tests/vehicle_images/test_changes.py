"""What a vehicle comes to whose list changes, that goes, that fails, or is done again."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.vehicle_images.vehicles import (
    Vehicles,
    given,
    known,
    outcome,
    picture,
    sha,
)

# --- what changes meanwhile -----------------------------------------------------------------------


def test_a_list_that_changed_meanwhile_is_not_marked(vehicles: Vehicles) -> None:
    """A vehicle is done by the list that it has, not by the one that was downloaded."""
    key = vehicles.named(1)
    revision = (vehicles.needs(key) or {})["revision"]
    vehicles.change(key, [given(0), given(1)])
    vehicles.apply(key, outcome(0), pictures=(picture(0),), done=True, revision=revision)
    assert vehicles.marks(key) == {}
    row = vehicles.needs(key)
    assert row is not None
    assert [known["state"] for known in row["outcomes"]] == ["stored"]
    vehicles.apply(key, known(0), outcome(1), pictures=(picture(1),), done=True)
    assert vehicles.marks(key)["count"] == 2
    assert vehicles.checks() == []


def test_urls_that_moved_take_their_pictures_along(vehicles: Vehicles) -> None:
    """After the list was turned round no two pictures have the same place."""
    key = vehicles.named(2)
    vehicles.store(key, 0, 1)
    vehicles.change(key, [given(1), given(0)])
    vehicles.clear(key)
    turned = [
        {**outcome(place, file=f"file {1 - place}"), "url": given(1 - place)} for place in (0, 1)
    ]
    rows = tuple(
        {**picture(place, f"file {1 - place}"), "source_url": given(1 - place)} for place in (0, 1)
    )
    vehicles.apply(key, *turned, pictures=rows, done=True)
    found = {row["file_hash"]: row["position"] for row in vehicles.pictures(key)}
    assert found == {sha("file 0"): 1, sha("file 1"): 0}
    assert vehicles.checks() == []


def test_urls_that_are_no_longer_named_are_forgotten(vehicles: Vehicles) -> None:
    """Outcomes follow the list; the pictures stay."""
    key = vehicles.named(3)
    vehicles.store(key, 0, 1, 2)
    vehicles.change(key, [given(0)])
    vehicles.clear(key)
    vehicles.apply(key, known(0), done=True)
    assert vehicles.states(key) == {0: "stored"}
    assert len(vehicles.pictures(key)) == 3
    assert vehicles.marks(key)["count"] == 1
    assert vehicles.checks() == []


def test_a_vehicle_that_is_gone_is_passed_over(vehicles: Vehicles) -> None:
    """Its results are dropped and its neighbours' are written; a failure of it is no error."""
    gone, kept = vehicles.named(1), vehicles.named(1)
    value = {"outcomes": [outcome(0)], "pictures": [picture(0)], "done": True}
    results = [vehicles.result(key, value) for key in (gone, kept)]
    vehicles.all("delete from vehicles where id = %s", gone)
    vehicles.apply_all(*results)
    vehicles.fail(gone)
    assert vehicles.states(gone) == {}
    assert vehicles.marks(kept)["count"] == 1
    assert vehicles.checks() == []


def test_metadata_that_is_no_object_any_more_stays_as_it_is(vehicles: Vehicles) -> None:
    """Nothing is glued onto a value that the application put there meanwhile."""
    for value in ("text", [1], 7):
        key = vehicles.named(1)
        revision = (vehicles.needs(key) or {})["revision"]
        vehicles.all("update vehicles set origin_metadata = %s where id = %s", Jsonb(value), key)
        vehicles.apply(key, outcome(0), pictures=(picture(0),), done=True, revision=revision)
        vehicles.fail(key)
        assert vehicles.one("select origin_metadata from vehicles where id = %s", key) == value


def test_two_processes_with_the_same_vehicle_take_turns(vehicles: Vehicles) -> None:
    """The second waits for the first, whose rows it then sees."""
    key = vehicles.named(2)
    row = (vehicles.needs(key) or {})["revision"]
    first = vehicles.result(key, {"outcomes": [outcome(0)], "pictures": [picture(0)]}, row)
    second = vehicles.result(
        key,
        {"outcomes": [outcome(0), outcome(1, file="file 0")],
         "pictures": [picture(0), picture(1, "file 0")], "done": True},
        row,
    )  # fmt: skip
    statement = "select backfill.apply_vehicle_images(%s)"
    with psycopg.connect(vehicles.url) as one, psycopg.connect(vehicles.url) as other:
        one.execute(statement, [Jsonb([first])])
        other.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(statement, [Jsonb([second])])
        other.rollback()
        one.commit()
        other.execute(statement, [Jsonb([second])])
        other.commit()
    assert [row["position"] for row in vehicles.pictures(key)] == [0]
    assert vehicles.marks(key)["count"] == 1
    assert vehicles.checks() == []


# --- failed, and done again -----------------------------------------------------------------------


def test_a_vehicle_that_failed_is_not_marked_and_its_urls_are_tried_anew(
    vehicles: Vehicles,
) -> None:
    """The error stands beside the list, what is gone stays gone, and attempts begin again."""
    key = vehicles.named(4)
    vehicles.apply(
        key, outcome(0, "failed", attempts=3), outcome(1, "gone"), outcome(2, "refused"),
        outcome(3, "pending", attempts=2, after=3600),
    )  # fmt: skip
    vehicles.fail(key, "no picture could be had")
    assert vehicles.marks(key) == {"error": "no picture could be had"}
    row = vehicles.needs(key)
    assert row is not None
    assert [(o["state"], o["attempts"], o["wait"]) for o in row["outcomes"]] == [
        ("pending", 0, 0), ("gone", 0, 0), ("pending", 0, 0), ("pending", 0, 0),
    ]  # fmt: skip


def test_a_url_waits_as_long_as_it_was_told(vehicles: Vehicles) -> None:
    """The database's clock says when a URL is due, and none is late for its job."""
    key = vehicles.named(3)
    vehicles.apply(
        key, outcome(0, "pending", after=60), outcome(1, "pending", after=0), outcome(2, "pending")
    )
    row = vehicles.needs(key)
    assert row is not None
    waits = [o["wait"] for o in row["outcomes"]]
    assert 50 < waits[0] <= 60
    assert waits[1:] == [0, 0]
    times = vehicles.all("select try_after is null as at_once from backfill.vehicle_urls")
    assert [row["at_once"] for row in times] == [False, False, True]


def test_a_mark_that_is_taken_away_means_what_failed(vehicles: Vehicles) -> None:
    """The vehicle is to be done again, and knows what is stored."""
    key = vehicles.named(2)
    vehicles.apply(
        key, outcome(0), outcome(1, "failed", attempts=3), pictures=(picture(0),), done=True,
        error="1 of 2 URLs: 1 http_404",
    )  # fmt: skip
    assert vehicles.needs(key) is None
    vehicles.clear(key)
    row = vehicles.needs(key)
    assert row is not None
    assert [(o["state"], o["attempts"]) for o in row["outcomes"]] == [("stored", 0), ("failed", 0)]


def test_outcomes_of_vehicles_that_are_gone_can_be_forgotten(vehicles: Vehicles) -> None:
    """Pruning forgets them, says how many URLs they had, and leaves the others'."""
    stays, goes = vehicles.named(1), vehicles.named(2)
    vehicles.store(stays, 0)
    vehicles.store(goes, 0, 1)
    vehicles.all("delete from vehicles where id::text = %s", goes)
    assert vehicles.one("select backfill.vehicle_images_prune()") == 2
    assert vehicles.one("select backfill.vehicle_images_prune()") == 0
    assert vehicles.states(stays) == {0: "stored"}
