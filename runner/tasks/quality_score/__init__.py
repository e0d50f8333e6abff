"""quality_score: rates each image 0..100 by subject, resolution and exposure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from runner.contract import Compute, Option, Pacing, Settings, Task
from runner.database.files import migrations_folder
from runner.errors import Permanent, UsageError
from runner.fetch import Base, Client, Limits
from runner.fetch.urls import check
from runner.tasks.quality_score import compute
from runner.tasks.quality_score.detector import Detector
from runner.tasks.quality_score.http_detector import TOKEN_VARIABLE, HttpDetector

OPTIONS = (
    Option("base_url", "what relative image URLs are relative to: an http(s) URL or a folder"),
    Option(
        "detector",
        "who finds the subject where no box is stored; none: it is estimated locally",
        default="none",
        choices=("none", "http", "rekognition"),
    ),
    Option("detector_url", "the vision service's address, for --detector http"),
    Option("label", "the label of a subject, as the detector names it", default="Bird"),
    Option(
        "min_confidence",
        "a detector's finds below this don't count",
        kind=float,
        default=0.5,
        minimum=0,
        maximum=1,
    ),
    Option(
        "min_box_confidence",
        "leave the score null where the subject's box is less certain than this",
        kind=float,
        default=0.0,
        minimum=0,
        maximum=1,
    ),
    Option(
        "max_megapixels",
        "refuse pictures with more pixels, before decoding them",
        kind=int,
        default=100,
        minimum=1,
        maximum=1000,
    ),
    Option(
        "max_megabytes",
        "refuse downloads that are larger",
        kind=int,
        default=50,
        minimum=1,
        maximum=1000,
    ),
    Option(
        "download_timeout",
        "seconds that a download or a detector's answer may take in all",
        kind=float,
        default=30.0,
        minimum=1,
        maximum=600,
    ),
)


@contextmanager
def open_task(settings: Settings) -> Iterator[Compute]:
    """Set up the HTTP client and the detector; raises `UsageError` where a setting can't work."""
    base = Base.parse(settings["base_url"]) if settings["base_url"] else None
    limits = Limits(
        max_bytes=settings["max_megabytes"] * 1_000_000, total_s=settings["download_timeout"]
    )
    with Client(base=base, limits=limits) as client:
        yield compute.Compute(
            client,
            _detector(settings, client),
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


task = Task(
    name="quality_score",
    version=compute.VERSION,
    summary="Scores each image 0..100 by subject, position, resolution, exposure and clarity.",
    open=open_task,
    options=OPTIONS,
    pacing=Pacing(batch_size=10, batch_size_max=50, delay_ms=2000, delay_ms_max=30_000, threads=8),
    binding={
        "table": "public.images",
        "key": "id",
        "url": "url",
        "width": "width",
        "height": "height",
        "source_type": "source_type",
        "boxes": "",
    },
    migrations=migrations_folder() / "quality_score",
)
