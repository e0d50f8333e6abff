"""Setting the task up once a process: HTTP client, base URL, detector."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from runner.contract import Compute, Settings
from runner.errors import Permanent, UsageError
from runner.fetch import Base, Client, Limits, Policy
from runner.fetch.urls import check
from runner.tasks.quality_score import compute
from runner.tasks.quality_score.detector import Detector
from runner.tasks.quality_score.http_detector import TOKEN_VARIABLE, HttpDetector


@contextmanager
def open_task(settings: Settings) -> Iterator[Compute]:
    """Set up the HTTP client and the detector; raises `UsageError` where a setting can't work."""
    base = Base.parse(settings["base_url"]) if settings["base_url"] else None
    limits = Limits(
        max_bytes=settings["max_megabytes"] * 1_000_000, total_s=settings["download_timeout"]
    )
    policy = Policy.parse(settings["allow"] or "")
    # the detector is the operator's own service, and usually not public
    with (
        Client(base=base, limits=limits, policy=policy) as client,
        Client(limits=limits) as own,
    ):
        yield compute.Compute(
            client,
            _detector(settings, own),
            min_box_confidence=settings["min_box_confidence"],
            max_pixels=settings["max_megapixels"] * 1_000_000,
        )


def _detector(settings: Settings, client: Client) -> Detector | None:
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
            label=settings["label"],
            min_confidence=settings["min_confidence"],
            timeout_s=settings["download_timeout"],
        )
    return None
