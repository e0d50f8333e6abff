"""Setting the task up once a process: HTTP client, base URL, detector."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from runner.contract import Compute, Limiter, NoLimits, Settings
from runner.errors import Permanent, UsageError
from runner.fetch import Client
from runner.fetch.urls import check
from runner.tasks import downloads
from runner.tasks.quality_score import compute
from runner.tasks.quality_score.detector import Detector
from runner.tasks.quality_score.http_detector import TOKEN_VARIABLE, HttpDetector


@contextmanager
def open_task(settings: Settings, limiter: Limiter | None = None) -> Iterator[Compute]:
    """Set up the HTTP client and the detector; raises `UsageError` where a setting can't work."""
    # the detector is the operator's own service, and usually not public
    with (
        downloads.client(settings, limiter) as client,
        Client(limits=downloads.limits(settings)) as own,
    ):
        yield compute.Compute(
            client,
            _detector(settings, own, limiter or NoLimits()),
            min_box_confidence=settings["min_box_confidence"],
            max_pixels=downloads.max_pixels(settings),
        )


def _detector(settings: Settings, client: Client, limiter: Limiter) -> Detector | None:
    kind, url = settings["detector"], settings["detector_url"]
    if url and kind != "http":
        raise UsageError(f"--detector-url is for --detector http, which is {kind}")
    if kind == "http":
        if not url:
            raise UsageError("--detector http needs --detector-url")
        try:
            check(url)
        except Permanent as error:
            raise UsageError(f"--detector-url: {error}") from error
        return HttpDetector(
            client,
            url,
            token=os.environ.get(TOKEN_VARIABLE),
            label=settings["label"],
            min_confidence=settings["min_confidence"],
        )
    if kind == "rekognition":
        from runner.tasks.quality_score.rekognition import RekognitionDetector

        return RekognitionDetector(
            limiter,
            label=settings["label"],
            min_confidence=settings["min_confidence"],
            timeout_s=settings["download_timeout"],
        )
    return None
