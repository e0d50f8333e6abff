"""What the binding finds, writes and marks, in SQL alone."""

from __future__ import annotations

import time
from typing import Any

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

# --- which vehicles -------------------------------------------------------------------------------


@pytest.mark.parametrize("urls", [[given(0)], given(0), [None], [{"url": given(0)}], [""]])
def test_a_vehicle_that_names_something_is_found(vehicles: Vehicles, urls: object) -> None:
    """A list or a single text counts, whatever is in it: compute says what it is."""
    key = vehicles.add(urls)
    row = vehicles.needs(key)
    assert row is not None
    listed = urls if isinstance(urls, list) else [urls]
    assert (row["image_urls"], row["outcomes"]) == (listed, None)
    assert row["retry_policy"] == {"backoff_base": 1, "backoff_max": 4}


def test_of_an_endless_list_the_beginning_is_handed_out(vehicles: Vehicles) -> None:
    """A list of millions is nobody's; each step would carry it to and fro."""
    row = vehicles.needs(vehicles.add([given(place) for place in range(1_500)]))
    assert row is not None
    assert row["image_urls"] == [given(place) for place in range(1_000)]


@pytest.mark.parametrize("urls", [None, [], {}, {"url": "x"}, "", 7, True])
def test_a_vehicle_that_names_nothing_is_not(vehicles: Vehicles, urls: object) -> None:
    """What is neither a list nor a text, or is empty, needs nothing."""
    assert vehicles.needs(vehicles.add(urls)) is None


@pytest.mark.parametrize("metadata", [None, [], [given(0)], "text", 7, {}, {"image_url": "x"}])
def test_odd_metadata_is_passed_over(vehicles: Vehicles, metadata: object) -> None:
    """Metadata that is null, or no object, is no vehicle's list, and every view can read it."""
    value = None if metadata is None else Jsonb(metadata)
    assert vehicles.needs(vehicles.add([], origin_metadata=value)) is None
    assert vehicles.checks() == []
    assert vehicles.one("select vehicles from backfill.vehicle_images_coverage") == 1


def test_others_are_left_alone(vehicles: Vehicles) -> None:
    """Vehicles that aren't public, are marked, or have pictures of the application's own."""
    hidden = vehicles.add([given(0)], is_public=False)
    own = vehicles.named(1)
    vehicles.all("insert into vehicle_images (vehicle_id, image_url) values (%s, '/own.jpg')", own)
    for mark in (True, "true"):
        key = vehicles.add(
            [], origin_metadata=Jsonb({"image_urls": [1], "images_backfilled": mark})
        )
        assert vehicles.needs(key) is None
    assert vehicles.needs(hidden) is None
    assert vehicles.needs(own) is None


def test_the_view_reads_an_index(vehicles: Vehicles) -> None:
    """On a table that is done it costs an index with nothing in it."""
    vehicles.all(
        "insert into vehicles (origin_metadata)"
        """ select '{"image_urls": ["x"], "images_backfilled": true}'"""
        " from generate_series(1, 5000)"
    )
    vehicles.all("analyze vehicles")
    plan = "\n".join(
        row["QUERY PLAN"]
        for row in vehicles.all(
            "explain select key from backfill.needs_vehicle_images order by native_key limit 100"
        )
    )
    assert "vehicles_needs_images_idx" in plan
    assert "Seq Scan on vehicles" not in plan


# --- steps ----------------------------------------------------------------------------------------


def test_a_step_keeps_what_is_done_and_the_last_one_marks(vehicles: Vehicles) -> None:
    """Rows and outcomes commit step by step; the mark comes with the last."""
    key = vehicles.named(3)
    vehicles.apply(
        key, outcome(0), outcome(1, "pending", attempts=1), outcome(2, "pending"),
        pictures=(picture(0),),
    )  # fmt: skip
    assert vehicles.states(key) == {0: "stored", 1: "pending", 2: "pending"}
    assert vehicles.marks(key) == {}
    assert vehicles.primary(key) is None
    row = vehicles.needs(key)
    assert row is not None
    assert [known["attempts"] for known in row["outcomes"]] == [0, 1, 0]
    vehicles.apply(
        key, known(0), outcome(1, "gone"), outcome(2),
        pictures=(picture(2),), done=True, error="1 of 3 URLs: 1 http_404",
    )  # fmt: skip
    assert vehicles.states(key) == {0: "stored", 1: "gone", 2: "stored"}
    marks = vehicles.marks(key)
    assert marks.pop("at").endswith("Z")
    assert marks == {
        "": True, "count": 2, "method": "trickle_backfill", "error": "1 of 3 URLs: 1 http_404",
    }  # fmt: skip
    assert [(p["position"], p["is_primary"]) for p in vehicles.pictures(key)] == [
        (0, True), (2, False),
    ]  # fmt: skip
    assert vehicles.primary(key) == picture(0)["image_url"]
    assert vehicles.needs(key) is None
    assert vehicles.checks() == []


