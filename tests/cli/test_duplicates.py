"""What `backfill duplicates` promises."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from runner.errors import ExitCode
from tests.cli.conftest import Backfill
from tests.image_signals.payments import install_with_uuids
from tests.pages.found import Found, key
from tests.plugins.database import Database, DatabaseTemplate, NewDatabase


@pytest.fixture
def with_signals(database_template: DatabaseTemplate, new_database: NewDatabase) -> Database:
    """A database with image_signals installed and no payments."""
    return new_database(template=database_template("signals", install_with_uuids))


@pytest.fixture
def found(with_signals: Database) -> Found:
    """See `Found`; on the database `with_signals`."""
    return Found(with_signals)


@pytest.fixture
def on(backfill: Backfill, with_signals: Database) -> Backfill:
    """The command line on that database."""
    return backfill.use(with_signals)


@pytest.fixture
def reused(found: Found) -> Found:
    """One screenshot three times (a, b, and c re-encoded), d and e for review, f with its own."""
    for picture in ("one", "one again", "other", "other edited", "alone"):
        found.picture(picture)
    found.payment("a", day=0, picture="one", label="F-102")
    found.payment("b", day=5, picture="one", label="F-205")
    found.payment("c", day=20, picture="one again", label="F-301")
    found.payment("d", day=2, picture="other", label="F-102")
    found.payment("e", day=30, picture="other edited", label="F-103")
    found.payment("f", day=31, picture="alone", label="F-104")
    found.pair("one", "one again", percentage=99.1)
    found.pair("other", "other edited", verdict="review", percentage=98.7,
               sentences=("98.7 % of what both show is the same", "1 place differs"),
               first_boxes=((0.1, 0.2, 0.3, 0.1),),
               second_boxes=((0.1, 0.3, 0.3, 0.1),))  # fmt: skip
    return found


def names(ended_json: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    """The pairs of a JSON document, by what the test calls the payments."""
    by_key = {key(name): name for name in "abcdef"}
    return [(by_key[p["payment"]], by_key[p["duplicate_of"]]) for p in ended_json["pairs"]]


@pytest.mark.usefixtures("reused")
def test_pairs_are_listed_the_newest_first(on: Backfill) -> None:
    """Copies and equal files are listed with who, when, how alike; the notes tell of the rest."""
    ended = on("duplicates")
    assert ended.code == ExitCode.DONE
    head, *lines = ended.out.splitlines()
    assert " ".join(head.split()) == (
        "payment label submitted duplicate of label submitted % how explanation"
    )
    assert [line.split()[0] for line in lines] == [key("c"), key("b")]
    assert re.search(r"F-205 +2026-03-06 .*F-102 +2026-03-01 .* 100 +same file", lines[1])
    assert re.search(r"F-301 .* 99.1 +copy +99.1 % of what", lines[0])
    assert ended.err.splitlines() == [
        "2 pairs in 1 group",
        "1 more pair for a person to judge: --review",
        "side by side: backfill duplicates --html duplicates.html",
    ]


@pytest.mark.usefixtures("reused")
def test_review_adds_what_only_a_person_can_judge(on: Backfill) -> None:
    """With --review, pairs are listed as well that are no copies for sure."""
    assert names(on("duplicates", "--json").json) == [("c", "a"), ("b", "a")]
    assert names(on("duplicates", "--review", "--json").json)[0] == ("e", "d")
    assert "review" in on("duplicates", "--review").out


@pytest.mark.usefixtures("reused")
def test_groups_are_listed_whole_the_earliest_first(on: Backfill) -> None:
    """A group lists every payment once, in order of time, with what it is like."""
    ended = on("duplicates", "--groups", "--review")
    head, *lines = [line.split() for line in ended.out.splitlines()]
    assert head[:3] == ["group", "payment", "label"]
    assert [line[:2] for line in lines] == [
        ["1", key("d")], ["1", key("e")], ["2", key("a")], ["2", key("b")], ["2", key("c")],
    ]  # fmt: skip
    assert lines[3][5:] == [key("a"), "100", "same", "file", *lines[3][9:]]
    assert "3 pairs in 2 groups" in ended.err
    groups = on("duplicates", "--groups", "--json").json["groups"]
    assert [[m["payment"] for m in g["members"]] for g in groups] == [
        [key("a"), key("b"), key("c")]
    ]


@pytest.mark.usefixtures("reused")
def test_limit_counts_what_is_listed(on: Backfill) -> None:
    """--limit takes the newest, of pairs or of groups, and the note says how many there are."""
    ended = on("duplicates", "--limit", "1", "--json")
    assert names(ended.json) == [("c", "a")]
    assert "1 of 2 pairs; more: --limit" in on("duplicates", "--limit", "1").err
    ended = on("duplicates", "--limit", "1", "--groups", "--review")
    assert "1 of 2 groups; more: --limit" in ended.err
    assert len(ended.out.splitlines()) == 3


@pytest.mark.usefixtures("reused")
def test_payment_narrows_to_its_pairs_or_its_group(on: Backfill) -> None:
    """--payment lists pairs with the payment on either side; with --groups its whole group."""
    assert names(on("duplicates", "--payment", key("b"), "--json").json) == [("b", "a")]
    ended = on("duplicates", "--payment", key("a"), "--json")
    assert names(ended.json) == [("c", "a"), ("b", "a")]
    (group,) = on("duplicates", "--groups", "--payment", key("b"), "--json").json["groups"]
    assert len(group["members"]) == 3


@pytest.mark.usefixtures("reused")
def test_payment_without_duplicates_is_told_from_an_unknown_one(on: Backfill) -> None:
    """A payment with nothing like it is no error; one that nobody knows is."""
    ended = on("duplicates", "--payment", key("f"))
    assert (ended.code, ended.out) == (ExitCode.DONE, "")
    assert ended.err == f"no duplicates were found for payment {key('f')}\n"
    ended = on("duplicates", "--payment", "nobody's")
    assert ended.code == ExitCode.USAGE
    assert "has not seen a payment" in ended.err
    assert len(ended.err.splitlines()) == 1


def test_payment_that_could_not_be_analysed_is_told(on: Backfill, found: Found) -> None:
    """Whoever asks for a payment whose picture failed hears why, and not that all is well."""
    found.payment("a", day=0, picture="one")
    found.connection.execute(
        "update backfill.job set state = 'failed', error_class = 'http_404',"
        " error_message = 'HTTP 404 (not found)'"
    )
    ended = on("duplicates", "--payment", key("a"))
    assert "its picture's analysis: failed (HTTP 404 (not found))" in ended.err


@pytest.mark.usefixtures("reused")
def test_since_takes_what_was_submitted_again_from_then_on(on: Backfill) -> None:
    """--since goes by the later payment; a group is shown whole where its last one is."""
    ended = on("duplicates", "--since", "2026-03-20", "--json")
    assert names(ended.json) == [("c", "a")]
    ended = on("duplicates", "--since", "2026-03-20", "--groups", "--json")
    (group,) = ended.json["groups"]
    assert len(group["members"]) == 3
    assert ended.json["counts"] == {
        "duplicate": 1, "review": 1, "not_duplicate": 0, "pairs": 2, "groups": 1,
    }  # fmt: skip
    ended = on("duplicates", "--since", "2026-06-01T12:00+03:00")
    assert "no duplicates were found since 2026-06-01" in ended.err


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01", "0001-01-01", ""])
def test_bad_date_is_refused(backfill: Backfill, date: str) -> None:
    """What is no date is told in a line that shows how to write one."""
    ended = backfill("duplicates", "--since", date)
    assert ended.code == ExitCode.USAGE
    assert "is not a date; write 2026-01-31" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.usefixtures("reused")
def test_json_has_everything(on: Backfill) -> None:
    """JSON has each pair with all that the view says of it, the groups, and the numbers."""
    found = on("duplicates", "--review", "--json").json
    (review,) = [pair for pair in found["pairs"] if pair["verdict"] == "review"]
    assert review["regions"] == [[0.1, 0.3, 0.3, 0.1]]
    assert review["first_regions"] == [[0.1, 0.2, 0.3, 0.1]]
    assert review["explanation"].endswith("is the same; 1 place differs.")
    assert (review["percentage"], review["same_file"], review["generation"]) == (98.7, False, 1)
    assert review["submitted_at"].startswith("2026-03-31T")
    assert found["counts"] == {
        "duplicate": 2, "review": 1, "not_duplicate": 0, "pairs": 3, "groups": 2,
    }  # fmt: skip
    assert found["groups"][0]["pairs"] == [[key("e"), key("d")]]


@pytest.mark.usefixtures("reused")
def test_what_a_person_says_is_respected(on: Backfill) -> None:
    """A pair that is marked as none is listed with --marked only, until the mark is taken back."""
    ended = on(
        "duplicates", "mark", key("b"), key("a"), "--not-duplicate", "--reason", "paid twice"
    )
    assert ended.out == f"{key('b')} and {key('a')} are marked as no duplicates\n"
    assert f"unmark {key('b')} {key('a')}" in ended.err
    listed = on("duplicates")
    assert "1 pair marked as no duplicates: --marked" in listed.err
    assert len(listed.out.splitlines()) == 2
    (pair,) = [p for p in on("duplicates", "--marked", "--json").json["pairs"] if p["marked"]]
    assert (pair["marked"], pair["mark_reason"], pair["marked_by"]) == (
        "not_duplicate", "paid twice", "postgres",
    )  # fmt: skip
    assert "same file, marked no duplicate" in on("duplicates", "--marked").out
    ended = on("duplicates", "unmark", key("a"), key("b"))
    assert ended.out == f"{key('a')} and {key('b')} are no longer marked\n"
    assert "were not marked" in on("duplicates", "unmark", key("a"), key("b")).out
    assert len(on("duplicates").out.splitlines()) == 3


@pytest.mark.usefixtures("reused")
def test_confirmed_pair_is_listed_without_review(on: Backfill) -> None:
    """A pair for review that a person calls a duplicate is one from then on."""
    assert on("duplicates", "mark", key("d"), key("e"), "--duplicate").code == ExitCode.DONE
    ended = on("duplicates")
    assert "review, marked duplicate" in ended.out
    assert "--review" not in ended.err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("mark", "x", "y"), "say which it is: --duplicate or --not-duplicate"),
        (("mark", "x"), "missing argument"),
        (("--limit", "3", "mark", "x", "y", "--duplicate"), "--limit can't go with mark"),
        (("--limit", "0"), "--limit"),
        (("--html", "."), "is a directory"),
        (("--html", "no/such/folder.html"), "there is no folder no/such"),
        (("--html", "/dev/null"), "no regular file"),
    ],
)
def test_mistakes_are_told_in_a_line(
    backfill: Backfill, arguments: tuple[str, ...], words: str
) -> None:
    """What can't be done as asked is refused in a line, before a database is asked for."""
    ended = backfill("duplicates", *arguments)
    assert (ended.code, ended.out) == (ExitCode.USAGE, "")
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1


