"""image_signals: reused payment screenshots across the whole history, and what else they tell."""

from __future__ import annotations

from contextlib import AbstractContextManager

from runner.contract import Compute, Input, Limiter, Pacing, Settings, Task
from runner.database.files import migrations_folder
from runner.tasks.downloads import OPTIONS

VERSION = 1
"""Of everything that is stored and compared; raised with `runner.similarity.VERSION`, so that the
pictures of two generations are never compared."""


def _open(settings: Settings, limiter: Limiter | None = None) -> AbstractContextManager[Compute]:
    # Here and not above: listing the tasks should not wait for codecs and an HTTP client.
    from runner.tasks.image_signals.opening import open_task

    return open_task(settings, limiter)


task = Task(
    name="image_signals",
    version=VERSION,
    summary="Finds reused payment screenshots across the whole history, and what else they tell.",
    open=_open,
    open_limited=_open,
    options=OPTIONS,
    pacing=Pacing(batch_size=5, batch_size_max=50, delay_ms=1000, delay_ms_max=30_000, threads=8),
    binding={
        "table": "public.payment_submissions",
        "key": "id",
        "url": "screenshot_url",
        "created_at": "created_at",
        "label": "flat_id",
        "signals": "public.payment_image_signals",
        "hash_index": "public.image_perceptual_hash_index",
    },
    migrations=migrations_folder() / "image_signals",
    inputs=(Input(("url", "created_at")),),
)