def test_a_step_applied_twice_changes_nothing(vehicles: Vehicles) -> None:
    """Whatever is repeated leaves the same rows and marks."""
    key = vehicles.named(2)
    revision = (vehicles.needs(key) or {})["revision"]
    seen = []
    for _ in range(2):
        vehicles.apply(
            key, outcome(0), outcome(1, file="file 0"),
            pictures=(picture(0), picture(1, "file 0")), done=True, revision=revision,
        )  # fmt: skip
        marks = vehicles.marks(key)
        marks.pop("at")
        seen.append((vehicles.pictures(key), vehicles.states(key), marks))
    assert seen[0] == seen[1]
    assert seen[0][1:] == (
        {0: "stored", 1: "duplicate"}, {"": True, "count": 1, "method": "trickle_backfill"},
    )  # fmt: skip


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_the_first_url_of_a_file_has_the_row(vehicles: Vehicles, order: tuple[int, ...]) -> None:
    """Of URLs with the same file the lowest place has it, whichever came first."""
    key = vehicles.named(3)
    done: list[int] = []
    for position in order:
        vehicles.apply(
            key, *map(known, done), outcome(position, file="same"),
            pictures=(picture(position, "same"),),
        )  # fmt: skip
        done.append(position)
    (row,) = vehicles.pictures(key)
    assert (row["position"], row["source_url"], row["filename"]) == (0, given(0), "0.jpg")
    assert vehicles.states(key) == {0: "stored", 1: "duplicate", 2: "duplicate"}


def test_pictures_of_the_application_are_not_touched(vehicles: Vehicles) -> None:
    """A picture that the application added meanwhile keeps its row, its place and its rank."""
    key = vehicles.named(2)
    vehicles.apply(key, outcome(0, "pending"), outcome(1, "pending"))
    vehicles.all(
        "insert into vehicle_images"
        " (vehicle_id, file_hash, image_url, position, source, is_primary)"
        " values (%s, %s, '/own.jpg', 7, 'upload', true)",
        key, sha("file 0"),
    )  # fmt: skip
    vehicles.store(key, 0, 1)
    rows = {row["position"]: (row["source"], row["is_primary"]) for row in vehicles.pictures(key)}
    assert rows == {1: ("trickle_backfill", False), 7: ("upload", True)}
    assert vehicles.primary(key) == "/own.jpg"
    assert vehicles.checks() == []


@pytest.mark.parametrize("before, after", [("/mine.jpg", "/mine.jpg"), ("", None), (None, None)])
def test_the_first_picture_is_set_where_there_is_none(
    vehicles: Vehicles, before: str | None, after: str | None
) -> None:
    """An address that the application chose stays; an empty one counts as none."""
    key = vehicles.add([given(0)], primary_image_url=before)
    vehicles.store(key, 0)
    assert vehicles.primary(key) == (after or picture(0)["image_url"])


def test_nothing_found_is_marked_too(vehicles: Vehicles) -> None:
    """A vehicle all of whose URLs are gone is done, with the reasons and no picture."""
    key = vehicles.named(1)
    vehicles.apply(key, outcome(0, "gone"), done=True, error="1 of 1 URLs: 1 http_404")
    marks = vehicles.marks(key)
    assert (marks[""], marks["count"], marks["error"]) == (True, 0, "1 of 1 URLs: 1 http_404")
    assert vehicles.primary(key) is None
    assert vehicles.checks() == []


def test_an_earlier_error_goes_with_a_later_success(vehicles: Vehicles) -> None:
    """What failed once and was done later has no error any more; other metadata stays."""
    key = vehicles.named(1)
    vehicles.fail(key, "not now")
    assert vehicles.marks(key) == {"error": "not now"}
    vehicles.store(key, 0)
    assert "error" not in vehicles.marks(key)
    metadata = vehicles.one("select origin_metadata from vehicles where id = %s", key)
    assert (metadata["source"], metadata["image_urls"]) == ("listing", [given(0)])


def test_a_time_without_a_zone_is_utc(vehicles: Vehicles) -> None:
    """Whatever the session's time zone, EXIF times without one are read the same."""
    key = vehicles.named(3)
    vehicles.all("set timezone = 'Asia/Kathmandu'")
    times = ("2024-01-02T03:04:05", "2024-01-02T03:04:05+05:30", "9999-12-31T23:59:59-14:00")
    vehicles.apply(
        key, *map(outcome, range(3)),
        pictures=tuple(picture(n, taken_at=text) for n, text in enumerate(times)),
    )  # fmt: skip
    query = "select (taken_at at time zone 'UTC')::text as t from vehicle_images order by position"
    assert [row["t"] for row in vehicles.all(query)] == [
        "2024-01-02 03:04:05", "2024-01-01 21:34:05", "10000-01-01 13:59:59",
    ]  # fmt: skip


# --- checks and views -----------------------------------------------------------------------------


