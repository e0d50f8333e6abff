"""One step of a vehicle: try the URLs that are not done with, for a second, and say what came.

What a step found is committed before the next begins, so a process that is killed loses a second's
downloads. A URL that fails is tried again in a later step; the vehicle is done when none is left.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Mapping

from runner.contract import Result, Row
from runner.errors import Halt, Permanent, Retry, Skip
from runner.tasks.vehicle_images.pictures import Source
from runner.tasks.vehicle_images.step import Known, Step
from runner.tasks.vehicle_images.urls import Chosen, choose

STEP_S = 1.0
STEPS_A_LIST = 20
"""A step ends after `STEP_S` seconds, but not before it has tried this share of the vehicle's URLs,
and none begins before so many are due: the engine allows 1000 steps a row."""

OURS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)

Outcomes = Mapping[tuple[int, str], Known]
"""What is known from earlier steps, by place and URL."""


class Steps:
    """The task's compute function. Called from several threads."""

    def __init__(
        self, source: Source, max_images: int, delay_s: float, url_attempts: int = 3
    ) -> None:
        self._source = source
        self._max_images = max_images
        self._url_attempts = url_attempts
        self._pace = Pace(delay_s)

    def __call__(self, row: Row) -> Result:
        """A step of a vehicle.

        Raises `NothingFound` where none of its URLs has a picture, `Permanent` where that may be
        otherwise another time, and `Retry`, not counted, where nothing could be tried.
        """
        known = {(o["position"], o["url"]): o for o in row["outcomes"] or ()}
        if not known:
            self._pace.wait()
        chosen, left_out = choose(row["image_urls"], self._max_images)
        if not chosen and not left_out:
            raise Skip("the vehicle names no URLs")
        step = Step(row["retry_policy"])
        for entry in left_out:
            step.leave_out(entry, known.get((entry.position, entry.given)))
        at_least = -(-len(chosen) // STEPS_A_LIST)
        self._try(step, chosen, known, at_least)
        return step.ended(at_least)

    def _try(self, step: Step, chosen: list[Chosen], known: Outcomes, at_least: int) -> None:
        ends = time.monotonic() + STEP_S
        tried = 0
        # those that failed before come last, since they may take all the time there is
        failed = {place for place, outcome in known.items() if outcome["attempts"]}
        for url in sorted(chosen, key=lambda url: (url.position, url.given) in failed):
            before = known.get((url.position, url.given))
            if before is not None and _settled(before):
                step.keep(before)
            elif before is not None and before["state"] == "pending" and before["wait"]:
                step.wait(before)
            elif step.is_held(url):
                step.not_yet(url, before)
            elif tried >= at_least and time.monotonic() > ends:
                step.not_yet(url, before)
                step.waits.append(0.0)
            else:
                tried += self._try_one(step, url, before)

    def _try_one(self, step: Step, url: Chosen, before: Known | None) -> bool:
        """Whether it could be tried."""
        attempts = int(before["attempts"]) if before is not None else 0
        most = self._url_attempts
        try:
            found = self._source.fetch(url, last=attempts + 1 >= most)
        except Halt:
            raise
        except Permanent as error:
            step.refused(url, attempts, error)
        except Retry as error:
            if not error.counts:
                step.hold(url, before, error)
                return False
            step.failed(url, attempts + 1, error, most)
        except Exception as error:  # what one URL leads to must not cost the others
            if _is_ours(error):
                raise Halt(f"no picture can be worked on here: {error}") from error
            name = type(error).__name__
            step.failed(url, attempts + 1, Retry(f"{name}: {error}", code=name), most)
        else:
            step.stored(url, attempts, found)
        return True


def _is_ours(error: Exception) -> bool:
    """Whether it says nothing of the URL: no room for temporary files, or no descriptor."""
    return isinstance(error, OSError) and error.errno in OURS


def _settled(before: Known) -> bool:
    """Whether nothing is to be done. What failed in a job that is over has its attempts again."""
    if before["state"] == "failed":
        return int(before["attempts"]) > 0
    return before["state"] in ("stored", "gone", "refused")


class Pace:
    """Keeps the beginnings of vehicles in this process apart."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next vehicle may begin."""
        with self._lock:
            begins = max(self._next, time.monotonic())
            self._next = begins + self._seconds
        time.sleep(max(begins - time.monotonic(), 0.0))
