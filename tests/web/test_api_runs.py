"""Starting runs through the API, looking at them, and cancelling them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from tests.engine.past import past_run
from tests.web.conftest import Web

RUNS = "/api/v1/runs"
VEHICLES = {"task": "vehicle_images"}


def test_a_start_is_accepted_with_the_runs_address(web: Web) -> None:
    """POST /runs answers 202 at once, and Location leads to the run with its numbers."""
    web.vehicles(3)
    answer = web.ask("POST", RUNS, {**VEHICLES, "options": {"max_images": 5}, "limit": 2})
    assert answer.status_code == 202, answer.text
    run = web.get(answer.headers["location"])
    assert (run["task"], run["status"], run["source"]) == ("vehicle_images", "running", "api")
    assert (run["requested_by"], run["found"], run["limit"]) == ("operator", 2, 2)
    assert run["options"] == {"max_images": 5, "processes": 1}


def test_a_second_start_is_a_conflict_with_the_live_runs_address(web: Web) -> None:
    """409 names the live run, and a run beside it is started where that is asked for."""
    web.vehicles(1)
    first = web.ask("POST", RUNS, VEHICLES).json()
    second = web.ask("POST", RUNS, VEHICLES)
    assert second.status_code == 409
    problem = second.json()
    assert problem["type"] == "/problems/live_run"
    assert (problem["run"], problem["href"]) == (first["run"], first["href"])
    beside = web.ask("POST", RUNS, {**VEHICLES, "beside": True})
    assert beside.status_code == 202
    assert beside.json()["run"] != first["run"]


def test_starts_at_once_make_one_run(web: Web) -> None:
    """Of several starts at the same time one is accepted, and all others name its run."""
    web.vehicles(1)
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: web.ask("POST", RUNS, VEHICLES), range(6)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409, 409]
    assert len({answer.json()["run"] for answer in answers}) == 1


def test_the_same_request_with_the_same_key_is_one_run(web: Web) -> None:
    """An Idempotency-Key makes a repeated request harmless, and another one a conflict."""
    web.vehicles(1)
    key = {"Idempotency-Key": str(uuid4())}
    first = web.ask("POST", RUNS, VEHICLES, headers=key)
    again = web.ask("POST", RUNS, VEHICLES, headers=key)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["location"] == again.headers["location"]
    web.ask("POST", "/api/v1/tasks/vehicle_images/pause")
    late = web.ask("POST", RUNS, VEHICLES, headers=key)
    assert (late.status_code, late.headers["location"]) == (202, first.headers["location"])
    other = web.ask("POST", RUNS, {**VEHICLES, "limit": 1}, headers=key)
    assert (other.status_code, other.json()["type"]) == (409, "/problems/key_reused")
    fresh = {"Idempotency-Key": "k" * 255}
    assert web.ask("POST", RUNS, VEHICLES, headers=fresh).status_code == 409
    assert web.value("select count(*) from backfill.run") == 1


def test_a_paused_task_starts_nothing(web: Web) -> None:
    """409 says who paused it and why: the token's name, not the server's login."""
    paused = web.ask("POST", "/api/v1/tasks/vehicle_images/pause", {"reason": "import"})
    assert paused.json()["state"] == "paused"
    answer = web.ask("POST", RUNS, VEHICLES)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/paused")
    assert answer.json()["detail"] == "vehicle_images is paused by operator: import"
    assert web.ask("POST", "/api/v1/tasks/vehicle_images/resume").json()["paused_by"] is None
    assert web.ask("POST", RUNS, VEHICLES).status_code == 202


def test_paid_calls_need_a_yes(web: Web) -> None:
    """A run that would pay is refused until somebody agrees; a free one of that task is not."""
    faces = {"task": "face_index", "options": {"backend": "rekognition"}}
    answer = web.ask("POST", RUNS, faces)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/paid")
    assert web.ask("POST", RUNS, {**faces, "yes": True}).status_code == 202
    free = {"task": "quality_score"}
    assert web.ask("POST", RUNS, free).status_code == 202


def test_options_are_checked_as_on_the_command_line(web: Web) -> None:
    """Each option that can't be used is named with the reason, and nothing is started."""
    options = {
        "max_images": 0,
        "url_attempts": 2.5,
        "vehicle_delay": "soon",
        "organization_id": "no' or true --",
        "max_bytes": "many",
        "max_imagse": 3,
        "storage": "/etc",
        "allow": "169.254.169.254",
        "endpoint_url": "https://elsewhere.test",
    }
    answer = web.ask("POST", RUNS, {**VEHICLES, "options": options, "batch_size": 9999})
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
    told = {one["place"]: one["message"] for one in answer.json()["errors"]}
    assert set(told) == {*(f"options.{name}" for name in options), "batch_size"}
    assert told["options.max_imagse"].endswith("did you mean max_images?")
    assert told["options.storage"].endswith("by BACKFILL_VEHICLE_IMAGES_STORAGE")
    assert told["batch_size"] == "should be between 1 and 1000"
    assert web.value("select count(*) from backfill.run") == 0


