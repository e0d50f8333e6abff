"""Paths of objects: made from a digest, and never anything else."""

from __future__ import annotations

import re

from runner.errors import Permanent

_SUFFIX = re.compile(r"(?:\.[a-z0-9]{1,8})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(rf"{_DIGEST.pattern}{_SUFFIX.pattern}")
_SHARD = re.compile(r"[0-9a-f]{2}")
_PREFIX = re.compile(r"[0-9a-f]{0,2}|[0-9a-f]{2}/[0-9a-f]{0,2}|[0-9a-f]{2}/[0-9a-f]{2}/[0-9a-z.]*")


def object_path(digest: str, suffix: str) -> str:
    """The path of the object with this SHA-256 (lower-case hex); `ValueError` if malformed."""
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"not a SHA-256 in lower-case hex: {digest[:80]!r}")
    if not _SUFFIX.fullmatch(suffix):
        raise ValueError(f"not a suffix such as .jpg: {suffix[:80]!r}")
    return f"{digest[:2]}/{digest[2:4]}/{digest}{suffix}"


def is_object_path(path: str) -> bool:
    """Whether `object_path` could have made this path."""
    name = path[6:]
    return bool(_NAME.fullmatch(name)) and path == f"{name[:2]}/{name[2:4]}/{name}"


def digest_of(path: str) -> str:
    """The digest within an object's path; raises `Permanent` (`bad_path`) for any other path."""
    if not is_object_path(path):
        raise Permanent(f"not the path of a stored object: {path[:100]!r}", code="bad_path")
    return path[6:70]


def is_shard(name: str) -> bool:
    """Whether this is the name of a folder that holds objects or such folders."""
    return bool(_SHARD.fullmatch(name))


def check_prefix(prefix: str) -> None:
    """Raise `Permanent` (`bad_path`) unless objects' paths can begin with this."""
    if not _PREFIX.fullmatch(prefix):
        raise Permanent(f"no stored object's path begins with {prefix[:100]!r}", code="bad_path")
