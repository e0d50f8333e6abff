"""How far a long walk through a storage is: one live line on a terminal, lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runner.cli.logs import as_json

log = logging.getLogger(__name__)

LINE_EVERY_S = 10.0


@contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """What is called with how far it is shows it on stderr, and leaves nothing on a terminal."""
    if not sys.stderr.isatty() or as_json():
        yield _lines()
        return
    from rich.console import Console

    with Console(stderr=True).status("looking") as status:
        yield status.update


def _lines() -> Callable[[str], None]:
    last = time.monotonic()

    def tell(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            log.info(text)

    return tell
