"""What users write for the task's options, in the form in which every process reads it."""

from __future__ import annotations

import re

from runner.contract import Settings
from runner.errors import UsageError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_PREFIX = re.compile(r"[a-zA-Z0-9_.\-]{1,150}")
"""Leaves room for a user's id in the 255 characters of a CollectionId."""


def plain_id(text: str) -> str:
    """A user's key: a uuid, a number or a short word; raises `UsageError`."""
    text = text.strip()
    if not _ID.fullmatch(text):
        raise UsageError(f"{text[:100]!r} is not the key of a user")
    return text.lower() if re.fullmatch(r"[0-9A-Fa-f-]{36}", text) else text


def prefix(text: str) -> str:
    """The beginning of a collection's name; raises `UsageError`."""
    if not _PREFIX.fullmatch(text):
        raise UsageError(
            f"{text[:160]!r} can't begin a collection's name: "
            "it is 1 to 150 letters, digits and _ . -"
        )
    return text


def of_user(settings: Settings) -> str | None:
    """The condition that --user-id stands for; `plain_id` leaves nothing to be quoted."""
    key = settings["user_id"]
    return None if key is None else f"user_id = '{key}'"
