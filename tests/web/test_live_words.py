"""What the built-in tasks say of their rows, and the other statements that pages are made of."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from runner.database.files import statement
from tests.plugins.database import Database


@pytest.fixture
def connection(web_database: Database) -> psycopg.Connection[dict[str, Any]]:
    """A connection to a database with every built-in task."""
    made = psycopg.connect(web_database.url, autocommit=True, row_factory=dict_row)
    web_database.connections.append(made)
    return made


def noted(connection: psycopg.Connection[dict[str, Any]], task: str, *rows: str) -> list[str]:
    """Let a process of the task be done with these rows; what the log says of them."""
    connection.execute(
        "with run as (insert into backfill.run (task) values (%(task)s) returning id),"
        " runner as (insert into backfill.runner (run_id, task, task_version, host, pid, direct)"
        "  select id, %(task)s, 1, 'test', 1, false from run returning id)"
        " select set_config('test.runner', id::text, false) from runner",
        {"task": task},
    )
    for place, row in enumerate(rows):
        outcome, _, key = row.partition(" ")
        connection.execute(
            "select backfill.note_recent(current_setting('test.runner')::bigint, %s, 1,"
            " jsonb_build_array(jsonb_build_array(%s::integer, 0, %s::text, %s::text,"
            " case when %s::text = 'skipped' then 'not_needed' end, null)))",
            [task, place + 1, outcome, key, outcome],
        )
    found = connection.execute(statement("activity"), {"task": task, "limit": 100}).fetchall()
    return [row["words"] for row in found if row["key"]]


def test_payments_are_called_by_their_flat(
    connection: psycopg.Connection[dict[str, Any]],
) -> None:
    """And the log says which was found to be a duplicate, as people know it."""
    keys = [
        row["key"]
        for row in connection.execute(
            "insert into public.payment_submissions (screenshot_url, flat_id)"
            " select 'https://pictures.test/' || n || '.png', 'F-10' || n"
            " from generate_series(1, 4) n returning id::text as key"
        ).fetchall()
    ]
    connection.execute(
        "insert into backfill.image_subject"
        " (key, native_key, generation, revision, seen_at, sha256, algorithm, duplicate,"
        " similar_to)"
        " select p.id::text, p.id, 1, '', now(), sha256(''), 'dct', p.flat_id = 'F-102', %s"
        " from public.payment_submissions p where p.flat_id in ('F-102', 'F-103')",
        [keys[0]],
    )
    said = noted(
        connection, "image_signals", f"ok {keys[0]}", f"ok {keys[1]}", f"ok {keys[2]}",
        f"skipped {keys[3]}",
    )  # fmt: skip
    assert said == [
        "Processed F-101 - OK",
        "Processed F-102 - Duplicate detected!",
        "Processed F-103 - Like an earlier one, for a person to look at",
        "Skipped F-104 - Already analyzed",
    ]


def test_images_are_told_with_their_score(
    connection: psycopg.Connection[dict[str, Any]],
) -> None:
    """Each with its own; how all scores are spread is counted in steps of ten."""
    scores = (0, 9, 83, 90, 100)
    keys = [
        connection.execute(
            "insert into public.images (url, source_type, quality_score)"
            " values ('x', 'unsplash', %s) returning id::text as key",
            [score],
        ).fetchall()[0]["key"]
        for score in scores
    ]
    assert noted(connection, "quality_score", f"ok {keys[2]}") == [
        f"Processed {keys[2]} - Score 83"
    ]
    bands = connection.execute(statement("score_bands")).fetchall()
    assert [row["label"] for row in bands][::9] == ["0-9", "90-100"]
    assert [row["rows"] for row in bands] == [2, 0, 0, 0, 0, 0, 0, 0, 1, 2]


def test_other_statements_of_the_pages(connection: psycopg.Connection[dict[str, Any]]) -> None:
    """What is to be reviewed is counted, and each task has its numbers."""
    assert connection.execute(statement("review_counts")).fetchall() == [
        {"duplicates": 0, "faces": 0}
    ]
    all_tasks = connection.execute(statement("live_tasks")).fetchall()
    assert [row["task"] for row in all_tasks] == [
        "face_index", "image_signals", "quality_score", "vehicle_images",
    ]  # fmt: skip
