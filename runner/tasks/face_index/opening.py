"""Setting the task up once a process: the HTTP client and what finds the faces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from runner.contract import Compute, Limiter, Settings
from runner.tasks import downloads
from runner.tasks.face_index.steps import Steps


@contextmanager
def open_task(settings: Settings, limiter: Limiter) -> Iterator[Compute]:
    """Set up the HTTP client and the backend; raises `UsageError` where a setting can't work."""
    max_pixels = downloads.max_pixels(settings)
    with downloads.client(settings, limiter) as client:
        if settings["backend"] == "local":
            from runner.tasks.face_index.local import LocalBackend

            yield Steps(LocalBackend(client, max_pixels), settings["collection_prefix"])
            return
        from runner.faces.rekognition import RekognitionFaces
        from runner.faces.rekognition_client import connect
        from runner.tasks.face_index.provider import ProviderBackend

        with closing(RekognitionFaces(connect(), limiter)) as faces:
            backend = ProviderBackend(client, faces, limiter, max_pixels)
            yield Steps(backend, settings["collection_prefix"])
