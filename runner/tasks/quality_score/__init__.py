"""quality_score: rates each image 0..100 by subject, resolution and exposure."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from runner.contract import Compute, Expected, Input, Limiter, Option, Pacing, Row, Settings, Task
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
    Option("detector_url", "the vision service's address, for --detector http", place=True),
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
        "max_cost",
        "stop when so many US dollars are spent, all processes together",
        kind=float,
        minimum=0.001,
    ),
    *downloads.OPTIONS,
)


def _open(settings: Settings, limiter: Limiter | None = None) -> AbstractContextManager[Compute]:
    # Here and not above: listing the tasks should not wait for codecs and an HTTP client.
    from runner.tasks.quality_score.opening import open_task

    return open_task(settings, limiter)


def _expected(settings: Settings, rows: Sequence[Row]) -> Sequence[Expected]:
    if settings["detector"] != "rekognition":
        return ()
    from runner.tasks.quality_score.rekognition import expected

    return expected(rows)


task = Task(
    name="quality_score",
    version=VERSION,
    summary="Scores each image 0..100 by subject, position, resolution, exposure and clarity.",
    open=_open,
    open_limited=_open,
    options=OPTIONS,
    expected=_expected,
    sample=100,
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
    inputs=(Input(("url", "boxes")),),
)
