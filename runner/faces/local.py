"""Faces on this machine, without any provider: dlib's detector, landmarks and descriptor.

dlib and its models come with the extra `faces-local` and are imported only when they are needed.
"""

from __future__ import annotations

import importlib
import math
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from runner.errors import UsageError
from runner.faces.contract import Box, Face
from runner.faces.sharpness import LEAST_SHARPNESS, sharpness

NAME = "dlib-resnet-v1"
VERSION = 1

SHORT_SIDE = 1024
LONG_SIDE = 2048
MOST_ENLARGED = 2.0
"""The detector knows faces of 80 pixels and more, so small pictures are enlarged for it: a face
is found from 40 pixels on, or from 4 % of the long side of a picture that is larger than 2048."""

CHIP_SIZE = 150
CHIP_PADDING = 0.25
"""Of the upright cut-out that the descriptor was trained on (dlib's default arguments)."""

_MODELS_PACKAGE = "face_recognition_models"
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"
_DESCRIPTOR = "dlib_face_recognition_resnet_model_v1.dat"

_CONFIDENCE_SLOPE = 3.8
_CONFIDENCE_MIDPOINT = 0.066
"""Of the logistic curve from the detector's score to the chance that it is a face: fitted to 164
detections that were looked at, by Platt's method (Advances in Large Margin Classifiers, 1999)."""

Pixels = npt.NDArray[np.uint8]


class LocalFaces:
    """Finds and describes faces with dlib; one for all threads of a process.

    The detector lets other threads run meanwhile, the descriptor does not (dlib 20.0), for 0.1 s
    a face and more. So faces are described one at a time, which keeps heartbeats going, and more
    processes are faster than more threads. A process takes up to 200 MB, and 100 more for each
    further thread. Raises `UsageError` where dlib or a model is not installed.

    Faces of less than `least_sharpness` get a flaw instead of an embedding.
    """

    name = NAME
    version = VERSION
    short_side = SHORT_SIDE

    def __init__(self, *, least_sharpness: float = LEAST_SHARPNESS) -> None:
        self._least_sharpness = least_sharpness
        self._dlib = _import_dlib()
        landmarks, descriptor = _model(_LANDMARKS), _model(_DESCRIPTOR)
        self._landmarks = self._dlib.shape_predictor(landmarks)
        self._descriptor = self._dlib.face_recognition_model_v1(descriptor)
        # dlib: no object of it may be used by two threads at once
        self._models_free = threading.Lock()
        self._own = threading.local()

    def find(self, image: Image.Image) -> list[Face]:
        """The faces of an upright RGB picture, from left to right; an empty list where none is.

        Each has an embedding of 128 numbers, but for those that are too blurred.
        """
        pixels = np.asarray(_scaled(image))
        found, scores, _ = self._detector().run(pixels, 0, 0.0)
        faces = [self._described(pixels, *one) for one in zip(found, scores, strict=True)]
        return sorted(faces, key=lambda face: (face.box.left, face.box.top))

    def _detector(self) -> Any:
        if not hasattr(self._own, "detector"):
            self._own.detector = self._dlib.get_frontal_face_detector()
        return self._own.detector

    def _described(self, pixels: Pixels, rectangle: Any, score: float) -> Face:
        box, confidence = _box(rectangle, pixels), _confidence(score)
        with self._models_free:
            points = self._landmarks(pixels, rectangle)
        chip = self._dlib.get_face_chip(pixels, points, size=CHIP_SIZE, padding=CHIP_PADDING)
        if sharpness(chip) < self._least_sharpness:
            return Face(box, confidence, flaw="too blurred to be told from others")
        with self._models_free:
            embedding = self._descriptor.compute_face_descriptor(chip)
        return Face(box, confidence, embedding=tuple(embedding))


def _scaled(image: Image.Image) -> Image.Image:
    factor = min(MOST_ENLARGED, LONG_SIDE / max(image.size))
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _box(rectangle: Any, pixels: Pixels) -> Box:
    """The part of a detection that is inside the picture: it may reach over an edge."""
    height, width = pixels.shape[:2]
    left, right = max(0, rectangle.left()), min(width, rectangle.right() + 1)
    top, bottom = max(0, rectangle.top()), min(height, rectangle.bottom() + 1)
    return Box(left / width, top / height, (right - left) / width, (bottom - top) / height)


def _confidence(score: float) -> float:
    return 100 / (1 + math.exp(_CONFIDENCE_SLOPE * (_CONFIDENCE_MIDPOINT - score)))


def _import_dlib() -> Any:
    try:
        return importlib.import_module("dlib")
    except ImportError as error:
        raise _missing(f"dlib can't be imported ({error})") from error


def _model(name: str) -> str:
    """The path of a model inside its package.

    The package is never imported: it asks for pkg_resources, which new Pythons lack. Its 68-point
    landmarks are not for commercial use, and are not used here.
    """
    package = find_spec(_MODELS_PACKAGE)
    if package is None or package.origin is None:
        raise _missing(f"the package {_MODELS_PACKAGE} is not installed")
    path = Path(package.origin).parent / "models" / name
    if not path.is_file():
        raise _missing(f"{_MODELS_PACKAGE} has no {name}")
    return str(path)


def _missing(what: str) -> UsageError:
    return UsageError(f"no local faces: {what}; try pip install 'pgbackfill[faces-local]'")
