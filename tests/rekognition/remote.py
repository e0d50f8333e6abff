"""The service as tests see it: told and asked over HTTP, wherever it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

ROOT = Path(__file__).parents[2]

_opener = build_opener(ProxyHandler({}))


class Remote:
    """A service that runs at `url`, which is the SDK's `endpoint_url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def environment(self) -> dict[str, str]:
        """What leads the AWS SDK of a process here, with credentials and a region."""
        return {
            "AWS_ENDPOINT_URL_REKOGNITION": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": "/nonexistent",
            "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def state(self) -> dict[str, Any]:
        """`collections` (faces by collection), `calls` (by operation), `billed_pictures`, and
        `cpu_s`, which the service's process took so far.
        """
        return self._ask("state")

    def calls(self, operation: str) -> dict[str, Any]:
        """The numbers of one operation; none yet: an empty mapping."""
        found: dict[str, Any] = self.state()["calls"].get(operation, {})
        return found

    def arrivals(self) -> dict[str, Any]:
        """By operation, `arrived` and `admitted`: lists of monotonic seconds."""
        return self._ask("arrivals")

    def change(self, **settings: Any) -> None:
        """Settings in the form of JSON, see `Settings`; they hold from the next call on."""
        self._ask("settings", json.dumps(settings).encode())

    def put_object(self, bucket: str, name: str, picture: bytes) -> None:
        """A picture in S3."""
        self._ask(f"objects/{quote(bucket)}/{quote(name)}", picture)

    def reset(self) -> None:
        """As it was when it began."""
        self._ask("reset", b"")

    def _ask(self, what: str, body: bytes | None = None) -> dict[str, Any]:
        request = Request(f"{self.url}/control/{what}", data=body)  # noqa: S310 - it is HTTP
        with _opener.open(request, timeout=30) as reply:
            told: dict[str, Any] = json.load(reply)
            return told


@contextmanager
def in_process(settings: Mapping[str, Any] | None = None) -> Iterator[Remote]:
    """The service in a process of its own, which ends with the block or with this process."""
    command = [sys.executable, "-m", "tests.rekognition", "--port", "0", "--with-parent"]
    process = subprocess.Popen(
        [*command, "--settings", json.dumps(settings or {})],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield Remote(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.terminate()
        process.communicate()
