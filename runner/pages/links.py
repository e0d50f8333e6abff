"""Addresses out of a database, made fit to be clicked on."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def safe_link(url: str | None) -> str | None:
    """The address without user, password, query string and fragment, which may hold secrets.

    None for what is no http or https address, such as `javascript:`, `data:` or a path.
    """
    try:
        parts = urlsplit((url or "").strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    host = f"[{host}]" if ":" in host else host
    place = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, place, parts.path, "", ""))
