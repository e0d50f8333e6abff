"""Setting the task up once a process: the HTTP client and the storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner.contract import Compute, Limiter, Settings
from runner.storage import open_storage
from runner.tasks import downloads
from runner.tasks.vehicle_images.pictures import Source
from runner.tasks.vehicle_images.steps import Steps


@contextmanager
def open_task(settings: Settings, limiter: Limiter) -> Iterator[Compute]:
    """Set up the HTTP client and the storage; raises `UsageError` where a setting can't work."""
    with (
        downloads.client(settings, limiter) as client,
        open_storage(settings["storage"], endpoint_url=settings["endpoint_url"]) as storage,
    ):
        source = Source(
            client,
            storage,
            limiter,
            max_pixels=downloads.max_pixels(settings),
            public_url=settings["public_url"] or "",
            budgeted=settings["max_bytes"] is not None,
        )
        yield Steps(
            source,
            settings["max_images"],
            settings["vehicle_delay"] / 1000,
            settings["url_attempts"],
        )
