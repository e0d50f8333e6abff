"""A real face, and the engine that finds it."""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path

import pytest
from PIL import Image

from runner.faces import FaceFinder
from runner.faces.local import LocalFaces


@pytest.fixture(scope="session")
def engine() -> FaceFinder:
    """The local engine; loading its models takes a second."""
    pytest.importorskip("dlib", reason="needs pip install 'pgbackfill[faces-local]'")
    return LocalFaces()


@pytest.fixture(scope="session")
def head() -> Image.Image:
    """An astronaut's head, 200 x 200: NASA's, in the public domain, from scikit-image."""
    path = Path(str(distribution("scikit-image").locate_file("skimage/data/astronaut.png")))
    return Image.open(path).convert("RGB").crop((130, 0, 330, 200))
