"""Fixtures of all tests; each plugin holds those of one kind."""

pytest_plugins = ["tests.plugins.database"]