def test_unknown_payment_cant_be_marked(on: Backfill, found: Found) -> None:
    """A mark on a payment that was never analysed is refused, with that payment's key."""
    known = found.payment("a", day=0, picture="one")
    ended = on("duplicates", "mark", known, "nobody's", "--duplicate")
    assert ended.code == ExitCode.USAGE
    assert "payment nobody's has no analysed screenshot; " in ended.err
    assert len(ended.err.splitlines()) == 1


def test_task_that_is_not_installed_is_told(backfill: Backfill, application: Database) -> None:
    """Without image_signals each of the commands says what to run."""
    assert backfill.use(application)("migrate").code == ExitCode.DONE
    for arguments in ([], ["mark", "x", "y", "--duplicate"], ["unmark", "x", "y"]):
        ended = backfill("duplicates", *arguments)
        assert ended.code == ExitCode.USAGE
        assert "run: backfill migrate image_signals" in ended.err


@pytest.mark.usefixtures("reused")
def test_page_shows_pairs_and_groups(on: Backfill, tmp_path: Path) -> None:
    """--html writes a page with both pictures of each pair, and says what is in it."""
    for grouped in (False, True):
        options = ["--groups"] if grouped else []
        ended = on("duplicates", "--review", "--html", "page.html", *options)
        assert ended.code == ExitCode.DONE
        assert ended.out == "page.html: 3 pairs, 4 pictures, 0.0 MB\n"
        text = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert text.count("<article") == 3
        assert text.count("<image") == 4
        assert ("Group 2: 3 payments" in text) is grouped
        assert "secret" not in text
        assert "3 pairs in 2 groups of payments." in text


