"""What users write for the task's options, in the form in which every process reads it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from runner.contract import Settings
from runner.errors import UsageError

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kmgt]?)b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def where(text: str) -> str:
    """A storage, a folder with its whole path: processes may work in different ones."""
    text = text.strip()
    if not text or _SCHEME.match(text):
        return text
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError as error:
        raise UsageError(f"storage folder {text}: its home folder is not known") from error


def size(text: str) -> int:
    """Bytes, from `500MB` or `2GB` (powers of ten) or a plain number."""
    match = _SIZE.fullmatch(str(text).strip())
    amount = 0 if match is None else round(float(match[1]) * 1000 ** _POWERS[match[2].lower()])
    if amount < 1:
        raise UsageError(f"{text!r} is not an amount of bytes; write 500MB or 2GB")
    return amount


def plain_id(text: str) -> str:
    """An organization's key: a uuid, a number or a short word."""
    text = text.strip()
    if not _ID.fullmatch(text):
        raise UsageError(f"{text[:100]!r} is not the key of an organization")
    return text


def public_base(text: str) -> str:
    """An address that paths can be put behind."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    except ValueError:
        usable = False
    if not usable or "?" in text or "#" in text:
        raise UsageError(
            f"{text[:100]!r} is not an address such as https://cdn.example.com/pictures"
        )
    return text if text.endswith("/") else f"{text}/"


def by_organization(settings: Settings) -> str | None:
    """The condition that --organization-id stands for; `plain_id` leaves nothing to be quoted."""
    key = settings["organization_id"]
    if key is None:
        return None
    members = "select o.native_key from backfill.vehicle_organizations o"
    return f"native_key in ({members} where o.organization = '{key}')"
