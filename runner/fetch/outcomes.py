"""What an answer or a failure of the network means for a row."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpcore

from runner.errors import Permanent, Retry
from runner.fetch.policy import Refused
from runner.fetch.resolve import Unresolvable
from runner.fetch.watch import DeadlinePassed, Flooded

LONGEST_RETRY_AFTER = 86_400.0
"""A server may ask for this many seconds of patience at most."""

_QUOTED = re.compile(r"[\s:(]*(bytearray\()?b['\"].*")

_REASONS = {
    400: "bad request",
    401: "it wants a login",
    403: "it refuses access",
    404: "not found",
    408: "the server gave up waiting",
    410: "gone for good",
    429: "too many requests",
    451: "withheld for legal reasons",
    500: "the server failed",
    502: "bad gateway",
    503: "the service is unavailable",
    504: "gateway timeout",
}


def check_status(status: int, retry_after: str | None, what: str) -> None:
    """Return on 200; raise `Permanent` or `Retry` with the code `http_<status>` otherwise.

    `what` names the thing asked for in the message. 429, and 503 with a Retry-After, is
    throttling and isn't held against the row; other 5xx, 408 and 425 are worth another attempt;
    the rest stays as it is.
    """
    if status == 200:
        return
    code = f"http_{status}"
    reason = f" ({_REASONS[status]})" if status in _REASONS else ""
    message = f"{what}: HTTP {status}{reason}"
    if status >= 500 or status in (408, 425, 429):
        after = parse_retry_after(retry_after)
        throttled = status == 429 or (status == 503 and after is not None)
        raise Retry(message, code=code, after=after, counts=not throttled)
    raise Permanent(message, code=code)


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header: a number of seconds or a date (RFC 9110, 10.2.3).

    None where it is missing or unreadable; never negative and at most a day.
    """
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        seconds = float(text[:12])
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


@contextmanager
def network_outcomes(what: str, seconds: float) -> Iterator[None]:
    """Turn failures of the network within the block into `Retry`, or `Permanent` where final.

    `what` names the thing asked for, `seconds` the deadline that was set.
    """
    try:
        yield
    except Refused as error:
        raise Permanent(f"{what}: refused, since {error}", code="address_refused") from error
    except Unresolvable as error:
        raise Retry(f"{what}: the host name can't be resolved", code="dns") from error
    except DeadlinePassed as error:
        raise Retry(f"{what}: not done after {seconds:g} seconds", code="timeout") from error
    except httpcore.TimeoutException as error:
        raise Retry(f"{what}: no answer in time", code="timeout") from error
    except Flooded as error:
        raise Permanent(
            f"{what}: the server sends more than any answer within the limits needs",
            code="too_large",
        ) from error
    except httpcore.ConnectError as error:
        _raise_connect_error(error, what)
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        # what the server sent is left out: it is a stranger's text, and may repeat our query
        text = _QUOTED.sub("", " ".join(str(error).split()))[:120] or type(error).__name__
        raise Retry(f"{what}: the connection broke ({text})", code="connection") from error


def _raise_connect_error(error: httpcore.ConnectError, what: str) -> None:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise Permanent(
            f"{what}: the server's certificate is not trusted ({cause.verify_message})",
            code="tls_certificate",
        ) from error
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or "handshake failed").replace("_", " ").lower()
        raise Retry(f"{what}: no secure connection ({reason})", code="tls") from error
    text = getattr(cause, "strerror", None) or "refused or unreachable"
    raise Retry(f"{what}: can't connect ({text.lower()})", code="connection") from error
