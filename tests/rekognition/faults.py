"""Which calls go wrong: chosen by a seeded hash, so that a run can be repeated."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from tests.rekognition.settings import EVERY, Fault


class Luck:
    """Chooses a fault by (operation, request, how often that request came), and a seed.

    A request is its body: the picture with its parameters. Throttled calls don't count, since how
    many there are is a matter of timing.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, bytes]] = Counter()
        self._lock = threading.Lock()

    def fault(
        self, faults: Sequence[Fault], seed: int, operation: str, body: bytes
    ) -> Fault | None:
        """The fault that this call has to suffer. Rates of an operation add up."""
        mine = [fault for fault in faults if fault.operation in (operation, EVERY)]
        request = blake2b(body, digest_size=16).digest()
        with self._lock:
            self._seen[operation, request] += 1
            occurrence = self._seen[operation, request]
        for sticky, number in ((True, 0), (False, occurrence)):
            drawn = _draw(seed, operation, request, number)
            for fault in mine:
                if fault.sticky is sticky:
                    if drawn < fault.rate:
                        return fault
                    drawn -= fault.rate
        return None


def _draw(seed: int, operation: str, request: bytes, number: int) -> float:
    text = f"{seed}/{operation}/{request.hex()}/{number}"
    drawn = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "big") / 2**64
