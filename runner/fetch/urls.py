"""What a URL in a row means: an address to download from, or a file below a local folder."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

from runner.errors import Permanent, UsageError
from runner.fetch.hosts import BadUrl, canonical_host, split_port

LONGEST_SHOWN = 200
LONGEST_URL = 8_000
"""Characters; what servers should be able to take at least (RFC 9110, 4.1)."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?")
_KEPT = "/%:@!$&'()*+,;=~-._"
_SHOWN_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^\[\]:]*)(:[0-9]*)?")


def redact(url: str) -> str:
    """The URL as it may be logged: no user, password, query or fragment, and not too long.

    What can't be printed, or turns the direction of the text around it, is shown as `?`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a malformed URL)"
    if parts.scheme and not parts.netloc:  # data:, mailto: and the like may hold anything
        return f"{parts.scheme}:..."
    host = parts.netloc.rpartition("@")[2]
    if not _SHOWN_AUTHORITY.fullmatch(host):  # a password with / or # in it ends up here
        return "(a malformed URL)"
    shown = urlunsplit((parts.scheme, host, parts.path, "", "")) + ("?..." if parts.query else "")
    shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 3] + "..."


@dataclass(frozen=True, slots=True)
class Target:
    """An http or https URL taken apart, every part in ASCII and in one canonical form.

    `host` is as `canonical_host` gives it, `path` is what is asked for: path and query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """From text; raises `Permanent` with the code `bad_url`, with the reason.

        Parts are those of RFC 3986. It must be http or https, have a host and a valid port, no
        user or password, no control character and no backslash: what browsers and libraries
        read differently is refused.
        """
        try:
            return cls._parsed(url.strip())
        except BadUrl as error:
            raise Permanent(f"{error}: {redact(url)}", code="bad_url") from error

    @classmethod
    def _parsed(cls, url: str) -> Target:
        _check_characters(url)
        parts = _PARTS.fullmatch(url)
        scheme, authority, path, query = parts.groups() if parts else (None, None, "", None)
        scheme = (scheme or "").lower()
        if scheme not in _DEFAULT_PORTS:
            raise BadUrl(f"can't download from a {scheme or 'schemeless'} URL, only http and https")
        if not authority:
            raise BadUrl("there is no host in the URL")
        if "@" in authority:
            raise BadUrl("there is a user or password in the URL, which is refused")
        host, port = split_port(authority)
        return cls(
            scheme,
            canonical_host(host),
            _DEFAULT_PORTS[scheme] if port is None else port,
            _encoded(path or "/", _KEPT) + _encoded(query or "", _KEPT + "?"),
        )

    @property
    def authority(self) -> str:
        """Host and, unless it is the scheme's own, port: the value of the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole, without fragment."""
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def shown(self) -> str:
        """The whole as it may be logged."""
        return redact(self.url)

    def follow(self, location: str | None) -> Target:
        """Where a redirect leads; raises `Permanent` (`redirects`, `bad_url`)."""
        came = f"redirected from {self.shown}"
        if not location:
            raise Permanent(f"{came} to nowhere", code="redirects")
        try:
            _check_characters(location)
            return Target.parse(urljoin(self.url, location))
        except ValueError as error:
            reason = f", since {error}" if isinstance(error, BadUrl) else ""
            raise Permanent(f"{came} to a malformed URL{reason}", code="bad_url") from error
        except Permanent as error:
            raise Permanent(f"{came}: {error}", code=error.code) from error


def check(url: str) -> str:
    """The URL in canonical form; raises `Permanent` as `Target.parse` does."""
    return Target.parse(url).url


def _check_characters(url: str) -> None:
    if len(url) > LONGEST_URL:
        raise BadUrl(f"the URL is longer than {LONGEST_URL:,} characters")
    if any(unicodedata.category(letter) in ("Cc", "Zl", "Zp", "Cs") for letter in url):
        raise BadUrl("there is a control character or half a letter in the URL")
    if "\\" in url:
        raise BadUrl("there is a backslash in the URL")


def _encoded(text: str, kept: str) -> str:
    """Percent-encoded where it has to be; what is encoded stays as it is."""
    return quote(text, safe=kept)


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

    def join(self, url: str) -> Target | Path:
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
        return Target.parse(urlunsplit((base.scheme, base.netloc, joined, parts.query, "")))

    @staticmethod
    def _below(folder: Path, path: str, url: str) -> Path:
        found = (folder / path).resolve()  # follows symbolic links, which may lead anywhere
        if not found.is_relative_to(folder):
            raise Permanent(f"the URL leads out of the base: {redact(url)}", code="bad_url")
        return found
