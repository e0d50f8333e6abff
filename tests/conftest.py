"""Fixtures of all tests; each plugin holds those of one kind."""

pytest_plugins = [
    "tests.plugins.database",
    "tests.plugins.engine",
    "tests.plugins.picture_host",
    "tests.plugins.detectors",
    "tests.plugins.processes",
    "tests.plugins.terminal",
]
