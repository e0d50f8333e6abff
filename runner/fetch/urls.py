"""What a URL in a row means: an address to download from, or a file below a local folder."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from runner.errors import Permanent, UsageError

LONGEST_SHOWN = 200


def redact(url: str) -> str:
    """The URL as it may be logged: no user, password, query or fragment, and not too long."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a malformed URL)"
    if parts.scheme and not parts.netloc:  # data:, mailto: and the like may hold anything
        return f"{parts.scheme}:..."
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, host, parts.path, "", "")) + ("?..." if parts.query else "")
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 3] + "..."


def check(url: str) -> str:
    """The URL, in ASCII and without fragment, if it is one that can be downloaded from.

    Raises `Permanent` with the code `bad_url` unless it is http or https, has a host and a valid
    port, and carries no user or password.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise Permanent(f"malformed URL {redact(url)}", code="bad_url") from error
    problem = _problem(parts, port)
    if problem:
        raise Permanent(f"{problem}: {redact(url)}", code="bad_url")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._") or "/"
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return urlunsplit((parts.scheme.lower(), parts.netloc, path, query, ""))


def _problem(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme.lower() not in ("http", "https"):
        return f"can't download from a {parts.scheme or 'schemeless'} URL, only http and https"
    if not parts.hostname:
        return "the URL has no host"
    if parts.username is not None or parts.password is not None:
        return "the URL has a user or password in it, which is refused"
    if port == 0:
        return "the URL has port 0"
    return None


def is_relative(url: str) -> bool:
    """Whether a row's URL is a path that needs a base; `//host/x` and `c:x` are not."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc


@dataclass(frozen=True, slots=True)
class Base:
    """What relative URLs are relative to: an http(s) URL, or a local folder."""

    url: str | None = None
    folder: Path | None = None

    @classmethod
    def parse(cls, setting: str) -> Base:
        """From a setting; raises `UsageError` where it is neither a URL nor an existing folder."""
        if "://" in setting and not setting.startswith("file://"):
            try:
                return cls(url=check(setting))
            except Permanent as error:
                raise UsageError(f"base URL: {error}") from error
        folder = Path(unquote(setting.removeprefix("file://"))).expanduser()
        if not folder.is_dir():
            raise UsageError(
                f"base URL {setting!r} is neither an http(s) URL nor an existing folder"
            )
        return cls(folder=folder.resolve())

    def join(self, url: str) -> str | Path:
        """Where a relative URL leads: appended to the base, whether or not it begins with `/`.

        Raises `Permanent` with the code `bad_url` where it would lead outside of the base.
        """
        parts = urlsplit(url)
        path = posixpath.normpath("/" + parts.path.lstrip("/"))
        if ".." in unquote(parts.path).replace("\\", "/").split("/") or "\0" in unquote(path):
            raise Permanent(f"the URL leads out of the base: {redact(url)}", code="bad_url")
        if self.folder is not None:
            return self._below(self.folder, unquote(path).lstrip("/"), url)
        base = urlsplit(self.url or "")
        joined = base.path.rstrip("/") + path
        return check(urlunsplit((base.scheme, base.netloc, joined, parts.query, "")))

    @staticmethod
    def _below(folder: Path, path: str, url: str) -> Path:
        found = (folder / path).resolve()  # follows symbolic links, which may lead anywhere
        if not found.is_relative_to(folder):
            raise Permanent(f"the URL leads out of the base: {redact(url)}", code="bad_url")
        return found
