"""Faces: where they are in a picture, how alike two are, and what follows from that.

`local` finds and describes faces on this machine; `matching` decides by similarities, whichever
engine they come from. Nothing here knows of a database.
"""

from runner.faces.contract import (
    ASSIGN_FROM,
    SUGGEST_FROM,
    Box,
    Decision,
    Face,
    FaceFinder,
    Match,
    Suggestion,
)
from runner.faces.matching import decide, dropped
from runner.faces.similarity import distance, similarity

__all__ = [
    "ASSIGN_FROM",
    "SUGGEST_FROM",
    "Box",
    "Decision",
    "Face",
    "FaceFinder",
    "Match",
    "Suggestion",
    "decide",
    "distance",
    "dropped",
    "similarity",
]
