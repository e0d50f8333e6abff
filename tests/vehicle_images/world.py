"""A host of many names, a folder, and steps of vehicles, without a database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from runner.contract import NoLimits, Result
from runner.errors import Figure
from runner.fetch import Client, Limits, Policy
from runner.storage import open_storage
from runner.tasks.downloads import HostGate
from runner.tasks.vehicle_images.pictures import Source
from runner.tasks.vehicle_images.steps import Steps
from tests.plugins.picture_host import PictureHost
from tests.vehicle_images.vehicles import jpeg

HOSTS = ("a.test", "b.test", "c.test")
POLICY = {"backoff_base": 2.0, "backoff_max": 600.0}

ATTEMPTS = 3

UNSET = dict.fromkeys(("error_class", "error_message", "file_hash"))


class Vehicle:
    """A vehicle's row from step to step, as the binding would keep it."""

    def __init__(self, urls: object) -> None:
        self.urls = urls
        self.outcomes: dict[int, dict[str, Any]] = {}
        self.pictures: dict[int, dict[str, Any]] = {}

    def row(self) -> dict[str, Any]:
        """The row of the needs view."""
        outcomes = list(self.outcomes.values()) or None
        return {"key": "1", "revision": "r", "image_urls": self.urls, "outcomes": outcomes,
                "retry_policy": POLICY}  # fmt: skip

    def keep(self, value: Mapping[str, Any]) -> None:
        """Keep what a step came to."""
        given = json.loads(json.dumps(value, allow_nan=False))
        kept = {}
        for told in given["outcomes"]:
            place = told["position"]
            if "state" in told:
                kept[place] = {**UNSET, "refusals": 0, **told, "wait": told.get("after", 0)}
            else:
                kept[place] = self.outcomes[place]
                assert kept[place]["url"] == told["url"]
        self.outcomes = kept
        self.pictures |= {row["position"]: row for row in given["pictures"]}

    def due(self) -> None:
        """Let every wait be over."""
        for told in self.outcomes.values():
            told["wait"] = 0

    def states(self) -> list[str]:
        """What became of the URLs, in their order."""
        return [self.outcomes[place]["state"] for place in sorted(self.outcomes)]

    def reasons(self) -> list[str | None]:
        """Why, in the same order."""
        return [self.outcomes[place]["error_class"] for place in sorted(self.outcomes)]


class CurrentGate:
    """The gate of whatever limiter the world has at that moment."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, host: str) -> AbstractContextManager[None]:
        return HostGate(self._world.limiter)(host)

    def throttled(self, host: str, after_s: float | None) -> None:
        """Passed on."""
        HostGate(self._world.limiter).throttled(host, after_s)


class World:
    """One host that has three names, a folder as storage, and steps that use them."""

    def __init__(self, host: PictureHost, folder: Path, stack: ExitStack) -> None:
        self.host = host
        self.folder = folder
        self.limiter: NoLimits = NoLimits()
        allow = ",".join(f"{name}:{host.server_port}" for name in HOSTS)
        self.client = stack.enter_context(
            Client(
                policy=Policy.parse(allow),
                limits=Limits(max_bytes=1_000_000, total_s=2.0, connect_s=1.0, read_s=1.0),
                resolve=self._resolve,
                gate=CurrentGate(self),
            )
        )
        self.storage = stack.enter_context(open_storage(str(folder)))

    def _resolve(self, name: str, port: int) -> Sequence[str]:
        if name not in HOSTS:
            raise OSError("no such name")
        return ["127.0.0.1"]

    def url(self, path: str, host: str = "a.test") -> str:
        """An address of the host."""
        return f"http://{host}:{self.host.server_port}{path}"

    def serve(self, number: int, path: str | None = None, host: str = "a.test") -> str:
        """Serve the picture with this number; its URL."""
        path = path or f"/{number}.jpg"
        self.host.add(path, jpeg(number))
        return self.url(path, host)

    def asked(self, path: str) -> int:
        """How often this was asked for."""
        return sum(request.target == path for request in self.host.requests)

    def source(self, **more: Any) -> Source:
        """Downloads and stores."""
        return Source(self.client, self.storage, self.limiter, **more)

    def steps(self, most: int = 20, attempts: int = ATTEMPTS, **more: Any) -> Steps:
        """The compute function."""
        return Steps(self.source(**more), most, 0.0, attempts)

    def objects(self) -> int:
        """Objects in the storage."""
        return sum(1 for _ in self.storage.list())


def step(vehicle: Vehicle, compute: Steps) -> Result:
    """One step that does not end in an exception; what it found is kept."""
    result = compute(vehicle.row())
    vehicle.keep(result.value)
    return result


def finished(vehicle: Vehicle, compute: Steps, most: int = 20) -> Mapping[str, Any]:
    """Step after step, without the waits; the value of the last."""
    for _ in range(most):
        result = step(vehicle, compute)
        if not result.more:
            return result.value
        vehicle.due()
    raise AssertionError(f"not over after {most} steps")


def labelled(figures: Sequence[Figure]) -> dict[tuple[str, str], float]:
    """Amounts by name and label."""
    found: dict[tuple[str, str], float] = {}
    for figure in figures:
        place = (figure.name, figure.label)
        found[place] = found.get(place, 0) + figure.amount
    return found
