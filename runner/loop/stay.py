"""How long a process stays, and what it says as it leaves."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from runner.database.session import PATIENCE_S

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a process stays. `max_duration`, `grace` and `patience` (with a lost server) are
    seconds; as a `child` it leaves it to its command to say what is waited for. With `follow` it
    stays after all is done, for new rows. With `new_rows_only` its run is there for these alone.
    """

    threads: int
    max_duration: float | None = None
    grace: float = 30.0
    exit_on_pause: bool = False
    child: bool = False
    patience: float = PATIENCE_S
    follow: bool = False
    new_rows_only: bool = False


def say_what_is_waited_for(reason: str, rows: int, grace: float) -> None:
    """Tell why the process is not gone yet, and how to make it go."""
    again = "; interrupt again to leave at once" if reason == "interrupted" else ""
    log.info("stopping: finishing %d rows in the works, for up to %.0f s%s", rows, grace, again)
