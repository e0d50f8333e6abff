"""What the repository's own files promise to somebody who has just cloned it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"[a-z0-9][a-z0-9._-]*==[0-9][^\s;/@]*( ; [^/@]+)?")


def _pins() -> list[str]:
    return (ROOT / "constraints.txt").read_text().splitlines()


def test_constraints_are_exact_and_name_no_host() -> None:
    """Every line pins one version, and none says where to get it."""
    assert [line for line in _pins() if not PIN.fullmatch(line)] == []


def test_constraints_hold_every_dependency() -> None:
    """Whatever pyproject.toml asks for is pinned."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(name for names in extras.values() for name in names)]
    names = {re.split(r"[\[<>=!~; ]", requirement)[0].lower() for requirement in asked}
    pinned = {line.split("==")[0] for line in _pins()}
    assert names - {project["name"]} - pinned == set()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_lists_every_target() -> None:
    """`make` alone prints each target with what it does."""
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    # not as a part of the `make` that runs the tests, which would announce the folder it enters
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    listed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert {"install", "demo", "test", "check"} <= set(targets)
    assert set(listed) == set(targets)
    assert all(listed.values())


@pytest.mark.parametrize("script", [".ci/run", ".ci/install", ".ci/packages"])
def test_scripts_can_be_run(script: str) -> None:
    """The scripts of the repository are executable."""
    assert os.access(ROOT / script, os.X_OK)


def test_lock_file_stays_out() -> None:
    """uv.lock, which records the addresses of whatever index was used, is never committed."""
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()
