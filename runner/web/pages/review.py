"""What waits for a person to look at it."""

from __future__ import annotations

from typing import Any

from runner.web.database import Calls


def waiting(calls: Calls) -> list[dict[str, Any]]:
    """For each installed task with results to look at: task, href, text, note."""
    found = []
    counts = calls.one("review_counts")
    if counts["duplicates"] is not None:
        number = counts["duplicates"]
        text = f"{number:,} {'pair' if number == 1 else 'pairs'} of payments to review"
        found.append(
            {"task": "image_signals", "href": "/tasks/image_signals/duplicates", "text": text,
             "note": None}
        )  # fmt: skip
    if counts["faces"] is not None:
        number = counts["faces"]
        text = f"{number:,} {'face' if number == 1 else 'faces'} to name"
        found.append(
            {"task": "face_index", "href": "/tasks/face_index/faces", "text": text, "note": None}
        )
    return found
