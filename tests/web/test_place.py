"""Options that name a host, a path or a network are set where processes run, not by who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.options import own_condition, served_settings, settings_of
from runner.registry import all_tasks, find
from tests.plugins.processes import SampleDatabase, StartCommand

PLACED = "tests.sample:placed"
START = "select backfill.start('sample', p_options => %s::jsonb)"
ENDING = "select concat_ws(' ', status, exit_reason) from backfill.run where id = %s"


def test_a_served_run_takes_them_from_the_workers_environment(
    sampled: SampleDatabase, command: StartCommand, tmp_path: Path
) -> None:
    """The worker's variable counts, and a run that has such an option is not worked for."""
    sampled.items(throttled=2)
    folder = tmp_path / "noted"
    folder.mkdir()
    here = {"BACKFILL_SAMPLE_FOLDER": str(folder)}
    worker = command(sampled.url, "worker", tasks=PLACED, **here)
    tried = sampled.one(START, '{"folder": "/somewhere"}')
    worker.until(lambda: sampled.one(ENDING, tried) == "ended error")
    assert "option folder of the run is set where the workers run" in worker.err
    assert "BACKFILL_SAMPLE_FOLDER" in worker.err
    run = sampled.one(START, "{}")
    worker.until(lambda: sampled.one(ENDING, run) == "ended done")
    assert {path.name for path in folder.iterdir()} == {"1", "2"}


def test_the_command_line_takes_them_from_the_environment_too(
    sampled: SampleDatabase, command: StartCommand, tmp_path: Path
) -> None:
    """`backfill run` is its own place: the option, or else the variable."""
    sampled.items(ok=1)
    here = {"BACKFILL_SAMPLE_FOLDER": str(tmp_path)}
    assert command(sampled.url, "run", "sample", tasks=PLACED, **here).ended() == 0
    assert sampled.one("select options ->> 'folder' from backfill.run") == str(tmp_path)


def test_every_option_that_names_a_place_is_marked() -> None:
    """No built-in task lets who starts a served run choose hosts, paths or networks."""
    named = {"base_url", "allow", "storage", "endpoint_url", "public_url", "detector_url"}
    named |= {"collection_prefix"}
    for task in all_tasks().values():
        marked = {option.name for option in task.options if option.place}
        looks_so = {
            option.name
            for option in task.options
            if option.name.endswith(("url", "storage", "folder", "path", "host"))
        }
        assert looks_so | (named & {option.name for option in task.options}) == marked


def test_what_is_set_here_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that can't be used is named; one that is empty is none."""
    task = find("vehicle_images")
    monkeypatch.setenv("BACKFILL_VEHICLE_IMAGES_PUBLIC_URL", "ftp://pictures.test")
    with pytest.raises(UsageError, match="BACKFILL_VEHICLE_IMAGES_PUBLIC_URL: 'ftp"):
        settings_of(task, {})
    monkeypatch.setenv("BACKFILL_VEHICLE_IMAGES_PUBLIC_URL", " ")
    monkeypatch.setenv("BACKFILL_VEHICLE_IMAGES_STORAGE", "s3://bucket/prefix")
    settings = served_settings(task, {"max_images": 3})
    assert (settings["public_url"], settings["storage"]) == (None, "s3://bucket/prefix")
    assert settings["max_images"] == 3
    with pytest.raises(UsageError, match="option allow of the run"):
        served_settings(task, {"allow": "10.0.0.0/8"})


def test_a_condition_is_made_of_checked_options_only() -> None:
    """What psql stored as an option becomes no SQL unless it is what the option takes."""
    task = find("vehicle_images")
    assert own_condition(task, {"organization_id": "42"}) is not None
    for stored in ({"organization_id": "x') or true --"}, {"organization_id": ["42"]}):
        with pytest.raises(UsageError, match="organization_id"):
            own_condition(task, stored)
