"""The API's other operations: what they change, and what the answers say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.cli.conftest import Work
from tests.web.conftest import Web

TASK = "/api/v1/tasks/vehicle_images"


def test_tasks_say_what_their_runs_can_be_told(web: Web) -> None:
    """A task has its progress, and its options with types, defaults and ranges."""
    task = web.get("tasks/vehicle_images")
    assert (task["state"], task["limit"], task["paid"]) == ("idle", 100, False)
    options = {option["name"]: option for option in task["options"]}
    assert options["max_images"] | {"help": ""} == {
        "name": "max_images", "help": "", "type": "integer", "default": 20, "minimum": 1.0,
        "maximum": 100.0, "choices": None,
    }  # fmt: skip
    listed = {one["task"]: one for one in web.get("tasks")["items"]}
    assert list(listed) == ["face_index", "image_signals", "quality_score", "vehicle_images"]
    assert web.get("tasks/face_index")["limit_by"] == "user_id"


def test_failed_rows_are_listed_and_tried_again(web: Web) -> None:
    """Failures come in pages and by cause, and a retry of one cause says how many there were."""
    work = Work(web.database)
    work.run(failed=3)
    work.run(failed=2, error_class="http_503")
    causes = web.get("failure-causes?task=quality_score")["items"]
    assert {cause["error_class"]: cause["rows"] for cause in causes} == {
        "http_404": 3, "http_503": 2,
    }  # fmt: skip
    page = web.get("failures?limit=2")
    keys = [row["key"] for row in page["items"]]
    while page["next"] is not None:
        page = web.get(page["next"])
        keys += [row["key"] for row in page["items"]]
    assert len(keys) == len(set(keys)) == 5
    run = web.get("runs?limit=1")["items"][0]
    assert web.get(run["href"])["failures"][0]["rows"] == 2
    path = "/api/v1/tasks/quality_score/retry"
    answer = web.ask("POST", path, {"error_class": "http_503"})
    assert answer.json() == {"reopened": 2, "live_runs": []}
    assert web.ask("POST", path, {"keys": [keys[0], "nothing"]}).json()["reopened"] == 0
    assert web.ask("POST", path).json()["reopened"] == 3
    (event,) = [e for e in web.events("retry") if e["detail"].get("error_class") == "http_503"]
    assert event["token"] == "operator"


def test_a_process_at_work_is_listed(web: Web) -> None:
    """Runners are named with what they hold."""
    work = Work(web.database)
    work.images(2)
    run, runner = work.start(pid=99)
    work.claim(runner)
    (row,) = web.get("runners?task=quality_score")["items"]
    assert (row["run"], row["runner"], row["pid"], row["holds"]) == (run, runner, 99, 2)
    assert row["heartbeat_s"] >= 0
    assert web.get("tasks/quality_score")["processes"] == 1


def test_a_schedule_is_set_and_taken_away(web: Web) -> None:
    """PUT makes a schedule and changes it; its options are checked as those of a run are."""
    path = "/api/v1/schedules/nightly"
    wanted = {"task": "vehicle_images", "cron": "*/10 22-6 * * *", "timezone": "Europe/Berlin"}
    made = web.ask("PUT", path, {**wanted, "limit": 500, "options": {"max_images": 5}}).json()
    assert made["options"] == {"limit": 500, "max_images": 5}
    assert (made["enabled"], made["set_by"]) == (True, "operator")
    changed = web.ask("PUT", path, {**wanted, "enabled": False}).json()
    assert (changed["enabled"], changed["options"]) == (False, {"limit": 100})
    assert [one["name"] for one in web.get("schedules?task=vehicle_images")["items"]] == ["nightly"]
    wrong = web.ask("PUT", path, {**wanted, "options": {"max_images": 0}})
    assert wrong.json()["errors"][0]["place"] == "options.max_images"
    assert web.ask("PUT", path, {**wanted, "timezone": "Europe/Nowhere"}).status_code == 422
    assert web.ask("PUT", path, {**wanted, "cron": "every day"}).status_code == 422
    assert web.ask("DELETE", path).status_code == 204
    assert web.ask("DELETE", path).status_code == 404


def test_a_window_is_set_and_cleared(web: Web) -> None:
    """PUT sets a task's hours; a zone that doesn't exist is refused."""
    path = "/api/v1/windows/vehicle_images"
    window = web.ask("PUT", path, {"opens": "22:00", "closes": "06:00", "zone": "Asia/Tokyo"})
    assert window.json()["zone"] == "Asia/Tokyo"
    wrong = web.ask("PUT", path, {"opens": "22:00", "closes": "06:00", "zone": "Nowhere"})
    assert (wrong.status_code, wrong.json()["type"]) == (422, "/problems/invalid")
    assert web.ask("PUT", path, {"opens": "25:00", "closes": "06:00"}).status_code == 422
    assert len(web.get("windows")["items"]) == 1
    assert web.ask("DELETE", path).status_code == 204
    assert web.get("windows")["items"] == []


def test_a_guard_is_set_changed_and_dropped(web: Web) -> None:
    """What is left out stays; a guard with SQL of somebody's own is none of the API's."""
    path = "/api/v1/guards/old"
    made = web.ask("PUT", path, {"kind": "oldest_transaction", "hold_above": 600, "every_s": 9})
    assert (made.json()["hold_above"], made.json()["every_s"]) == (600, 9)
    changed = web.ask("PUT", path, {"slow_above": 60}).json()
    assert (changed["slow_above"], changed["hold_above"]) == (60, 600)
    assert web.ask("PUT", path, {"kind": "wal_rate"}).status_code == 422
    assert web.ask("PUT", path, {"kind": "sql", "sql": "select 1"}).status_code == 422
    assert web.ask("PUT", "/api/v1/guards/new", {"hold_above": 1}).status_code == 422
    clear_above_hold = web.ask("PUT", path, {"clear_below": 700})
    assert clear_above_hold.json()["type"] == "/problems/invalid"
    assert web.ask("DELETE", path).status_code == 204
    assert web.ask("DELETE", path).status_code == 404
    assert [event["token"] for event in web.events("drop_guard")] == ["operator"]


def test_a_rate_is_set_and_its_pause_lifted(web: Web) -> None:
    """PUT sets what all processes share; a host's name has to be one."""
    path = "/api/v1/rates/host:example.com"
    rate = web.ask("PUT", path, {"per_second": 2, "concurrency": 1}).json()
    assert (rate["ceiling"], rate["concurrency"], rate["set_by"]) == (2, 1, "operator")
    web.run(
        "update backfill.rate_limit set blocked_until = now() + interval '1 hour',"
        " blocked_reason = '429' where name = 'host:example.com'"
    )
    assert web.ask("POST", f"{path}/lift-pause").json()["blocked_until"] is None
    assert web.ask("PUT", "/api/v1/rates/host:Example.com", {"burst": 1}).status_code == 422
    assert web.ask("PUT", "/api/v1/rates/thing", {"burst": 1}).status_code == 422
    assert web.ask("POST", "/api/v1/rates/nothing/lift-pause").status_code == 404


