"""Two who write at the same moment: processes, users, and whoever begins a user anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.face_index.application import ANN, BEN, Application
from tests.face_index.picture import Picture, compared, decision, face, found, match
from tests.plugins.waiting import wait_until

BLOCKED = "select wait_event_type = 'Lock' from pg_stat_activity where pid = %s"


@pytest.fixture
def picture(application: Application) -> Picture:
    """A picture of Ann."""
    return Picture(application, application.add("a.jpg"))


@contextmanager
def first(
    application: Application, then: Callable[[Application], object]
) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that commits when another session, which does this, waits for its lock."""
    other = Application(application.url)
    with ThreadPoolExecutor() as thread, psycopg.connect(application.url) as ours:
        yield ours
        ended = thread.submit(then, other)
        pid = other.connection.info.backend_pid
        wait_until(lambda: ended.done() or application.one(BLOCKED, pid))
        assert not ended.done()
        ours.commit()
        ended.result()
    other.close()


def test_a_link_that_is_being_added_is_waited_for(picture: Picture) -> None:
    """Of two who link a face at one moment the user wins, and the row does not fail."""
    application = picture.application
    person = application.person("Ada")
    (of,) = picture.find("f1")
    last = compared(decisions=[decision(of, person)])
    with first(application, lambda other: other.apply(picture.asset, last)) as user:
        user.execute(
            "insert into face_person_links (face_id, person_group_id, confidence, assigned_by)"
            " values (%s, %s, 1, 'user')",
            [of, person],
        )
    assert application.all("select assigned_by from face_person_links") == [{"assigned_by": "user"}]
    assert application.one("select needs_assignment from faces") is False
    assert application.needs(picture.asset) is None


def test_who_links_by_hand_is_before_those_who_look_alike(picture: Picture) -> None:
    """A face that a user is linking to somebody gets no second person by its likeness."""
    application = picture.application
    ada, bob = application.person("Ada"), application.person("Bob")
    (of,) = picture.find("f1")
    picture.search(match(of, "known", 99.0))
    picture.decide(decision(of))
    Picture(application, application.add("b.jpg")).do("known", people=[ada])
    alike = "select backfill.assign_alike(%s)"
    with first(application, lambda other: other.all(alike, ANN)) as user:
        user.execute(
            "insert into face_person_links (face_id, person_group_id, confidence, assigned_by)"
            " values (%s, %s, 1, 'user')",
            [of, bob],
        )
    assert application.shown(picture.asset) == ["Bob"]


def test_a_face_that_is_being_deleted_is_waited_for(picture: Picture) -> None:
    """It is not linked, and its picture ends."""
    application = picture.application
    person = application.person("Ada")
    (of,) = picture.find("f1")
    last = compared(decisions=[decision(of, person)])
    with first(application, lambda other: other.apply(picture.asset, last)) as user:
        user.execute("update faces set deleted = true")
    assert application.one("select count(*) from face_person_links") == 0
    assert application.needs(picture.asset) is None


def test_a_picture_that_is_being_deleted_is_not_written_to(picture: Picture) -> None:
    """Its faces are nobody's when they come, and the neighbours' are written."""
    application = picture.application
    other = Picture(application, application.add("b.jpg", BEN))
    results = [
        {"key": one.asset, "revision": "r", "result": found(one.row, face(one.asset))}
        for one in (picture, other)
    ]
    both = "select backfill.apply_face_index(%s)"
    with first(application, lambda other: other.all(both, Jsonb(results))) as user:
        user.execute("delete from assets where id::text = %s", [picture.asset])
    rows = application.all("select asset_id::text as asset from faces")
    assert rows == [{"asset": other.asset}]


def test_a_reset_and_a_result_at_once(picture: Picture) -> None:
    """What comes after a reset is dropped, and the picture is to be done anew."""
    application = picture.application
    (of,) = picture.find("f1")
    last = compared(decisions=[decision(of, application.person("Ada"))])
    with first(application, lambda other: other.apply(picture.asset, last)) as operator:
        operator.execute("select backfill.face_index_reset(%s)", [ANN])
    assert application.one("select count(*) from faces") == 0
    assert picture.row["state"] is None


def test_users_in_another_order_do_not_lock_each_other_out(application: Application) -> None:
    """Two processes that finish pictures of the same users at once never end in a deadlock."""
    wanted: list[list[str]] = [[], []]
    for n in range(60):
        for mine, user in ((0, ANN), (0, BEN), (1, BEN), (1, ANN)):
            wanted[mine].append(application.add(f"{n}-{mine}.jpg", user))
    rows = {one: application.needs(one) for keys in wanted for one in keys}

    def finish(keys: list[str]) -> None:
        ours = Application(application.url)
        for at in range(0, len(keys), 4):
            results = [
                {"key": key, "revision": "r", "result": found(row, face(f"face of {key}"))}
                for key in keys[at : at + 4]
                if (row := rows[key]) is not None
            ]
            ours.all("select backfill.apply_face_index(%s)", Jsonb(results))
        ours.close()

    with ThreadPoolExecutor() as threads:
        list(threads.map(finish, wanted))
    counts = application.all("select face_count from face_collections")
    assert [row["face_count"] for row in counts] == [120, 120]
    assert application.one("select count(*) from faces") == 240
