"""What an explanation of image_signals comes down to."""

from __future__ import annotations


def finding(explanation: str) -> str:
    """What the comparison found: it follows the first colon; before it stands what was compared."""
    return explanation.partition(": ")[2] or explanation
