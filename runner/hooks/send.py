"""One attempt to send a message to a webhook, through the connections of the safe client."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import httpx

from runner.errors import Permanent, Retry
from runner.fetch import USER_AGENT, Policy
from runner.fetch.answers import drain
from runner.fetch.network import Network
from runner.fetch.outcomes import check_status, network_outcomes, parse_retry_after
from runner.fetch.urls import Target
from runner.fetch.watch import watch

ALLOW_VARIABLE = "BACKFILL_HOOK_ALLOW"
"""Networks and hosts beside the public internet; of the process, since a database that could name
them could make processes talk to whatever is near them."""

CONNECT_S = 5.0

WHAT = "its server"
"""What messages call it: an address may be as good as a secret."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent and where to."""

    url: str
    message_id: str
    sent_at: int
    signature: str
    body: str

    def headers(self) -> dict[str, str]:
        """Those of the Standard Webhooks specification, and what HTTP wants."""
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",
            "webhook-id": self.message_id,
            "webhook-timestamp": str(self.sent_at),
            "webhook-signature": self.signature,
        }


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it: the HTTP status, if there was an answer, and what went wrong, if anything.

    `after`: seconds that the server asked to wait.
    """

    status: int | None
    error: str | None
    after: float | None
    milliseconds: int


class Sender:
    """Sends messages, for several threads at once. `allow` is `Policy.parse`'s.

    Redirects are not followed, and an answer's body is not looked at.
    """

    def __init__(self, allow: str | None = None) -> None:
        policy = Policy.parse(os.environ.get(ALLOW_VARIABLE, "") if allow is None else allow)
        self._policy = policy
        self._network = Network(policy, connections=4)

    def close(self) -> None:
        """Close connections."""
        self._network.close()

    def send(self, message: Message, seconds: float) -> Attempt:
        """Send it once, within so many seconds."""
        began = time.monotonic()
        status, after = None, None
        try:
            status, after = self._answer(message, seconds)
            if not 200 <= status < 300:
                raise _refused(status)
            error = None
        except (Permanent, Retry) as problem:
            error = str(problem).removeprefix(f"{WHAT}: ")
        except Exception as problem:  # noqa: BLE001 - no message may end the sending of all others
            # its text may hold the address
            error = f"unexpected error: {type(problem).__name__}"
        return Attempt(status, error, after, round((time.monotonic() - began) * 1000))

    def _answer(self, message: Message, seconds: float) -> tuple[int, float | None]:
        try:
            target = Target.parse(message.url)
        except Permanent as error:
            raise Permanent(
                f"its address can't be used: {error.__cause__}", code="bad_url"
            ) from error
        with watch(seconds), network_outcomes(WHAT, seconds):
            self._policy.check_early(target.host, target.port)
            # on a new connection: of one that was kept nobody knows whether it is still there
            with self._network.exchange(
                "POST", target, message.headers(), message.body.encode(),
                connect_s=CONNECT_S, read_s=seconds, fresh=True,
            ) as answer:  # fmt: skip
                drain(answer)
                wanted = httpx.Headers(answer.headers).get("Retry-After")
                return answer.status, parse_retry_after(wanted)


def _refused(status: int) -> Permanent | Retry:
    if 300 <= status < 400:
        return Permanent(
            f"HTTP {status}: redirects are not followed; set where it leads to", code="redirects"
        )
    try:
        check_status(status, None, WHAT)
    except (Permanent, Retry) as error:
        return error
    return Permanent(f"HTTP {status}", code=f"http_{status}")
