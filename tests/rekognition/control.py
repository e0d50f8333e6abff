"""The service's other side: what tests read and set over HTTP, below /control/."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.rekognition.service import Reply, Service
from tests.rekognition.settings import Settings

PREFIX = "/control/"


class Control:
    """Holds the service, and answers:

    GET state: collections with their faces, calls, what was billed, the process's CPU seconds.
    GET arrivals: when calls arrived and were let in, by operation, in monotonic seconds.
    GET settings, POST settings: the body has those to change.
    POST objects/<bucket>/<name>: the body is a picture in S3.
    POST reset: forget everything, settings that were changed included.
    """

    def __init__(self, settings: Settings) -> None:
        self._initial = settings
        self.service = Service(settings)

    def answer(self, method: str, target: str, body: bytes) -> Reply:
        """400 for a setting that there isn't, 404 for what else isn't there."""
        asked = urlsplit(target).path.removeprefix(PREFIX)
        try:
            told = self._do(f"{method} {asked.partition('/')[0]}", asked, body)
        except (TypeError, ValueError) as error:
            return _reply(400, {"error": str(error)})
        return _reply(404, {"error": f"no {method} {asked}"}) if told is None else _reply(200, told)

    def _do(self, what: str, asked: str, body: bytes) -> dict[str, Any] | None:
        world = self.service.world
        match what:
            case "GET state":
                return {
                    "collections": world.store.as_json(),
                    **self.service.ledger.as_json(),
                    "cpu_s": time.process_time(),
                }
            case "GET arrivals":
                return self.service.ledger.arrivals()
            case "POST settings":
                world.settings = world.settings.changed(json.loads(body))
            case "POST objects":
                _, bucket, name = asked.split("/", 2)
                world.objects[bucket, unquote(name)] = body
                return {}
            case "POST reset":
                self.service = Service(self._initial)
            case "GET settings":
                pass
            case _:
                return None
        return self.service.world.settings.as_json()


def _reply(status: int, told: dict[str, Any]) -> Reply:
    return Reply(status, json.dumps(told).encode(), {"Content-Type": "application/json"})
