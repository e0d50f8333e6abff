"""Measures the guards that a claim found due.

What they say is taken down in the database, for all processes; see sql/engine/0008.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from runner.database import failures
from runner.database.files import statement
from runner.database.session import Session

log = logging.getLogger(__name__)


def evaluate(session: Session, due: Sequence[Mapping[str, Any]]) -> None:
    """Measure guards, each given as `guard` and `timeout_ms`, the milliseconds it may take.

    Whatever a measurement fails with is the guard's: it holds or passes then.
    """
    for one in due:
        try:
            session.execute(
                statement("evaluate_guard"), {"guard": one["guard"]}, timeout_ms=one["timeout_ms"]
            )
        except psycopg.errors.QueryCanceled as error:
            # Measured in time, but not taken down in time: it is tried again when it is next due.
            log.debug("guard %s: %s", one["guard"], failures.first_line(error))