@pytest.mark.usefixtures("reused")
def test_page_says_what_it_leaves_out(on: Backfill, tmp_path: Path) -> None:
    """A page that is narrowed down says by what, and what is not in it."""
    on("duplicates", "mark", key("b"), key("a"), "--not-duplicate")
    ended = on("duplicates", "--payment", key("a"), "--since", "2026-03-02", "--html", "p.html",
               "--json")  # fmt: skip
    assert names(ended.json) == [("c", "a")]
    assert ended.err.startswith("p.html: 1 pair, 2 pictures")
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "From database pgbackfill_te" in text
    assert f"About payment {key('a')}. Submitted since 2026-03-02 00:00." in text
    assert "Nor 1 pair marked as no duplicates." in text


def test_payments_without_a_time_are_listed(on: Backfill, found: Found, tmp_path: Path) -> None:
    """A payment of which nobody knows when it was submitted is the later one, and no trouble."""
    found.payment("a", day=0, picture="one")
    found.payment("b", day=None, picture="one")
    ended = on("duplicates", "--groups", "--html", "page.html", "--json")
    assert names(ended.json) == [("b", "a")]
    assert ended.json["pairs"][0]["submitted_at"] is None
    assert "time unknown" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert on("duplicates", "--since", "2026-01-01", "--json").json["pairs"] == []


