"""The task, opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from runner.contract import Compute
from runner.tasks.quality_score import task
from tests.tasks.samples import Open


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens the task with some settings and the defaults of the others.

    Pictures are on this machine, which no row may name unless it is allowed.
    """
    with ExitStack() as stack:

        def open_with(**given: Any) -> Compute:
            defaults = {option.name: option.default for option in task.options}
            assert set(given) <= set(defaults)
            settings = {**defaults, "allow": "127.0.0.1", **given}
            return stack.enter_context(task.open(settings))

        yield open_with
