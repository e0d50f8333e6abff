"""Screenshots, times and versions that change, payments that fail or go."""

from __future__ import annotations

from tests.image_signals.payments import Payments, sha


def test_another_screenshot_is_another_story(payments: Payments) -> None:
    """A payment whose address changes is analysed anew, and those that pointed to it look again."""
    payments.add(1, 2, 3)
    payments.both(1, "a", [1])
    payments.both(2, "a", [1])
    payments.both(3, "a", [1])
    payments.all("update payment_submissions set screenshot_url = '/new.png' where id = 1")
    assert payments.step(1) == "analyse"
    payments.both(1, "other", [1 << 40])
    assert payments.duplicate_of() == {"3": "2"}
    assert payments.checks() == []


def test_the_hash_index_counts_each_payment_once(payments: Payments) -> None:
    """Counts and firsts follow every change, and a repeated step changes nothing."""
    payments.add(1, 2, 3)
    payments.both(2, "a", [1])
    payments.both(3, "b", [1])
    one, other = f"{1:016x}", f"{1 << 40:016x}"
    assert payments.uploads() == {one: (2, 2)}
    payments.both(1, "c", [1])
    assert payments.uploads() == {one: (3, 1)}
    payments.all("update payment_submissions set screenshot_url = '/new.png' where id = 1")
    payments.analyse(1, "d", [1 << 40])
    payments.analyse(1, "d", [1 << 40])
    assert payments.uploads() == {one: (2, 2), other: (1, 1)}
    payments.all("update payment_submissions set screenshot_url = '/newer.png' where id = 1")
    payments.analyse(1, "e", [1])
    assert payments.uploads() == {one: (3, 1)}


def test_a_payment_that_fails_says_so_and_stays_to_be_done(payments: Payments) -> None:
    """Failed is not analysed: the row says why, and the view keeps it."""
    payments.add(1)
    payments.all(
        "select backfill.fail_image_signals("
        """'[{"key": "1", "error_class": "http_404", "error_message": "gone"}]')"""
    )
    row = payments.signals(1)
    assert (row["analysis_status"], row["analysis_error"]) == ("failed", "http_404: gone")
    assert payments.step(1) == "analyse"
    payments.both(1, "a", [1])
    row = payments.signals(1)
    assert (row["analysis_status"], row["analysis_error"]) == ("completed", None)


def test_a_deleted_payment_is_nobodys_first(payments: Payments) -> None:
    """What pointed to it finds the next, and a prune forgets what nobody has."""
    payments.add(1, 2, 3)
    for key in (1, 2, 3):
        payments.both(key, "a" if key > 1 else "b", [1], a="copy", b="copy")
    assert payments.duplicate_of() == {"2": "1", "3": "1"}
    payments.all("delete from payment_submissions where id = 1")
    assert payments.checks() == ["every duplicate points to a payment"]
    assert payments.one("select * from backfill.image_signals_prune()") == {
        "payments": 1, "pictures": 1,
    }  # fmt: skip
    assert payments.duplicate_of() == {"3": "2"}
    assert payments.uploads() == {f"{1:016x}": (2, 2)}
    assert payments.checks() == []
    assert payments.all("select * from backfill.image_pair") == []
    assert payments.one("select count(*) as n from backfill.image_hash_owner") == {"n": 1}


def test_a_payment_that_is_deleted_while_it_is_analysed_is_passed_over(payments: Payments) -> None:
    """Its result is dropped and its neighbours' are kept."""
    payments.add(1)
    payments.apply(
        {"key": 7, "step": "analysis", "generation": 1, "sha256": sha("x"), "picture": {},
         "signals": {}, "algorithm": "phash64 v1"},
        revision="r",
    )  # fmt: skip
    assert payments.all("select * from backfill.image_subject") == []


def test_a_corrected_time_turns_the_direction(payments: Payments) -> None:
    """A payment whose time is changed is settled again, and so is whoever pointed to it."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "a", [1])
    payments.all("update payment_submissions set created_at = '2024-06-01' where id = 1")
    assert payments.step(1) == "settle"
    payments.compare(1)
    assert payments.duplicate_of() == {"1": "2"}
    assert payments.step(1) is None


def test_another_screenshot_that_fails_is_not_accused(payments: Payments) -> None:
    """What was found of the screenshot before is not said of one that can't be analysed."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "a", [1])
    payments.all("update payment_submissions set screenshot_url = '/new.png' where id = 2")
    payments.all(
        "select backfill.fail_image_signals("
        """'[{"key": "2", "error_class": "http_404", "error_message": "gone"}]')"""
    )
    row = payments.signals(2)
    assert (row["duplicate_detected"], row["similar_to_payment_id"]) == (False, None)


def test_a_missing_row_of_signals_is_made_again(payments: Payments) -> None:
    """Where somebody deleted it, the payment needs to be analysed."""
    payments.add(1)
    payments.both(1, "a", [1])
    payments.all("delete from payment_image_signals")
    assert payments.step(1) == "analyse"


def test_generations_never_mix(payments: Payments) -> None:
    """After a new version old rows are done again, compared with the new ones only, and what was
    found stands until both halves of a pair had their turn.
    """
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="copy")
    payments.all("update backfill.task set version = 2 where name = 'image_signals'")
    assert (payments.step(1), payments.step(2)) == ("analyse", "analyse")
    payments.analyse(2, "b", [3], generation=2)
    row = payments.needs(2)
    assert row is not None
    assert row["comparison"]["candidates"] == []
    payments.compare(2, generation=2)
    assert payments.duplicate_of() == {"2": "1"}
    payments.analyse(1, "a", [1], generation=2)
    payments.compare(1, like={"b": "copy"}, generation=2)
    assert payments.duplicate_of() == {"2": "1"}
    assert payments.uploads() == {f"{1:016x}": (1, 1), f"{3:016x}": (1, 2)}
    payments.all("select backfill.image_signals_prune()")
    assert payments.all("select distinct generation from backfill.image_hash") == [
        {"generation": 2}
    ]


def test_a_pair_that_a_new_version_does_not_find_goes(payments: Payments) -> None:
    """Once both halves were compared by the new version, its word counts."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="copy")
    payments.all("update backfill.task set version = 2 where name = 'image_signals'")
    for key, picture in ((2, "b"), (1, "a")):
        payments.analyse(key, picture, [key], generation=2)
        payments.compare(key, generation=2)
    assert payments.duplicate_of() == {}