def test_a_budget_is_set_and_taken_away(web: Web) -> None:
    """PUT answers with what is left; 0 is a budget, too."""
    path = "/api/v1/budgets/face_index"
    (budget,) = web.ask("PUT", path, {"usd": 25}).json()["items"]
    assert (budget["usd"], budget["left_usd"], budget["per"]) == (25, 25, "month")
    assert len(web.ask("PUT", path, {"usd": 0.5, "per": "total"}).json()["items"]) == 2
    assert web.ask("DELETE", f"{path}?per=total").status_code == 204
    assert [one["per"] for one in web.get("budgets")["items"]] == ["month"]
    assert web.ask("PUT", "/api/v1/budgets/nothing", {"usd": 1}).status_code == 404


def test_a_watch_is_set_and_taken_away(web: Web) -> None:
    """PUT lets new rows be noticed from then on."""
    path = "/api/v1/watches/vehicle_images"
    assert all(one["since"] for one in web.ask("PUT", path).json()["items"])
    assert web.ask("DELETE", path).status_code == 204
    assert not any(one["since"] for one in web.get("watches?task=vehicle_images")["items"])


def test_spend_is_added_up_by_day_payer_and_run(web: Web) -> None:
    """Whatever it is added up by, the total is the same."""
    day = datetime.now(UTC).date()
    web.run(
        "insert into backfill.spend_day (task, day, payer, provider, operation, region, calls, usd)"
        " values ('face_index', %s, 'ann', 'rekognition', 'IndexFaces', 'us-east-1', 3, 0.003),"
        " ('face_index', %s, 'bob', 'rekognition', 'IndexFaces', 'us-east-1', 1, 0.001)",
        day,
        day,
    )
    by_day = web.get("spend?task=face_index")
    assert (by_day["items"][0]["day"], by_day["items"][0]["calls"]) == (day.isoformat(), 4)
    by_payer = web.get("spend?by=payer&limit=1")
    assert (by_payer["items"][0]["payer"], by_payer["of"]) == ("ann", 2)
    assert by_day["total_usd"] == by_payer["total_usd"] == 0.004
    assert web.get("spend?by=run")["items"] == []


