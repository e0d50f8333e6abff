"""From what a user wrote to a storage that works, or to an error that says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from runner.errors import BackfillError, Permanent, Retry, UsageError
from runner.storage.contract import Storage
from runner.storage.folder import FolderStorage

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
"""Names that the SDK takes; services other than Amazon's allow more than Amazon does today."""

_FORMS = "give a folder, file:///srv/pictures or s3://bucket/prefix"


def open_storage(
    url: str,
    *,
    endpoint_url: str | None = None,
    writable: bool = True,
    connections: int = 16,
    timeout_s: float = 30.0,
) -> Storage:
    """Open the storage that a path of a folder, a file: URL or an s3: URL stands for.

    It is tried out first, by a write where it is to be `writable`; a folder is then made where it
    is missing. For s3, `endpoint_url` or the SDK's own settings (AWS_ENDPOINT_URL_S3, ...) name a
    service other than Amazon's, `connections` is how many threads will use it at once, and
    `timeout_s` how long an answer may keep it waiting. Raises `UsageError` where it can't be used
    as given and `BackfillError` where that may pass.
    """
    try:
        storage = _open(url.strip(), endpoint_url, writable, connections, timeout_s)
        try:
            storage.check(writable=writable)
        except BaseException:
            storage.close()
            raise
    except Permanent as error:
        raise UsageError(str(error)) from error
    except Retry as error:
        raise BackfillError(f"{error}; it may work again later") from error
    return storage


def _open(
    url: str, endpoint_url: str | None, writable: bool, connections: int, timeout_s: float
) -> Storage:
    scheme = _SCHEME.match(url)
    if scheme is None:
        return FolderStorage(_folder(url), create=writable)
    kind = scheme[1].lower()
    if kind == "file":
        return FolderStorage(_file_url(url), create=writable)
    if kind == "s3":
        # boto3 takes half a second to import, which a folder need not wait for
        from runner.storage.connect import connect

        bucket, prefix = _s3_url(url)
        return connect(bucket, prefix, endpoint_url, connections=connections, timeout_s=timeout_s)
    raise UsageError(f"there is no storage of the kind {kind}: {_FORMS}")


def _folder(path: str) -> Path:
    if not path or any(ord(character) < 32 for character in path):
        raise UsageError(f"no storage folder is named: {_FORMS}")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"storage folder {path}: its home folder is not known") from error


def _file_url(url: str) -> Path:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    plain = parts.netloc in ("", "localhost") and not parts.query and not parts.fragment
    if not plain or not parts.path.startswith("/"):
        raise UsageError("a file: URL names a folder on this machine, such as file:///srv/pictures")
    return _folder(unquote(parts.path))


def _s3_url(url: str) -> tuple[str, str]:
    """Bucket and prefix; what was given isn't repeated, since it may hold a password."""
    bucket, _, prefix = url.partition(":")[2].removeprefix("//").partition("/")
    if "@" in bucket or "?" in url or "#" in url:
        raise UsageError(
            "an s3: URL holds no user, password or query: give s3://bucket/prefix, and "
            "credentials in AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"not a bucket's name: {bucket[:63]!r}; letters, digits, dots, hyphens and underscores"
        )
    prefix = prefix.strip("/")
    segments = prefix.split("/") if prefix else []
    if any(s in ("", ".", "..") or not s.isprintable() for s in segments) or len(prefix) > 512:
        raise UsageError(f"not a prefix of objects' keys: {prefix[:80]!r}")
    return bucket, prefix
