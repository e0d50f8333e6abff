"""The client: GET a stranger's URL or POST to a configured service, within limits."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import overload

import httpcore
import httpx

from runner import __version__
from runner.errors import Permanent, Retry, RowOutcome
from runner.fetch.answers import drain, receive
from runner.fetch.download import Download, NotModified, Validators
from runner.fetch.gate import Gate, OpenGate
from runner.fetch.local import open_local
from runner.fetch.network import Network, Unanswered
from runner.fetch.outcomes import check_status, network_outcomes
from runner.fetch.policy import ANYWHERE, Policy
from runner.fetch.resolve import Resolve, system_addresses
from runner.fetch.urls import Base, Target, is_relative, redact
from runner.fetch.watch import Watch, current, watch

USER_AGENT = f"pgbackfill/{__version__}"
MOST_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one download may cost: decoded bytes, and seconds in all and for each wait.

    `total_s` covers name service, redirects and the body, but not waiting at the gate.
    """

    max_bytes: int = 50_000_000
    total_s: float = 30.0
    connect_s: float = 5.0
    read_s: float = 10.0


@contextmanager
def _metered(meter: Watch) -> Iterator[None]:
    """Let a failure within the block say how many bytes came before it."""
    try:
        yield
    except RowOutcome as error:
        error.received = meter.received
        raise


class Client:
    """Downloads for several threads at once; close it, or use it as a context manager.

    `base` is what relative URLs are relative to; the host and port that it names are allowed.
    `policy` says where connections may go: `Policy()` for strangers' URLs, by default anywhere.
    At most so many `connections` are kept idle; in use is one for each thread that downloads.
    `gate` is entered around each exchange. `resolve` and `tls` are `Network`'s. Proxies, netrc
    and the like from the environment are not used, and cookies are not kept.
    """

    def __init__(
        self,
        *,
        base: Base | None = None,
        limits: Limits | None = None,
        policy: Policy = ANYWHERE,
        gate: Gate | None = None,
        connections: int = 64,
        resolve: Resolve = system_addresses,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.base = base
        self.limits = limits or Limits()
        if base is not None and base.url is not None:
            named = Target.parse(base.url)
            policy = policy.allowing(named.host, named.port)
        self._policy = policy
        self._gate: Gate = gate or OpenGate()
        self._network = Network(policy, connections=connections, resolve=resolve, tls=tls)

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
        """Close idle connections, and each in use when it is done with."""
        self._network.close()

    @overload
    def get(self, url: str) -> Download: ...

    @overload
    def get(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Download | NotModified: ...

    def get(
        self, url: str, *, etag: str | None = None, last_modified: str | None = None
    ) -> Download | NotModified:
        """Download what a row's URL stands for, or learn that it is the version already known.

        `etag` and `last_modified` are an earlier download's validators; a local file has none.
        Raises `Permanent` (`bad_url`, `address_refused`, `no_base_url`, `http_404`, `too_large`,
        `empty`, ...) or `Retry` (`http_503`, `timeout`, `dns`, `connection`, ...). A Retry-After
        is in `Retry.after`; `http_429`, and `http_503` with it, don't count. A host sees each
        request once, and once more where a kept connection broke with no byte of an answer. What is
        raised says in `received` how many bytes came.
        """
        target = self._target(url)
        if isinstance(target, Path):
            return open_local(target, url, self.limits.max_bytes)
        known = Validators(etag, last_modified)
        seen = [target]
        what = target.shown
        with watch(self.limits.total_s) as meter, _metered(meter):
            while len(seen) <= MOST_REDIRECTS + 1:
                found = self._hop(seen[-1], known, what)
                if not isinstance(found, Target):
                    return found
                if found in seen:
                    raise Permanent(f"{what}: redirected in a circle", code="redirects")
                seen.append(found)
                what = f"{found.shown} (redirected from {target.shown})"
        raise Permanent(f"{target.shown}: more than {MOST_REDIRECTS} redirects", code="redirects")

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        """POST to a service and return the whole answer; redirects are not followed.

        Raises as `get` does.
        """
        target = Target.parse(url)
        what = target.shown
        with (
            watch(self.limits.total_s),
            self._exchange("POST", target, what, headers, body) as answer,
        ):
            self._check_status(answer, target, what)
            with receive(answer, target, what, self.limits.max_bytes) as reply:
                return reply.file.read()

    def _target(self, url: str) -> Target | Path:
        url = url.strip()
        if url.startswith("//"):
            return Target.parse(f"https:{url}")
        if not url or not is_relative(url):
            return Target.parse(url)
        if self.base is None:
            raise Permanent(
                f"relative URL {redact(url)}: set --base-url to the address or the folder "
                "that it is relative to",
                code="no_base_url",
            )
        return self.base.join(url)

    def _hop(self, target: Target, known: Validators, what: str) -> Download | NotModified | Target:
        """One exchange: the body, or that it is known, or where to ask next."""
        conditions = known.conditions()
        headers = {"Accept": "image/*,*/*;q=0.5", **conditions}
        with self._asked(target, what, headers) as answer:
            if answer.status in _REDIRECTS:
                drain(answer)
                return target.follow(httpx.Headers(answer.headers).get("Location"))
            if answer.status == 304 and conditions:
                drain(answer)
                now = Validators.of(httpx.Headers(answer.headers))
                return NotModified(target.shown, now if now.conditions() else known)
            self._check_status(answer, target, what)
            return receive(answer, target, what, self.limits.max_bytes)

    @contextmanager
    def _asked(
        self, target: Target, what: str, headers: Mapping[str, str]
    ) -> Iterator[httpcore.Response]:
        """An answer to a GET; asked for again, once, where a kept connection gave none.

        The second request has a new connection and passes the gate for itself: the host may have
        seen the first one.
        """
        with ExitStack() as stack:
            try:
                answer = stack.enter_context(self._exchange("GET", target, what, headers))
            except Retry as error:
                if not isinstance(error.__cause__, Unanswered):
                    raise
                again = self._exchange("GET", target, what, headers, fresh=True)
                answer = stack.enter_context(again)
            yield answer

    @contextmanager
    def _exchange(
        self,
        method: str,
        target: Target,
        what: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        fresh: bool = False,
    ) -> Iterator[httpcore.Response]:
        """From before the gate until after it: an answer whose body is read in the block."""
        limits = self.limits
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        with network_outcomes(what, limits.total_s):
            self._policy.check_early(target.host, target.port)
        with ExitStack() as stack:
            with current().paused():
                stack.enter_context(self._gate(target.host))
            stack.enter_context(network_outcomes(what, limits.total_s))
            yield stack.enter_context(
                self._network.exchange(
                    method,
                    target,
                    sent,
                    body,
                    connect_s=limits.connect_s,
                    read_s=limits.read_s,
                    fresh=fresh,
                )
            )

    def _check_status(self, answer: httpcore.Response, target: Target, what: str) -> None:
        if answer.status == 200:
            return
        drain(answer)
        retry_after = httpx.Headers(answer.headers).get("Retry-After")
        try:
            check_status(answer.status, retry_after, what)
        except Retry as error:
            if not error.counts:
                self._gate.throttled(target.host, error.after)
            raise
