"""Fixtures of all tests; each plugin holds those of one kind."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a shell, where Ctrl-C is ignored and the processes that tests
    # start would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.plugins.database",
    "tests.plugins.engine",
    "tests.plugins.picture_host",
    "tests.plugins.detectors",
    "tests.plugins.processes",
    "tests.plugins.terminal",
]
