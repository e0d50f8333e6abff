"""Setting the task up once a process: the HTTP client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner.contract import Compute, Settings
from runner.fetch import Base, Client, Limits, Policy
from runner.tasks.image_signals import compute


@contextmanager
def open_task(settings: Settings) -> Iterator[Compute]:
    """Set up the HTTP client; raises `UsageError` where a setting can't work."""
    base = Base.parse(settings["base_url"]) if settings["base_url"] else None
    limits = Limits(
        max_bytes=settings["max_megabytes"] * 1_000_000, total_s=settings["download_timeout"]
    )
    policy = Policy.parse(settings["allow"] or "")
    with Client(base=base, limits=limits, policy=policy) as client:
        yield compute.Compute(client, max_pixels=settings["max_megapixels"] * 1_000_000)
