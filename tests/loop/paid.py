"""The sample task with a provider that charges for each call, and processes that die around it.

The provider is a folder with a file for each thing that it holds, of one byte for each call that
it charged for it: what it does and what it charges is one write. A row's behaviour says what goes
wrong at the first call for it: `dies_before` and `dies_after` kill the process, `lost` charges and
gives no answer, `refused` says no.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner.contract import Call, Compute, Limiter, Option, Result, Row, Settings
from runner.errors import Retry
from tests import sample


@dataclass(frozen=True)
class Provider:
    """What is in the folder."""

    folder: Path

    def call(self, key: str, behaviour: str) -> bool:
        """One call; False where it is refused."""
        first = self._first_time(key)
        if first and behaviour == "dies_before":
            os.kill(os.getpid(), signal.SIGKILL)
        if first and behaviour == "refused":
            return False
        with (self.folder / f"held-{key}").open("ab", buffering=0) as held:
            held.write(b"x")
        if first and behaviour == "dies_after":
            os.kill(os.getpid(), signal.SIGKILL)
        if first and behaviour == "lost":
            raise TimeoutError("no answer")
        return True

    def holds(self, key: str) -> bool:
        """Whether it has done its part for this row."""
        return self.charged()[key] > 0

    def charged(self) -> Counter[str]:
        """Calls that it charged, by row."""
        held = self.folder.glob("held-*")
        return Counter({path.name.removeprefix("held-"): path.stat().st_size for path in held})

    def _first_time(self, key: str) -> bool:
        try:
            (self.folder / f"asked-{key}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@contextmanager
def open_paid(settings: Settings, limiter: Limiter) -> Iterator[Compute]:
    """Pay once for each row, whatever dies."""
    provider = Provider(Path(str(settings["folder"])))

    def compute(row: Row) -> Result:
        key = row["key"]
        for past in row.get("effects", ()):
            limiter.found(key, past["id"], provider.holds(key))
        if not provider.holds(key):
            call = Call("rekognition", "IndexFaces", reference=key, payer=f"user:{int(key) % 2}")
            with limiter.effect(key, call) as effect:
                if not provider.call(key, row["behaviour"]):
                    effect.refused("slow down")
                    raise Retry("slow down", code="throttled", counts=False)
        return Result({"text": f"result of {row['input']}", "version": sample.task.version})

    yield compute


task = replace(
    sample.task,
    open_limited=open_paid,
    options=(*sample.task.options, Option("max_cost", "dollars", kind=float, minimum=0.000001)),
)
