"""The client: GET a stranger's URL or POST to a configured service, within limits."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import urljoin

import httpx

from runner import __version__
from runner.errors import Permanent, Retry
from runner.fetch.body import check_size, spool
from runner.fetch.network import AddressCheck, Transport, any_address, deadline
from runner.fetch.outcomes import check_status, network_outcomes
from runner.fetch.urls import Base, check, is_relative, redact

USER_AGENT = f"pgbackfill/{__version__}"
MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
_RAW_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """What one exchange may cost: decoded bytes, and seconds in all and for each wait."""

    max_bytes: int = 50_000_000
    total_s: float = 30.0
    connect_s: float = 5.0
    read_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Download:
    """A body that arrived whole: `file` is at its beginning, `url` is where it came from, redacted.

    Use as a context manager, which closes the file.
    """

    file: IO[bytes]
    size: int
    url: str
    content_type: str | None = None

    def __enter__(self) -> Download:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.file.close()


class Client:
    """A pool of connections for several threads; close it, or use it as a context manager.

    `base` is what relative URLs are relative to. Proxies, netrc and the like from the
    environment are not used. `check_address` may refuse addresses, see `network.AddressCheck`.
    """

    def __init__(
        self,
        *,
        base: Base | None = None,
        limits: Limits | None = None,
        check_address: AddressCheck = any_address,
        connections: int = 64,
    ) -> None:
        self.base = base
        self.limits = limits or Limits()
        self._http = httpx.Client(
            transport=Transport(check_address, connections),
            trust_env=False,
            follow_redirects=False,
            headers={"User-Agent": USER_AGENT},
            timeout=httpx.Timeout(
                self.limits.read_s,
                connect=self.limits.connect_s,
                pool=self.limits.total_s,
            ),
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def get(self, url: str) -> Download:
        """Download what a row's URL stands for.

        Raises `Permanent` (`bad_url`, `no_base_url`, `http_404`, `too_large`, `empty`, ...) or
        `Retry` (`http_503`, `timeout`, `dns`, `connection`, ...; `http_429` doesn't count).
        """
        target = self._target(url)
        if isinstance(target, Path):
            return _open_local(target, url, self.limits.max_bytes)
        what = redact(target)
        with network_outcomes(what, self.limits.total_s), deadline(self.limits.total_s):
            for _ in range(MOST_REDIRECTS + 1):
                with self._send("GET", target, {"Accept": "image/*,*/*;q=0.5"}) as answer:
                    if answer.status_code not in _REDIRECTS:
                        return self._receive(answer, what)
                    target = _follow(target, answer.headers.get("Location"))
        raise Permanent(f"{what}: more than {MOST_REDIRECTS} redirects", code="redirects")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """POST to a service and return the whole answer; redirects are not followed.

        Raises as `get` does.
        """
        what = redact(url)
        with (
            network_outcomes(what, self.limits.total_s),
            deadline(self.limits.total_s),
            self._send("POST", url, headers, body) as answer,
            self._receive(answer, what) as reply,
        ):
            return reply.file.read()

    def _target(self, url: str) -> str | Path:
        url = url.strip()
        if url.startswith("//"):
            return check(f"https:{url}")
        if not url or not is_relative(url):
            return check(url)
        if self.base is None:
            raise Permanent(
                f"relative URL {redact(url)}: set --base-url to the address or the folder "
                "that it is relative to",
                code="no_base_url",
            )
        return self.base.join(url)

    @contextmanager
    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> Iterator[httpx.Response]:
        identity = {"Accept-Encoding": "identity", **headers}
        try:
            request = self._http.build_request(method, url, headers=identity, content=body)
        except httpx.InvalidURL as error:
            raise Permanent(f"malformed URL {redact(url)}: {error}", code="bad_url") from error
        answer = self._http.send(request, stream=True)
        try:
            yield answer
        finally:
            answer.close()

    def _receive(self, answer: httpx.Response, what: str) -> Download:
        headers = answer.headers
        check_status(answer.status_code, headers.get("Retry-After"), what)
        stated = headers.get("Content-Length", "")
        try:
            if stated.isdigit():
                check_size(int(stated[:18]), self.limits.max_bytes)
            file, size = spool(
                answer.iter_raw(_RAW_CHUNK),
                headers.get("Content-Encoding", ""),
                self.limits.max_bytes,
            )
        except (Permanent, Retry) as error:
            raise type(error)(f"{what}: {error}", code=error.code) from error
        if not size:
            file.close()
            raise Permanent(f"{what}: the answer is empty (0 bytes)", code="empty")
        return Download(file, size, what, headers.get("Content-Type"))


def _follow(url: str, location: str | None) -> str:
    if not location:
        raise Permanent(f"{redact(url)}: a redirect to nowhere", code="redirects")
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise Permanent(f"{redact(url)}: a redirect to a malformed URL", code="bad_url") from error
    try:
        return check(target)
    except Permanent as error:
        raise Permanent(f"redirected from {redact(url)}: {error}", code=error.code) from error


def _open_local(path: Path, url: str, max_bytes: int) -> Download:
    what = redact(url)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Permanent(f"{what}: not a file below the base folder", code="file_not_found")
        check_size(status.st_size, max_bytes)
        if not status.st_size:
            raise Permanent(f"{what}: the file is empty (0 bytes)", code="empty")
        return Download(path.open("rb"), status.st_size, what)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Permanent(f"{what}: no such file below the base folder", code="file_not_found") from (
            error
        )
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise Permanent(f"{what}: can't read the file ({reason})", code="file_unreadable") from (
            error
        )
