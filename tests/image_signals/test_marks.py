"""What a person says of two payments is kept and respected."""

from __future__ import annotations

import psycopg
import pytest

from tests.image_signals.payments import Payments


def mark(payments: Payments, one: object, other: object, duplicate: bool) -> None:
    """A person says whether two payments are duplicates."""
    payments.all(
        "select backfill.mark_duplicate(%s, %s, %s, 'why')", str(one), str(other), duplicate
    )


def test_no_duplicate_is_kept_through_later_runs(payments: Payments) -> None:
    """A marked pair stays cleared when a payment is analysed anew or a third one comes."""
    payments.add(1, 2, 3)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="copy")
    mark(payments, 2, 1, False)
    assert payments.duplicate_of() == {}
    assert "said on" in payments.signals(2)["similarity_explanation"]
    payments.all("update backfill.image_subject set settled_at = null")
    payments.both(3, "c", [7], a="copy", b="copy")
    payments.compare(1)
    payments.compare(2)
    assert payments.duplicate_of() == {"3": "1"}


def test_a_mark_can_be_taken_back(payments: Payments) -> None:
    """Without the mark the comparison counts again."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="copy")
    mark(payments, 1, 2, False)
    assert payments.one("select backfill.unmark_duplicate('2', '1') as done") == {"done": True}
    assert payments.one("select backfill.unmark_duplicate('2', '1') as done") == {"done": False}
    assert payments.duplicate_of() == {"2": "1"}


def test_a_person_can_confirm_a_review(payments: Payments) -> None:
    """What a person calls a duplicate is one."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="review")
    mark(payments, 2, 1, True)
    assert payments.duplicate_of() == {"2": "1"}
    assert "confirmed it as a duplicate" in payments.signals(2)["similarity_explanation"]


def test_a_mark_is_for_the_files_that_the_person_saw(payments: Payments) -> None:
    """Another screenshot under the same payment doesn't inherit its predecessor's pardon."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="copy")
    mark(payments, 2, 1, False)
    payments.all("update payment_submissions set screenshot_url = '/new.png' where id = 2")
    payments.both(2, "stolen", [5], a="copy")
    assert payments.duplicate_of() == {"2": "1"}


@pytest.mark.parametrize("one, other", [(1, 99), (99, 1), (1, 1)])
def test_a_mark_on_what_is_not_there_is_refused(payments: Payments, one: int, other: int) -> None:
    """The error says which payment has no analysed screenshot."""
    payments.add(1)
    payments.both(1, "a", [1])
    with pytest.raises(psycopg.Error, match=r"payment (99 has no analysed|1 can't be marked)"):
        mark(payments, one, other, False)


def test_marks_are_in_the_audit(payments: Payments) -> None:
    """Who marked what is an event."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "a", [1])
    mark(payments, 2, 1, False)
    event = payments.one("select * from backfill.event where action = 'mark'")
    assert event["detail"] == {"payment": "2", "other": "1", "duplicate": False, "reason": "why"}


def test_one_cleared_payment_clears_no_other(payments: Payments) -> None:
    """A mark is about two payments; a third with the same file is still the first of both."""
    payments.add(1, 2, 3)
    for key in (1, 2, 3):
        payments.both(key, "same", [1])
    mark(payments, 3, 1, False)
    assert payments.duplicate_of() == {"2": "1", "3": "2"}
    rows = payments.all("select duplicate_of, marked from backfill.duplicates where payment = '3'")
    assert {(r["duplicate_of"], r["marked"]) for r in rows} == {("1", "not_duplicate"), ("2", None)}


def test_there_is_nothing_to_confirm_where_nothing_was_found(payments: Payments) -> None:
    """A duplicate that the program has not found can't be confirmed, and the error says so."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "b", [1 << 40])
    with pytest.raises(psycopg.Error, match="nothing to confirm"):
        mark(payments, 1, 2, True)
