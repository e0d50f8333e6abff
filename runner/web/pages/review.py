"""What waits for a person to look at it."""

from __future__ import annotations

from typing import Any

from runner.web.database import Calls

MOST = 1_000


def waiting(calls: Calls) -> list[dict[str, Any]]:
    """What there is of each installed task: `task`, the page's address `href`, `text`, and the
    `number` that waits.
    """
    counts = calls.one("review_counts")
    pairs, faces = counts["duplicates"], counts["faces"]
    found = []
    if pairs is not None:
        words = f"{_count(pairs, 'pair')} of payments that nobody has judged"
        found.append(_link("image_signals", "duplicates", words, pairs))
    if faces is not None:
        found.append(_link("face_index", "faces", f"{_count(faces, 'face')} to name", faces))
    return found


def _link(task: str, page: str, text: str, number: int) -> dict[str, Any]:
    return {"task": task, "href": f"/tasks/{task}/{page}", "text": text, "number": number}


def _count(number: int, noun: str) -> str:
    """The database counts to 1,000."""
    least = "at least " if number >= MOST else ""
    return f"{least}{number:,} {noun}{'' if number == 1 else 's'}"
