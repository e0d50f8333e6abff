"""What waits for a person to look at it."""

from __future__ import annotations

from typing import Any

from runner.web.database import Calls

MOST = 1_000


def waiting(calls: Calls) -> list[dict[str, Any]]:
    """What there is of each installed task: `task`, the page's address `href`, and `text`."""
    counts = calls.one("review_counts")
    pairs, faces = counts["duplicates"], counts["faces"]
    found = []
    if pairs is not None:
        words = f"{_count(pairs, 'pair')} of payments that nobody has judged"
        found.append(
            {"task": "image_signals", "href": "/tasks/image_signals/duplicates", "text": words}
        )
    if faces is not None:
        words = f"{_count(faces, 'face')} to name"
        found.append({"task": "face_index", "href": "/tasks/face_index/faces", "text": words})
    return found


def _count(number: int, noun: str) -> str:
    """The database counts to 1,000."""
    least = "at least " if number >= MOST else ""
    return f"{least}{number:,} {noun}{'' if number == 1 else 's'}"