@pytest.mark.usefixtures("reused")
def test_marks_are_for_operators(
    on: Backfill, with_signals: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader sees duplicates and the page; only an operator may mark them."""
    arguments = ("mark", key("b"), key("a"), "--not-duplicate")
    for role, code in (("reader", ExitCode.ERROR), ("operator", ExitCode.DONE)):
        url = make_conninfo(with_signals.url, options=f"-c role=backfill_{role}")
        monkeypatch.setenv("DATABASE_URL", url)
        assert on("duplicates", "--html", "page.html").code == ExitCode.DONE
        assert on("duplicates", *arguments).code == code


@pytest.mark.usefixtures("reused")
def test_listing_changes_nothing(on: Backfill, with_signals: Database) -> None:
    """Lists and pages are read in a READ ONLY transaction."""
    with psycopg.connect(with_signals.url, autocommit=True) as connection:
        connection.execute(
            "create function public.writes() returns boolean language plpgsql as"
            " $$ begin create table public.written (n int); return true; end $$"
        )
        connection.execute(
            "create view public.trap as select * from backfill.duplicates where public.writes()"
        )
        connection.execute("alter view backfill.duplicates rename to original")
        connection.execute("create view backfill.duplicates as select * from backfill.original"
                           " where public.writes()")  # fmt: skip
    ended = on("duplicates")
    assert ended.code == ExitCode.ERROR
    assert "read-only transaction" in ended.err
