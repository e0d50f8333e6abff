"""The commands that whoever starts a process wants run: before a run, after a batch, after a run.

They come from the command line and the environment, never from the database: whoever may write
there could run anything here.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from runner.errors import UsageError

TIMEOUT_S = 60.0

VARIABLES = {
    "before_run": "BACKFILL_BEFORE_RUN",
    "after_batch": "BACKFILL_AFTER_BATCH",
    "after_run": "BACKFILL_AFTER_RUN",
    "hook_timeout": "BACKFILL_HOOK_TIMEOUT",
}
"""The options of `backfill run` that are given in the environment as well."""


@dataclass(frozen=True, slots=True)
class Commands:
    """A command for each moment, as words, or None; each may take `timeout` seconds."""

    before_run: tuple[str, ...] | None = None
    after_batch: tuple[str, ...] | None = None
    after_run: tuple[str, ...] | None = None
    timeout: float = TIMEOUT_S

    @classmethod
    def parse(
        cls,
        before_run: str | None,
        after_batch: str | None,
        after_run: str | None,
        timeout: float = TIMEOUT_S,
    ) -> Commands:
        """From text, split as a shell would, but none is used.

        Raises `UsageError` where one can't be split or its program is not there.
        """
        return cls(
            _words("before_run", before_run),
            _words("after_batch", after_batch),
            _words("after_run", after_run),
            timeout,
        )

    def of(self, moment: str) -> tuple[str, ...] | None:
        """The command for `before_run`, `after_batch` or `after_run`."""
        return {
            "before_run": self.before_run,
            "after_batch": self.after_batch,
            "after_run": self.after_run,
        }[moment]


def _words(moment: str, text: str | None) -> tuple[str, ...] | None:
    if text is None or not text.strip():
        return None
    flag = "--" + moment.replace("_", "-")
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{flag} can't be read: {str(error).lower()}") from error
    if not words or shutil.which(words[0]) is None:
        name = words[0] if words else ""
        raise UsageError(f"{flag}: there is no program {name!r}; name it with its whole path")
    return words


def environment_of(given: Mapping[str, str | None]) -> dict[str, str]:
    """Options of those names as variables of a child process's environment."""
    return {VARIABLES[name]: value for name, value in given.items() if value is not None}


def without_ours() -> dict[str, str]:
    """This process's environment without its commands, which its children are not to run too."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES.values()}
