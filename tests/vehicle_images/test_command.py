"""`backfill run vehicle_images`, end to end: a real host, a folder, and what is printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from runner.cli import main
from tests.engine.roles import login
from tests.plugins.loopback import Exchange
from tests.plugins.picture_host import PictureHost, body
from tests.vehicle_images.conftest import Run
from tests.vehicle_images.vehicles import Vehicles, jpeg, objects


def test_a_run_from_beginning_to_end(
    own_vehicles: Vehicles,
    run: Run,
    fleet: Callable[..., list[str]],
    picture_host: PictureHost,
    storage: Path,
) -> None:
    """Rows, objects and marks agree, the summary tells what each host gave; again is nothing."""
    picture_host.add("/flaky.jpg", body(b"", 500))
    keys = fleet(3)
    part = own_vehicles.add(
        [picture_host.url + path for path in ("/1.jpg", "/missing.jpg", "/html.jpg", "/flaky.jpg")]
    )
    nothing = own_vehicles.add([picture_host.url + "/gone.jpg"])
    refused = own_vehicles.add(["http://10.0.0.1/a.jpg"])
    odd = own_vehicles.add([], origin_metadata=None)
    ended = run("--public-url", "https://cdn.test")
    assert ended.code == 3, ended.err
    assert "Traceback" not in ended.err
    assert objects(storage) == sorted(set(own_vehicles.paths()))
    assert len(objects(storage)) == 6
    assert [own_vehicles.marks(key)["count"] for key in keys] == [2, 2, 2]
    marks = own_vehicles.marks(part)
    assert (marks["count"], marks["error"]) == (
        1, "3 of 4 URLs: 1 http_404, 1 http_500, 1 not_a_picture",
    )  # fmt: skip
    assert (own_vehicles.primary(part) or "").startswith("https://cdn.test/")
    assert own_vehicles.marks(nothing)["error"] == "1 of 1 URLs: 1 http_410"
    why = own_vehicles.marks(refused)["error"]
    assert why.startswith(
        "no picture could be had: 1 of 1 URLs: 1 address_refused; such as http://"
    )
    assert why.endswith("10.0.0.1 is private (RFC 1918); allow addresses of your own with --allow")
    assert own_vehicles.marks(odd) == {}
    assert own_vehicles.checks() == []
    rows = [re.split(r"\s{2,}", line.strip()) for line in ended.out.splitlines()]
    told = {row[0]: row[1] for row in rows if len(row) == 2}
    assert (told["succeeded"], told["nothing found"], told["failed"]) == ("4", "1", "1")
    assert (told["objects"], told["deduplicated"]) == ("6", "1")
    (header,) = [row for row in rows if row[0] == "host"]
    (host,) = [row for row in rows if row[0] == "127.0.0.1"]
    counted = dict(zip(header, host, strict=True))
    assert (counted["stored"], counted["gone"], counted["refused"], counted["failed"]) == (
        "7", "2", "1", "1",
    )  # fmt: skip
    asked = len(picture_host.requests)
    again = run()
    assert again.code == 0
    assert again.out == "vehicle_images: nothing to do\n"
    assert len(picture_host.requests) == asked


def test_the_summary_as_json(
    own_vehicles: Vehicles, run: Run, fleet: Callable[..., list[str]]
) -> None:
    """Bytes, objects, repetitions and hosts are in the one object that is printed."""
    fleet(2)
    own_vehicles.add([own_vehicles.one("select origin_metadata->'image_urls'->>0 from vehicles"
                                       " limit 1")])  # fmt: skip
    own_vehicles.add(["/relative.jpg"])
    ended = run("--json")
    assert ended.code == 3, ended.err
    size = sum(row["file_size"] for row in own_vehicles.all("select file_size from vehicle_images"))
    assert ended.json["figures"] == {"bytes": size, "objects": 4, "deduplicated": 1}
    assert ended.json["by_host"] == {
        "127.0.0.1": {"bytes": size, "stored": 5}, "(none)": {"refused": 1},
    }  # fmt: skip


def test_a_hundred_vehicles_unless_told_otherwise(
    own_vehicles: Vehicles, run: Run, fleet: Callable[..., list[str]], picture_host: PictureHost
) -> None:
    """The default limit counts vehicles that need work; 0 means all."""
    url = picture_host.add("/one.jpg", jpeg(1))
    for _ in range(104):
        own_vehicles.add([url])
    dry = run("--dry-run", "--json")
    assert dry.code == 0, dry.err
    assert dry.json["found"] == 100
    assert picture_host.requests == []
    assert own_vehicles.done() == 0
    first = run("--json")
    assert first.code == 0, first.err
    assert (first.json["ok"], first.json["exit_reason"], own_vehicles.done()) == (100, "limit", 100)
    for _ in range(104):
        own_vehicles.add([url])
    rest = run("--limit", "0", "--json")
    assert rest.code == 0, rest.err
    assert (rest.json["ok"], rest.json["exit_reason"], own_vehicles.done()) == (108, "done", 208)


def test_an_organization_and_at_most_so_many_pictures(
    own_vehicles: Vehicles, run: Run, fleet: Callable[..., list[str]]
) -> None:
    """Only the organization's vehicles are taken, and of each no more URLs than are wanted."""
    ours, theirs = str(uuid4()), str(uuid4())
    keys = fleet(3, 4)
    for key, organization in zip(keys, (ours, ours, theirs), strict=True):
        own_vehicles.all(
            "insert into organization_vehicles (organization_id, vehicle_id) values (%s, %s)",
            organization, key,
        )  # fmt: skip
    ended = run("--organization-id", ours, "--max-images", "3", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["ok"] == 2
    assert [own_vehicles.marks(key).get("count") for key in keys] == [3, 3, None]
    assert list(own_vehicles.states(keys[0]).values()) == ["stored"] * 3 + ["left_out"]
    assert "error" not in own_vehicles.marks(keys[0])


@pytest.mark.parametrize(
    "option, value, said",
    [
        ("--organization-id", "x' or true --", "is not the key of an organization"),
        ("--max-images", "0", "--max-images"),
        ("--max-images", "101", "--max-images"),
        ("--max-bytes", "lots", "is not an amount of bytes"),
        ("--public-url", "http://[x", "is not an address"),
        ("--public-url", "https://cdn.test/?", "is not an address"),
        ("--storage", "~nobody-of-this-name/x", "home folder"),
        ("--storage", "ftp://x/y", "no storage of the kind ftp"),
        ("--batch-size", "0", "--batch-size"),
        ("--allow", "10.0.0.1/8", "bits set"),
    ],
)
def test_what_can_not_be_used_is_a_usage_error(
    vehicles: Vehicles, option: str, value: str, said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    """Exit code 2, one line that names the value, and nothing is begun."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", vehicles.url)
    vehicles.named(1)
    assert main(["run", "vehicle_images", option, value]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


def test_an_organization_that_is_no_uuid_is_a_usage_error(own_vehicles: Vehicles, run: Run) -> None:
    """What the application's column can't hold is told as what was given."""
    ended = run("--organization-id", "seven")
    assert ended.code == 2
    assert "seven" in ended.err
    assert "Traceback" not in ended.err


def test_resume_takes_up_what_the_options_refused(
    own_vehicles: Vehicles, run: Run, picture_host: PictureHost
) -> None:
    """A vehicle that failed is left alone by a plain run, and done with --resume once it can be."""
    picture_host.add("/a.jpg", jpeg(1))
    key = own_vehicles.add(["/a.jpg"])
    assert run().code == 3
    assert "no_base_url" in own_vehicles.marks(key)["error"]
    plain = run("--base-url", picture_host.url)
    assert plain.code == 0
    assert own_vehicles.pictures(key) == []
    resumed = run("--base-url", picture_host.url, "--resume")
    assert resumed.code == 0, resumed.err
    assert "error" not in own_vehicles.marks(key)
    assert own_vehicles.marks(key)["count"] == 1
    own_vehicles.clear(key)
    picture_host.requests.clear()
    assert run("--base-url", picture_host.url).code == 0
    assert picture_host.requests == []
    assert own_vehicles.marks(key)["count"] == 1


def test_a_dry_run_shows_no_secrets_and_changes_nothing(
    own_vehicles: Vehicles, run: Run, picture_host: PictureHost, storage: Path
) -> None:
    """Addresses are shown without what may be a signature, in whatever form they are given."""
    secret = "sig=s3cret"
    for urls in (
        [f"https://h.test/a.jpg?{secret}"], f"https://h.test/a.jpg?{secret}", f"/a.jpg?{secret}",
        [{"url": f"/a.jpg?{secret}"}, {"src": f"//h.test/a.jpg?{secret}"}],
    ):  # fmt: skip
        own_vehicles.add(urls)
    ended = run("--dry-run")
    assert ended.code == 0, ended.err
    assert "4 rows to do" in ended.out
    assert "s3cret" not in ended.out
    assert own_vehicles.all("select * from backfill.job") == []
    assert picture_host.requests == []


def test_an_unreasonable_application_fails_its_rows_alone(
    own_vehicles: Vehicles, run: Run, picture_host: PictureHost
) -> None:
    """Where its constraint refuses a picture, that vehicle says so and its neighbour is done."""
    own_vehicles.all("alter table vehicle_images add unique (image_url)")
    url = picture_host.add("/a.jpg", jpeg(1))
    keys = [own_vehicles.add([url]) for _ in range(2)]
    ended = run()
    assert ended.code == 3
    marks = [own_vehicles.marks(key) for key in keys]
    assert sorted(len(mark) for mark in marks) == [1, 4]
    (error,) = [mark["error"] for mark in marks if len(mark) == 1]
    assert "duplicate key value violates unique constraint" in error


def test_a_member_of_the_runners_may_do_it_all(
    own_vehicles: Vehicles,
    run: Run,
    fleet: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who may read and write none of the application's tables can still run it, with any option."""
    (key,) = fleet(1)
    organization = str(uuid4())
    own_vehicles.all("insert into organization_vehicles values (%s, %s)", organization, key)
    with login(own_vehicles.url, "backfill_runner") as conninfo:
        monkeypatch.setenv("DATABASE_URL", conninfo)
        ended = run("--organization-id", organization, "--max-bytes", "1GB", "--json")
        assert ended.code == 0, ended.err
        assert run("--dry-run").code == 0
    assert own_vehicles.marks(key)["count"] == 2


def test_a_vehicle_that_goes_in_the_middle_is_nobodys_failure(
    own_vehicles: Vehicles, run: Run, fleet: Callable[..., list[str]], picture_host: PictureHost
) -> None:
    """Deleted while it is downloaded, it is done with, and its neighbours are marked."""
    gone, kept = fleet(2)

    def deletes(exchange: Exchange) -> None:
        with psycopg.connect(own_vehicles.url) as connection:
            connection.execute("delete from vehicles where id = %s", [gone])
        exchange.answer(200, jpeg(1))

    picture_host.add("/1.jpg", deletes)
    ended = run("--json")
    assert ended.code == 0, ended.err
    assert own_vehicles.marks(kept)["count"] == 2
    assert own_vehicles.states(gone) == {}
    assert own_vehicles.checks() == []