def test_checks_notice_what_is_wrong(vehicles: Vehicles) -> None:
    """Each check fails where what it says isn't so, and none trips over odd values."""
    key = vehicles.named(2)
    vehicles.store(key, 0, 1)
    assert vehicles.checks() == []
    for change, names in [
        (("update vehicles set origin_metadata = origin_metadata || "
         """'{"images_backfilled_count": "many"}'"""),
         ["every marked vehicle says how many pictures it got"]),
        ("update backfill.vehicle_url set state = 'pending', file_hash = null where position = 1",
         ["every marked vehicle says how many pictures it got",
          "no marked vehicle has a URL that is to be tried"]),
        ("update vehicle_images set storage_path = 'x' where position = 0",
         ["every picture stored has its path, hash and size"]),
        ("delete from vehicle_images where position = 0",
         ["every URL that was stored has its picture"]),
        ("update vehicle_images set is_primary = true", ["no vehicle has two first pictures"]),
    ]:  # fmt: skip
        with vehicles.connection.transaction(force_rollback=True):
            vehicles.all(change)
            assert vehicles.checks() == names
    with vehicles.connection.transaction(force_rollback=True):
        vehicles.all(
            "update vehicles set origin_metadata ="
            """ origin_metadata || '{"images_backfilled_count": "many"}'"""
        )
        assert vehicles.one("select pictures from backfill.vehicle_images_coverage") == 0


def test_hosts_and_coverage_add_up(vehicles: Vehicles) -> None:
    """Outcomes by host, and how many vehicles have their pictures."""
    full, part, none = vehicles.named(2), vehicles.named(2), vehicles.named(1)
    vehicles.apply(
        full, outcome(0), outcome(1, file="file 0"),
        pictures=(picture(0), picture(1, "file 0")), done=True,
    )  # fmt: skip
    vehicles.apply(
        part, outcome(0), outcome(1, "gone", host="other.test"), pictures=(picture(0),), done=True,
        error="1 of 2 URLs: 1 http_404",
    )  # fmt: skip
    vehicles.apply(none, outcome(0, "left_out", host=None))
    hosts = {row.pop("host"): row for row in vehicles.all(
        "select host, stored, duplicates, gone, refused, failed, pending"
        " from backfill.vehicle_hosts"
    )}  # fmt: skip
    nothing = dict.fromkeys(("stored", "duplicates", "gone", "refused", "failed", "pending"), 0)
    assert hosts == {
        "pictures.test": {**nothing, "stored": 2, "duplicates": 1},
        "other.test": {**nothing, "gone": 1},
    }
    assert vehicles.all("select * from backfill.vehicle_images_coverage") == [
        {"vehicles": 3, "with_urls": 3, "backfilled": 2, "pictures": 2, "with_errors": 1}
    ]


def test_what_a_row_refers_to_is_kept(vehicles: Vehicles) -> None:
    """A collector of orphans is told which of its paths have a row."""
    key = vehicles.named(1)
    vehicles.store(key, 0)
    path = picture(0)["storage_path"]
    asked: Any = [path, picture(1)["storage_path"]]
    found = vehicles.all("select backfill.kept_objects(%s) as path", asked)
    assert [row["path"] for row in found] == [path]
    assert vehicles.all("select backfill.storing_tasks() as task") == [{"task": "vehicle_images"}]


# --- size, and an application that refuses --------------------------------------------------------


def test_thousands_of_urls_are_compared_in_a_moment(vehicles: Vehicles) -> None:
    """A step that changes nothing costs no more than the one that wrote its outcomes."""
    everything = range(4000)
    key = vehicles.named(4000)
    spent = []
    for outcomes in (
        [outcome(n, "left_out") for n in everything],
        list(map(known, everything)),
    ):
        row = Jsonb([vehicles.result(key, {"outcomes": outcomes})])
        began = time.monotonic()
        vehicles.all("select backfill.apply_vehicle_images(%s)", row)
        spent.append(time.monotonic() - began)
    assert len(vehicles.states(key)) == 4000
    assert spent[1] < 3 * spent[0]


@pytest.mark.parametrize(
    "hindrance, sqlstate",
    [
        ("create unique index on vehicle_images (image_url)", "23505"),
        ("alter table vehicle_images add check (file_size < 1000) not valid", "23514"),
        (
            (
                "create function no() returns trigger language plpgsql as"
                " $$ begin raise 'not here'; end $$;"
                " create trigger no before insert on vehicle_images for each row"
                " execute function no()"
            ),
            "P0001",
        ),
    ],
)
def test_an_application_that_refuses_says_why(
    own_vehicles: Vehicles, hindrance: str, sqlstate: str
) -> None:
    """Its own constraints and triggers hold, with its own error, and nothing is half written."""
    vehicles = own_vehicles
    first, second = vehicles.named(1), vehicles.named(1)
    vehicles.store(first, 0)
    vehicles.all(hindrance)
    with pytest.raises(psycopg.Error) as caught:
        vehicles.store(second, 0)
    assert caught.value.sqlstate == sqlstate
    assert vehicles.states(second) == {}
    assert vehicles.marks(second) == {}
