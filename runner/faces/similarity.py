"""Distance of two embeddings to a similarity that has the same bands as Rekognition's."""

from __future__ import annotations

import math
from collections.abc import Sequence

from runner.faces.contract import ASSIGN_FROM, SUGGEST_FROM

ASSIGN_DISTANCE = 0.42
SUGGEST_DISTANCE = 0.55
"""Where the bands begin, for dlib's `dlib_face_recognition_resnet_model_v1`.

Of 5,113 pairs of different people none is as near as the first, 0.2 % are as near as the second,
and 1 % of the pairs among small faces of group photographs. See docs/decisions/local-faces.md.
"""


def _logit(percent: float) -> float:
    return math.log(percent / (100 - percent))


SLOPE = (_logit(ASSIGN_FROM) - _logit(SUGGEST_FROM)) / (SUGGEST_DISTANCE - ASSIGN_DISTANCE)
MIDPOINT = ASSIGN_DISTANCE + _logit(ASSIGN_FROM) / SLOPE
"""The logistic curve through both band edges: 11.986 and 0.6657. SQL that computes similarities
has to use the same two numbers."""


def distance(a: Sequence[float], b: Sequence[float]) -> float:
    """Euclidean distance of two embeddings: 0 for the same, rarely above 1.2."""
    return math.dist(a, b)


def similarity(apart: float) -> float:
    """0..100 for two embeddings that are so far apart: 95 at `ASSIGN_DISTANCE`, 80 at
    `SUGGEST_DISTANCE`.

    The scale says in which band a pair is. It is no probability that both show one person.
    """
    return 100 / (1 + math.exp(SLOPE * (apart - MIDPOINT)))
