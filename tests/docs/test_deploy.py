"""The files for cron, systemd and Kubernetes fit the program, and each other."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from runner.cli.durations import Duration
from runner.cli.working import LAST_WORDS_S
from runner.errors import ExitCode
from runner.registry import find
from tests.docs.pages import ROOT, backfill_calls, read
from tests.docs.test_commands import parse

DEPLOY = ROOT / "docs" / "deploy"
WRAPPER = DEPLOY / "backfill-scheduled"
CRONTAB = DEPLOY / "cron" / "pgbackfill.crontab"
SERVICE = DEPLOY / "systemd" / "pgbackfill-vehicle-images.service"
TIMER = SERVICE.with_suffix(".timer")
CRONJOB = DEPLOY / "kubernetes" / "cronjob.yaml"
DOCKERFILE = DEPLOY / "kubernetes" / "Dockerfile"
PAGE = ROOT / "docs" / "scheduling.md"

NOBODY_LOOKS = {
    ExitCode.DONE,
    ExitCode.FAILED_ITEMS,
    ExitCode.PAUSED,
    ExitCode.CANCELLED,
    ExitCode.INTERRUPTED,
}
"""Codes that a scheduler takes for success; a person has to look at the others."""

TMP = "/tmp"  # noqa: S108 - the pod's own

SYSTEMD_UNITS = {"s": "s", "min": "m"}


def files() -> list[Path]:
    """All files to deploy."""
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file())


def cron_lines() -> list[str]:
    """The crontab's entries, without comments and settings."""
    lines = CRONTAB.read_text().splitlines()
    return [line for line in lines if line and not re.match(r"#|\w+=", line)]


def unit(path: Path) -> ConfigParser:
    """A unit file; of a directive that is repeated the last."""
    parser = ConfigParser(interpolation=None, strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign] # keeps capitals
    parser.read_string(path.read_text())
    return parser


def seconds(time: str) -> float:
    """A time span of systemd."""
    match = re.fullmatch(r"(\d+)(s|min)", time)
    assert match is not None, time
    return Duration().convert(match[1] + SYSTEMD_UNITS[match[2]], None, None)


def pod() -> dict[str, Any]:
    """The specification of the CronJob's pods."""
    spec: dict[str, Any] = job()["template"]["spec"]
    return spec


def job() -> dict[str, Any]:
    """The specification of the CronJob's jobs."""
    spec: dict[str, Any] = yaml.safe_load(CRONJOB.read_text())["spec"]["jobTemplate"]["spec"]
    return spec


def container() -> dict[str, Any]:
    """The CronJob's only container."""
    (only,) = pod()["containers"]
    return dict(only)


def shell_commands() -> dict[Path, str]:
    """What each scheduler starts, as a shell would be told."""
    (entry,) = cron_lines()
    return {
        CRONTAB: entry.split(maxsplit=5)[5],
        SERVICE: unit(SERVICE)["Service"]["ExecStart"],
        CRONJOB: " ".join(container()["args"]),
    }


