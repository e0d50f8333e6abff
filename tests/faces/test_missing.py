"""What somebody reads who has not installed the extra."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

from runner.errors import UsageError
from runner.faces import local
from runner.faces.local import LocalFaces

ADVICE = "try pip install 'pgbackfill[faces-local]'"


def test_no_dlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without dlib one line says what to install."""
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(UsageError) as caught:
        LocalFaces()
    message = str(caught.value)
    assert message.startswith("no local faces: dlib can't be imported (")
    assert message.endswith(ADVICE)
    assert "\n" not in message


def test_no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the package of models, or with a broken one, one line says so."""
    monkeypatch.setitem(sys.modules, "dlib", ModuleType("dlib"))
    monkeypatch.setattr(local, "find_spec", lambda _name: None)
    with pytest.raises(UsageError, match=r"face_recognition_models is not installed; try pip"):
        LocalFaces()
    empty = ModuleSpec("face_recognition_models", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(local, "find_spec", lambda _name: empty)
    with pytest.raises(UsageError, match=r"has no shape_predictor_5_face_landmarks.dat; try pip"):
        LocalFaces()


def test_imported_only_when_needed() -> None:
    """Importing the package loads neither dlib nor its models."""
    code = "import sys, runner.faces, runner.faces.local; print('dlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
