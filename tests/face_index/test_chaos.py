"""Processes that are killed, at a provider that fails all the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.faces_chaos import Plan, one, pictures
from tests.bench.faces_chaos_checks import Expected
from tests.bench.faces_chaos_world import world
from tests.face_index.application import install
from tests.plugins.database import DatabaseTemplate, NewDatabase


@pytest.mark.slow
def test_every_asset_is_done_once_whoever_is_killed(
    database_template: DatabaseTemplate, new_database: NewDatabase, tmp_path: Path
) -> None:
    """Each face has one row and each row a face, linked to whom it shows; each refusal failed one
    row; what was charged is in the books, and nothing is left unsettled.
    """
    plan = Plan(pictures=30, users=3, runners=2, quota=100, faults=0.02, most_kills=3, seed=2)
    of = world(plan.pictures, plan.users, plan.seed)
    url = new_database(template=database_template("faces", install)).url
    with pictures(of) as (host, where):
        killed = one(url, host, where, of, plan, tmp_path / "log")
    assert list(killed.problems(plan, Expected(of, killed.refused))) == []
    assert killed.ran.kills
    assert killed.refused
