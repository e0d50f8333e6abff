"""How each call of Rekognition is made: in its turn, and written down before if it is paid."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

from runner.contract import Call, Limiter
from runner.errors import RowOutcome
from runner.faces.rekognition_errors import LostReply, Throttled, outcomes, whole

if TYPE_CHECKING:
    from types_boto3_rekognition import RekognitionClient

NAME = "rekognition"
"""The provider, as prices and effects name it."""

RATE = "rekognition"
"""Name of the shared rate that all calls keep to."""

TURN_S = 10.0
"""Seconds that a call waits for its turn before its row is handed back."""

Answer = TypeVar("Answer", bound=Mapping[str, object])


class Turns:
    """Sends the calls of a client when their turn has come. Used by several threads at once.

    A turn begins when the request is ready to be sent, since encoding and signing a picture of some
    megabytes takes longer than turns are apart.
    """

    def __init__(self, client: RekognitionClient, limiter: Limiter) -> None:
        self._limiter = limiter
        self._own = threading.local()
        client.meta.events.register("before-send.rekognition", self._wait)

    def call(self, operation: str, send: Callable[[], Answer]) -> Answer:
        """One call; raises `RowOutcome`s, see `rekognition_errors`."""
        with ExitStack() as turn:
            self._own.turn = turn
            try:
                with outcomes(operation):
                    answer = send()
            except Throttled as error:
                self._limiter.throttled(RATE, error.after)
                raise
            finally:
                self._own.turn = None
            whole(operation, answer)
        self._limiter.succeeded(RATE)
        return answer

    def _wait(self, **_: object) -> None:
        turn: ExitStack | None = getattr(self._own, "turn", None)
        if turn is not None:  # else it is a call of somebody else's with the same client
            turn.enter_context(self._limiter.acquire(RATE, timeout=TURN_S))


@contextmanager
def paid(limiter: Limiter, key: str, call: Call) -> Iterator[None]:
    """Write down a call for the row with that key, which is made in the block, once.

    Only an answer that was lost may have been charged; every other error is a refusal.
    """
    with limiter.effect(key, call) as effect:
        try:
            yield
        except LostReply:
            raise
        except RowOutcome as error:
            effect.refused(str(error))
            raise
