"""How tasks are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import registry
from runner.errors import UsageError

TASK = """
from runner.contract import Task

def open_task(settings):
    raise NotImplementedError

{name} = Task(name="{name}", version=3, summary="A task of a test.", open=open_task)
"""


def write(folder: Path, module: str, text: str) -> None:
    """A module in the current directory."""
    (folder / f"{module}.py").write_text(text)


def test_package_task_is_found() -> None:
    """A task that a package declares as an entry point is found by its name."""
    assert registry.find("quality_score").name == "quality_score"
    assert "quality_score" in registry.all_tasks()


def test_environment_task_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task in a file of the current directory is found through BACKFILL_TASKS."""
    write(tmp_path, "found_in_file", TASK.format(name="thumbnail"))
    monkeypatch.setenv("BACKFILL_TASKS", " found_in_file:thumbnail , ")
    assert registry.find("thumbnail").version == 3
    assert set(registry.all_tasks()) >= {"thumbnail", "quality_score"}
    assert registry.broken() == {}


def test_unknown_task_names_the_close_one(tmp_path: Path) -> None:
    """A mistyped task is told with the one that was meant."""
    with pytest.raises(UsageError, match=r"did you mean quality_score\?"):
        registry.find("qualty_score")
    with pytest.raises(UsageError, match=r"no task 'x'; known: .*quality_score"):
        registry.find("x")


@pytest.mark.parametrize(
    "entry, text, message",
    [
        ("broken_import:thumb", "import nothing_of_this_name", "ModuleNotFoundError"),
        ("broken_raise:thumb", "raise RuntimeError('two\\nlines')", r"RuntimeError: two lines"),
        ("broken_lack:thumb", "", "AttributeError"),
        ("broken_kind:thumb", "thumb = 1", "should be a runner.contract.Task"),
        ("thumb", "", "should look like module:attribute"),
    ],
)
def test_broken_task_is_in_nobodys_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: str, text: str, message: str
) -> None:
    """A task that can't be loaded is an error of one line for whoever asks for it, and no other."""
    write(tmp_path, entry.partition(":")[0], text)
    monkeypatch.setenv("BACKFILL_TASKS", entry)
    with pytest.raises(UsageError, match=message) as caught:
        registry.find("thumb")
    assert "\n" not in str(caught.value)
    assert registry.find("quality_score").name == "quality_score"
    assert "quality_score" in registry.all_tasks()
    assert list(registry.broken()) == [entry]


def test_two_of_a_name_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks of one name are not chosen between in silence."""
    write(tmp_path, "second_of_name", TASK.format(name="quality_score"))
    monkeypatch.setenv("BACKFILL_TASKS", "second_of_name:quality_score")
    with pytest.raises(UsageError, match="two tasks are named quality_score"):
        registry.find("quality_score")