def test_no_sql_is_taken(web: Web) -> None:
    """A condition of one's own is for psql and the command line: the API knows no such member."""
    answer = web.ask("POST", RUNS, {**VEHICLES, "where": "true"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["place"] == "body.where"


def test_what_is_not_there_says_so(web: Web) -> None:
    """Unknown tasks and runs are 404, with what to do about it."""
    answer = web.ask("POST", RUNS, {"task": "thumbnail"})
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not_installed")
    assert web.ask("GET", f"{RUNS}/999").status_code == 404
    assert web.ask("POST", f"{RUNS}/999/cancel").status_code == 404


def test_cancel_ends_a_run_and_is_audited(web: Web) -> None:
    """A run without processes ends at once; the audit has the token's name."""
    web.vehicles(1)
    run = web.ask("POST", RUNS, VEHICLES).json()["run"]
    answer = web.ask("POST", f"{RUNS}/{run}/cancel")
    assert (answer.json()["status"], answer.json()["exit_reason"]) == ("ended", "cancelled")
    (event,) = web.events("cancel")
    assert (event["token"], event["run_id"], event["via"]) == ("operator", run, "backfill serve")


def test_pages_hold_every_run_once(web: Web) -> None:
    """Following `next` gives all runs, the newest first, though more start meanwhile."""
    for _ in range(5):
        web.run("select backfill.start('vehicle_images', p_source => 'cli')")
    page = web.get("runs?limit=2&task=vehicle_images")
    seen = [run["run"] for run in page["items"]]
    web.run("select backfill.start('vehicle_images', p_source => 'cli')")
    while page["next"] is not None:
        page = web.get(page["next"])
        seen += [run["run"] for run in page["items"]]
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 5
    assert web.get("runs?status=ended")["items"] == []


def test_a_dry_run_changes_nothing(web: Web) -> None:
    """It counts what a run would take, and a viewer may ask for it."""
    keys = web.vehicles(3)
    path = "/api/v1/tasks/vehicle_images/dry-run"
    found = web.ask("POST", path, {"limit": 2}, by="viewer").json()
    assert (found["found"], found["found_exact"], len(found["first_keys"])) == (2, True, 2)
    assert set(found["first_keys"]) < set(keys)
    assert web.value("select count(*) from backfill.run") == 0


def test_an_estimate_is_by_what_an_earlier_run_did(web: Web) -> None:
    """Rows, US dollars, calls and seconds; a dry run says it with options, and a run that would pay
    nobody isn't judged by one that paid.
    """
    web.run(
        "insert into public.images (url, source_type)"
        " select n || '.jpg', 'local_upload' from generate_series(1, 10) n"
    )
    run = past_run(web.connection, "quality_score", rows=50, minutes=5, calls={"DetectLabels": 100})
    path = "/api/v1/tasks/quality_score"
    free = web.get(f"{path}/estimate?limit=4")
    assert free == {"task": "quality_score", "found": 4, "found_exact": True, "expected": None,
                    "left_usd": None, "left_per": None}  # fmt: skip
    web.run("select backfill.set_budget('quality_score', 1.5, 'total')")
    options = {"options": {"detector": "rekognition"}}
    paid = web.ask("POST", f"{path}/dry-run", options, by="viewer").json()
    assert paid["expected"] == {
        "run": run, "run_rows": 50, "processes": 1.0, "takes_s": 60.0, "usd_a_row": 0.002,
        "usd": 0.02,
        "calls": [{"provider": "rekognition", "operation": "DetectLabels", "region": "*",
                   "calls": 20, "calls_a_row": 2.0, "usd": 0.02}],
    }  # fmt: skip
    assert (paid["left_usd"], paid["left_per"]) == (1.5, "total")
    pace = past_run(web.connection, "quality_score", rows=20, minutes=2)
    expected = web.get(f"{path}/estimate")["expected"]
    assert (expected["run"], expected["usd"], expected["takes_s"]) == (pace, 0, 60)