def test_the_audit_has_the_tokens_name(web: Web) -> None:
    """Events come in pages, the newest first, each with the token that acted."""
    for reason in ("one", "two", "three"):
        web.ask("POST", f"{TASK}/pause", {"reason": reason})
    page = web.get("events?task=vehicle_images&action=pause&limit=2")
    assert [event["detail"]["reason"] for event in page["items"]] == ["three", "two"]
    assert {event["token"] for event in page["items"]} == {"operator"}
    (last,) = web.get(page["next"])["items"]
    assert last["detail"]["reason"] == "one"
    words = web.get("tasks/vehicle_images/activity?limit=1")["items"][0]["words"]
    assert "operator" in words


def test_a_tokens_secret_is_told_once(web: Web) -> None:
    """A new token works at once, its secret is in no list, and revoked it works no longer."""
    made = web.ask("POST", "/api/v1/tokens", {"name": "ci", "role": "viewer"}, by="admin").json()
    web.secrets["ci"] = made["secret"]
    assert web.get("me", by="ci") == {"name": "ci", "role": "viewer"}
    assert made["secret"] not in web.ask("GET", "/api/v1/tokens", by="admin").text
    again = web.ask("POST", "/api/v1/tokens", {"name": "ci", "role": "viewer"}, by="admin")
    assert (again.status_code, again.json()["type"]) == (409, "/problems/conflict")
    assert web.ask("DELETE", "/api/v1/tokens/ci", by="admin").status_code == 204
    assert web.ask("GET", "/api/v1/me", by="ci").status_code == 401
    assert web.ask("DELETE", "/api/v1/tokens/ci", by="admin").status_code == 404


def test_the_address_of_old_starts_a_run(web: Web) -> None:
    """POST /functions/v1/trickle-backfill-images is a run of vehicle_images in other words."""
    path = "/functions/v1/trickle-backfill-images"
    web.vehicles(4)
    organization = "5d6f2a40-9a8e-4a3a-8f0b-2f3f0c7b9d10"
    web.run(
        "insert into public.organization_vehicles"
        f" select '{organization}', id from public.vehicles limit 3"
    )
    asked: dict[str, Any] = {"batch_size": 10, "limit": 100, "max_images_per_vehicle": 7}
    asked |= {"organization_id": organization}
    dry = web.ask("POST", path, {**asked, "dry_run": True}, by="viewer")
    assert (dry.status_code, dry.json()["found"]) == (200, 3)
    assert web.ask("POST", path, asked, by="viewer").status_code == 403
    answer = web.ask("POST", path, asked)
    assert answer.status_code == 202, answer.text
    run = web.get(answer.headers["location"])
    assert (run["found"], run["limit"], run["options"]["max_images"]) == (3, 100, 7)
    assert web.ask("POST", path).status_code == 409
    wrong = web.ask("POST", path, {"organisation_id": organization})
    assert wrong.status_code == 422
