"""What the tasks that download pictures have in common: options, and the client they make."""

from __future__ import annotations

from runner.contract import Option, Settings
from runner.fetch import Base, Client, Limits, Policy

OPTIONS = (
    Option("base_url", "what relative URLs are relative to: an http(s) URL or a folder"),
    Option(
        "allow",
        "addresses that rows may name although they are not public, such as "
        "10.0.0.0/8,minio.internal:9000; the base URL's own is allowed",
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


def limits(settings: Settings) -> Limits:
    """What one exchange may cost."""
    return Limits(
        max_bytes=settings["max_megabytes"] * 1_000_000, total_s=settings["download_timeout"]
    )


def max_pixels(settings: Settings) -> int:
    """Pixels of a picture at most."""
    return int(settings["max_megapixels"]) * 1_000_000


def client(settings: Settings) -> Client:
    """A client for addresses that rows name; raises `UsageError` where a setting can't work."""
    base = Base.parse(settings["base_url"]) if settings["base_url"] else None
    return Client(base=base, limits=limits(settings), policy=Policy.parse(settings["allow"] or ""))
