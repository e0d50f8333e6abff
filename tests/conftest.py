"""Fixtures of all tests; each plugin holds those of one kind."""

import os
import signal

import pytest

# Hundreds of processes that tests start would each compile the program anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# In the background of a shell Ctrl-C is ignored, and under nohup a hang-up. The processes that
# tests start would inherit that; a handler of any kind they don't.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

pytest_plugins = [
    # first, since those after it import it
    "tests.plugins.pgbouncer",
    "tests.plugins.database",
    "tests.plugins.engine",
    "tests.plugins.picture_host",
    "tests.plugins.detectors",
    "tests.plugins.processes",
    "tests.plugins.terminal",
    "tests.rekognition.fixtures",
]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no process ends with one while the others have nothing."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
