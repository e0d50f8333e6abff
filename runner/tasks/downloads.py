"""What the tasks that download pictures have in common: options, and the client they make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runner.contract import Limiter, NoLimits, Option, Settings
from runner.errors import Retry

if TYPE_CHECKING:
    from runner.fetch import Client, Limits

TURN_S = 10.0
"""Seconds that a download waits for its turn at a host before its row is handed back."""

_OPTIONS = (
    Option(
        "base_url", "what relative URLs are relative to: an http(s) URL or a folder", place=True
    ),
    Option(
        "allow",
        "addresses that rows may name although they are not public, such as "
        "10.0.0.0/8,minio.internal:9000; the base URL's own is allowed",
        place=True,
    ),
    Option(
        "max_megapixels",
        "refuse pictures with more pixels, before decoding them",
        kind=int,
        default=100,
        minimum=1,
        maximum=1000,
    ),
    Option(
        "max_megabytes",
        "refuse downloads that are larger",
        kind=int,
        default=50,
        minimum=1,
        maximum=1000,
    ),
    Option(
        "download_timeout",
        "seconds that a download, or a service's answer, may take in all",
        kind=float,
        default=30.0,
        minimum=1,
        maximum=600,
    ),
)


def options(*, polite: bool = False) -> tuple[Option, ...]:
    """The options, with whether downloads keep to the shared rates of hosts where none is given."""
    return (
        *_OPTIONS,
        Option(
            "polite",
            "keep to the rate of each host that all processes share (backfill.rate_limits)",
            kind=bool,
            default=polite,
        ),
    )


OPTIONS = options()


def limits(settings: Settings) -> Limits:
    """What one exchange may cost."""
    from runner.fetch import Limits

    return Limits(
        max_bytes=settings["max_megabytes"] * 1_000_000, total_s=settings["download_timeout"]
    )


def max_pixels(settings: Settings) -> int:
    """Pixels of a picture at most."""
    return int(settings["max_megapixels"]) * 1_000_000


class HostGate:
    """The downloader's gate: a host's rate and calls at a time, shared by all processes."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    @contextmanager
    def __call__(self, host: str) -> Iterator[None]:
        """Wait for a turn; raises `Retry`, not counted, where that takes long."""
        name = f"host:{host}"
        try:
            with self._limiter.acquire(name, timeout=TURN_S):
                yield
                self._limiter.succeeded(name)
        except Retry as error:
            # after a redirect it is not the host of the URL that was asked for
            error.host = host
            raise

    def throttled(self, host: str, after_s: float | None) -> None:
        """All wait, or go slower from now on."""
        self._limiter.throttled(f"host:{host}", after_s)


def client(settings: Settings, limiter: Limiter | None = None) -> Client:
    """A client for addresses that rows name; raises `UsageError` where a setting can't work."""
    # Here and not above: listing the tasks should not wait for an HTTP client.
    from runner.fetch import Base, Client, Policy

    base = Base.parse(settings["base_url"]) if settings["base_url"] else None
    return Client(
        base=base,
        limits=limits(settings),
        policy=Policy.parse(settings["allow"] or ""),
        gate=HostGate(limiter or NoLimits()) if settings["polite"] else None,
    )
