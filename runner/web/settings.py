"""What a server is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve one database.

    `connections`: most that the server opens to it. `patience_s`: how long a request waits for one
    of them, and for a database that is away. `secure_cookie`: browsers reach the server by
    https even though it sees http. `open_metrics`: /metrics needs no token. `pictures_base_url`
    and `pictures_allow` are for pictures on pages: what relative addresses are relative to, and
    networks that may be asked beside public ones.
    """

    conninfo: str
    connections: int = 8
    patience_s: float = 3.0
    secure_cookie: bool = False
    open_metrics: bool = False
    pictures_base_url: str | None = None
    pictures_allow: str = ""
