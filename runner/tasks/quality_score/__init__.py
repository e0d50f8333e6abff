"""quality_score: rates each image 0..100 by subject, resolution and exposure."""

from __future__ import annotations

from contextlib import AbstractContextManager

from runner.contract import Compute, Limiter, Option, Pacing, Settings, Task
from runner.database.files import migrations_folder
from runner.tasks import downloads
from runner.tasks.quality_score.score import VERSION

OPTIONS = (
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
    *downloads.OPTIONS,
)


def _open(settings: Settings, limiter: Limiter | None = None) -> AbstractContextManager[Compute]:
    # Here and not above: listing the tasks should not wait for codecs and an HTTP client.
    from runner.tasks.quality_score.opening import open_task

    return open_task(settings, limiter)


def _price_usd(settings: Settings) -> float:
    if settings["detector"] != "rekognition":
        return 0.0
    from runner.tasks.quality_score.rekognition import USD_A_CALL

    return USD_A_CALL


task = Task(
    name="quality_score",
    version=VERSION,
    summary="Scores each image 0..100 by subject, position, resolution, exposure and clarity.",
    open=_open,
    open_limited=_open,
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
