"""Setting the task up once a process: the HTTP client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from runner.contract import Compute, Limiter, Settings
from runner.tasks import downloads
from runner.tasks.image_signals import compute


@contextmanager
def open_task(settings: Settings, limiter: Limiter | None = None) -> Iterator[Compute]:
    """Set up the HTTP client; raises `UsageError` where a setting can't work."""
    with downloads.client(settings, limiter) as client:
        yield compute.Compute(client, max_pixels=downloads.max_pixels(settings))
