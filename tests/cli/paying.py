"""The sample task with a paid provider, and what its rows are expected to cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runner.contract import Expected, Row, Settings
from tests.loop import paid

ASSUMED = 2.0
REGION = "*"


def expected(_settings: Settings, rows: Sequence[Row]) -> Sequence[Expected]:
    """A call for each row, and for each of those that are slow so many more of another kind."""
    slow = sum(row["behaviour"] == "slow" for row in rows)
    searches = Expected("rekognition", "SearchFaces", ASSUMED, basis="assumed", assumed=True)
    if slow:
        basis = f"{slow} of {len(rows)} are slow"
        searches = Expected("rekognition", "SearchFaces", slow / len(rows), basis=basis)
    return (
        Expected("rekognition", "IndexFaces", 1, REGION, rate="rekognition"),
        replace(searches, region=REGION, rate="rekognition"),
    )


task = replace(paid.task, expected=expected, sample=4)