@pytest.fixture(params=[CRONTAB, SERVICE, CRONJOB], ids=lambda path: path.suffix[1:])
def options(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options of a file's only call of `backfill run`, as the program takes them."""
    (call,) = backfill_calls(shell_commands()[request.param])
    assert call[:2] == ["run", "vehicle_images"]
    taken: dict[str, Any] = {}
    monkeypatch.setattr(click.Command, "invoke", lambda _, ctx: taken.update(ctx.params))
    parse(call)
    return taken


def longest(options: dict[str, Any]) -> float:
    """Seconds after which such a run has ended even if its database went away at its end."""
    return float(options["max_duration"] + options["patience"] + options["grace"])


def test_every_file_runs_the_same(options: dict[str, Any]) -> None:
    """Each scheduler's command is accepted, and ends by itself."""
    assert (options["limit"], options["max_duration"]) == (500, 600)


def test_time_limits_leave_time_to_end(options: dict[str, Any]) -> None:
    """No scheduler cuts a run short that ends by itself, or that was told to stop."""
    service = unit(SERVICE)["Service"]
    assert seconds(service["TimeoutStartSec"]) > longest(options)
    assert job()["activeDeadlineSeconds"] > longest(options)
    last = options["grace"] + LAST_WORDS_S
    assert seconds(service["TimeoutStopSec"]) > last
    assert pod()["terminationGracePeriodSeconds"] > last


def test_paths_are_absolute() -> None:
    """The schedulers that know no PATH of ours are given whole paths."""
    for path in (CRONTAB, SERVICE):
        words = shell_commands()[path].split()
        assert [word for word in words if "/" in word and not word.startswith("/")] == []
        assert any(word.endswith("/.venv/bin/backfill") for word in words)


def test_schedules_are_the_same() -> None:
    """All three start runs at the same times."""
    (entry,) = cron_lines()
    assert entry.split()[:5] == yaml.safe_load(CRONJOB.read_text())["spec"]["schedule"].split()
    assert entry.startswith("*/15 1-4 * * * ")
    assert unit(TIMER)["Timer"]["OnCalendar"] == "*-*-* 01..04:00/15"


# --- exit codes --------------------------------------------------------------------------------


def scheduled(code: int, *flags: str) -> subprocess.CompletedProcess[str]:
    """A command that prints to both streams and ends with this code, under the wrapper."""
    command = ["sh", "-c", f"echo out; echo err >&2; exit {code}"]
    return subprocess.run([WRAPPER, *flags, *command], capture_output=True, text=True)


@pytest.mark.parametrize("code", list(ExitCode))
def test_wrapper_tells_whether_to_look(code: ExitCode) -> None:
    """The wrapper makes 0 of codes that need nobody, and passes on the others and all output."""
    done = scheduled(code)
    assert done.returncode == (0 if code in NOBODY_LOOKS else code)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("code", list(ExitCode))
def test_quiet_wrapper_prints_only_what_needs_a_person(
    code: ExitCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With -q nothing is printed or left behind unless a person has to look; then all of it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = scheduled(code, "-q")
    assert done.returncode == (0 if code in NOBODY_LOOKS else code)
    assert done.stderr == ""
    if code in NOBODY_LOOKS:
        assert done.stdout == ""
    else:
        assert done.stdout.splitlines()[:2] == ["out", "err"]
        assert f"exit code {int(code)} of: " in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_wrapper_without_a_command_fails() -> None:
    """A crontab line that lost its command is told of, not taken for success."""
    done = subprocess.run([WRAPPER, "-q"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "no command given" in done.stdout


def test_wrapper_passes_a_stop_on() -> None:
    """Told to stop, the wrapper tells its command, waits for it, and has its exit code."""
    waits = (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM});"
        "print('up', flush=True); signal.sigwait({signal.SIGTERM});"
        "print('told', flush=True); raise SystemExit(5)"
    )
    with subprocess.Popen(
        [WRAPPER, sys.executable, "-c", waits], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "told\n"
    assert process.returncode == ExitCode.UNREACHABLE


def test_unit_takes_the_same_for_success() -> None:
    """The unit fails for the same exit codes as the wrapper."""
    given = unit(SERVICE)["Service"]["SuccessExitStatus"].split()
    codes = {ExitCode(int(word)) for word in given if word.isdigit()}
    assert codes == NOBODY_LOOKS - {ExitCode.DONE}
    assert [word for word in given if not word.isdigit()] == ["SIGTERM"]


def test_page_says_the_same() -> None:
    """The page's table has every exit code, and needs a person where the files do."""
    rows = re.findall(
        r"^\| (\d+) \| ([\w ]+) \| (no|has to look) \|", PAGE.read_text(), re.MULTILINE
    )
    told = {ExitCode(int(code)): person == "no" for code, _, person in rows}
    assert told == {code: code in NOBODY_LOOKS for code in ExitCode}
    assert {name.replace(" ", "_").upper() for _, name, _ in rows} == {
        code.name for code in ExitCode
    }


# --- systemd -----------------------------------------------------------------------------------


def test_units_have_known_sections() -> None:
    """The units have the sections of their kind, and the timer starts the service."""
    assert unit(SERVICE).sections() == ["Unit", "Service"]
    assert unit(TIMER).sections() == ["Unit", "Timer", "Install"]
    assert TIMER.stem == SERVICE.stem
    assert unit(TIMER)["Install"]["WantedBy"] == "timers.target"


def test_first_process_alone_is_told() -> None:
    """A stop is told to the first process, which tells the others: who is told twice drops rows."""
    assert unit(SERVICE)["Service"]["KillMode"] == "mixed"


def verified(service: str, folder: Path) -> list[str]:
    """What systemd says of the timer and this text of the service, its program being there."""
    (folder / SERVICE.name).write_text(
        re.sub(r"(?m)^(ExecStart=)\S+", rf"\1{sys.executable}", service)
    )
    (folder / TIMER.name).write_text(TIMER.read_text())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", folder / SERVICE.name, folder / TIMER.name],
        capture_output=True,
        text=True,
    )
    # other units of this machine may have faults of their own
    return [line for line in done.stderr.splitlines() if SERVICE.stem in line]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine"
)
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """The units have no directive, value or time of the calendar that systemd doesn't know."""
    assert verified(SERVICE.read_text(), tmp_path) == []
    assert verified(SERVICE.read_text().replace("PrivateTmp=", "PrivateTemp="), tmp_path) != []


# --- Kubernetes --------------------------------------------------------------------------------


def test_pod_has_no_rights_to_lose() -> None:
    """The pod is not root, writes nowhere but to its own /tmp, and has no token."""
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["securityContext"]["runAsNonRoot"] is True
    held = container()["securityContext"]
    assert held["readOnlyRootFilesystem"] is True
    assert held["allowPrivilegeEscalation"] is False
    assert held["capabilities"] == {"drop": ["ALL"]}
    (volume,) = pod()["volumes"]
    assert container()["volumeMounts"] == [{"name": volume["name"], "mountPath": TMP}]
    assert "emptyDir" in volume


def test_failed_job_is_not_tried_again() -> None:
    """The next start is the only retry."""
    assert (pod()["restartPolicy"], job()["backoffLimit"]) == ("Never", 0)


def test_tmp_holds_what_is_spooled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pod's /tmp is large enough for as many large downloads as there are threads."""
    taken: dict[str, Any] = {}
    monkeypatch.setattr(click.Command, "invoke", lambda _, ctx: taken.update(ctx.params))
    parse(next(backfill_calls(shell_commands()[CRONJOB])))
    (volume,) = pod()["volumes"]
    threads = taken["threads"] or find("vehicle_images").pacing.threads
    assert volume["emptyDir"]["sizeLimit"] == "1Gi"
    # each once as it came, and once more where a bucket's answer has to be read to be checked
    assert 2 * threads * taken["max_megabytes"] * 1_000_000 < 1 << 30


def instructions() -> Iterator[tuple[str, str]]:
    """The Dockerfile's instructions with what follows them."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE.read_text()).replace("\\\n", " ")
    for line in text.splitlines():
        if line:
            word, _, rest = line.partition(" ")
            yield word, rest


def test_image_has_what_the_package_is_made_of() -> None:
    """Every file that is copied into the image exists, and building the package needs no other."""
    copied = [rest.split() for word, rest in instructions() if word == "COPY"]
    sources = {
        name
        for words in copied
        if not words[0].startswith("--from")
        for name in words[:-1]
        if not name.startswith("--")
    }
    assert sorted(name for name in sources if not (ROOT / name).exists()) == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    metadata = [project["project"]["readme"], *project["project"]["license-files"]]
    assert {*wheel, *metadata, "pyproject.toml", "constraints.txt"} <= sources


def test_image_and_pod_agree() -> None:
    """The pod runs as the image's user, and the image begins with the wrapper."""
    said = dict(instructions())
    context = pod()["securityContext"]
    assert said["USER"] == f"{context['runAsUser']}:{context['runAsGroup']}"
    assert said["ENTRYPOINT"] == f'["{WRAPPER.name}"]'
    assert container()["args"][0] == "backfill"


# --- all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_no_file_names_a_host_or_a_secret(path: Path) -> None:
    """Nothing that is deployed has an address or a secret in it."""
    text = path.read_text()
    assert set(re.findall(r"\b\w+://[^\s\"']+", text)) <= {"s3://shop-pictures/vehicles"}
    assert re.findall(r"\b\d{1,3}(?:\.\d{1,3}){3}\b", text) == []
    secret = r"\b(?:DATABASE_URL|PGPASSWORD|\w*(?:SECRET|PASSWORD|ACCESS_KEY)\w*)\s*[=:]\s*(\S+)"
    assert set(re.findall(secret, text)) <= {"'...'"}


def test_secrets_come_from_a_secret() -> None:
    """The pod's environment takes the database and the keys from a Secret of Kubernetes."""
    values = {one["name"]: one.get("value") for one in container()["env"]}
    assert {name for name, value in values.items() if value is not None} == {"AWS_REGION"}
    assert {
        one["name"] for one in container()["env"] if "secretKeyRef" in one.get("valueFrom", {})
    } == {
        "DATABASE_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    }


def test_page_links_every_file() -> None:
    """The page of scheduling leads to each of the files."""
    linked = {(PAGE.parent / link).resolve() for link in read(PAGE).links}
    assert [path.name for path in files() if path not in linked] == []
