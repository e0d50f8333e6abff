"""What follows for payments from equal files, pairs and marks, in whatever order they come."""

from __future__ import annotations

from itertools import combinations, permutations
from random import Random

import pytest

from runner import similarity
from runner.tasks.image_signals import task
from tests.image_signals.payments import Payments, sha


def test_a_payment_is_analysed_then_compared_then_done(payments: Payments) -> None:
    """The view names each step, and lets go of a payment after the last."""
    payments.add(1)
    assert payments.step(1) == "analyse"
    payments.analyse(1, "a", [5])
    assert payments.step(1) == "compare"
    assert payments.signals(1)["analysis_status"] == "processing"
    payments.compare(1)
    assert payments.step(1) is None
    done = payments.signals(1)
    assert (done["analysis_status"], done["duplicate_detected"]) == ("completed", False)
    assert done["similarity_explanation"].startswith("No earlier payment has this file")


def test_payments_without_a_screenshot_are_no_subjects(payments: Payments) -> None:
    """No address, or an empty one, needs no work."""
    payments.add(1, url="")
    payments.add(2, url="  ")
    payments.add(3)
    payments.all("update payment_submissions set screenshot_url = null where id = 3")
    assert payments.all("select * from backfill.needs_image_signals") == []


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_the_same_file_points_to_the_earliest(payments: Payments, order: tuple[int, ...]) -> None:
    """Equal bytes are found by SHA-256 alone, and the earliest payment is the first, however late
    it is analysed.
    """
    payments.add(1, 2, 3)
    for key in order:
        payments.both(key, "same", [None])
    assert payments.duplicate_of() == {"2": "1", "3": "1"}
    told = payments.signals(3)
    assert told["similarity_percentage"] == 100
    assert told["similarity_explanation"] == (
        "The same file as the screenshot of payment F-1 (1) of 2024-01-01 00:01 UTC: every byte "
        "is equal (SHA-256)."
    )


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_copies_point_to_the_earliest(payments: Payments, order: tuple[int, ...]) -> None:
    """Copies that are found by comparing point to the earliest payment in whatever order."""
    payments.add(1, 2, 3)
    for key in order:
        payments.both(key, f"p{key}", [key], p1="copy", p2="copy", p3="copy")
    assert payments.duplicate_of() == {"2": "1", "3": "1"}


def test_halves_that_are_handled_at_the_same_moment_find_each_other(payments: Payments) -> None:
    """Where both are analysed before either is compared, the pair is found all the same."""
    payments.add(1, 2)
    payments.analyse(2, "b", [3])
    payments.analyse(1, "a", [1])
    payments.compare(2, like={"a": "copy"})
    assert payments.duplicate_of() == {"2": "1"}
    payments.compare(1, like={"b": "copy"})
    assert payments.duplicate_of() == {"2": "1"}


def test_a_neighbour_s_step_is_not_taken_for_its_own(payments: Payments) -> None:
    """A payment that another's comparison touches is still compared itself."""
    payments.add(1, 2)
    payments.analyse(1, "a", [1])
    payments.analyse(2, "b", [3])
    payments.compare(1, like={"b": "copy"})
    assert payments.duplicate_of() == {"2": "1"}
    assert payments.step(2) == "compare"


def test_a_copy_of_a_file_that_many_have_points_to_the_earliest_of_them(
    payments: Payments,
) -> None:
    """A pair of files is a pair for every payment that has one of them."""
    payments.add(1, 2, 3, 4)
    payments.both(3, "a", [1])
    payments.both(4, "b", [3], a="copy")
    payments.both(2, "a", [1])
    assert payments.duplicate_of() == {"3": "2", "4": "2"}
    payments.both(1, "b", [3])
    assert payments.duplicate_of() == {"2": "1", "3": "1", "4": "1"}


def test_what_needs_a_person_accuses_nobody(payments: Payments) -> None:
    """A review is shown with the payment that it is like, and is no duplicate."""
    payments.add(1, 2)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="review")
    row = payments.signals(2)
    assert (row["duplicate_detected"], row["similar_to_payment_id"]) == (False, 1)
    assert row["similarity_explanation"].startswith("For a person to compare with the screenshot")


def test_the_explanation_tells_each_step(payments: Payments) -> None:
    """Bytes, hash and comparison are told in this order."""
    payments.add(1, 2)
    payments.both(1, "a", [0b1])
    payments.both(2, "b", [0b111], a="copy")
    told = payments.signals(2)["similarity_explanation"]
    steps = ("The files differ (SHA-256)", "differs in 2 of 64 bits", "they are alike")
    assert [told.index(step) for step in steps] == sorted(told.index(step) for step in steps)


def test_files_without_anything_to_see_are_equal_or_nothing(payments: Payments) -> None:
    """Pictures without a hash are never candidates."""
    payments.add(1, 2)
    payments.both(1, "white", [None, None])
    payments.both(2, "black", [None, None])
    assert payments.duplicate_of() == {}
    assert "too little to see" in payments.signals(2)["similarity_explanation"]


def test_many_candidates_are_ranked_first(payments: Payments) -> None:
    """More than 100 candidates are put into order by what is small; the likeliest are compared."""
    payments.add(*range(1, 111))
    for key in range(1, 111):
        payments.analyse(key, f"p{key}", [key % 2])
    likeliest = [sha(f"p{key}") for key in range(3, 9)]
    given = payments.rank(110, likeliest)
    assert (len(given["pictures"]), given["last"], given["candidate_count"]) == (109, True, 109)
    row = payments.needs(110)
    assert row is not None
    assert row["comparison"]["step"] == "compare"
    assert {c["sha256"] for c in row["comparison"]["candidates"]} == set(likeliest)
    assert {c["bits"] for c in row["comparison"]["candidates"]} == {0, 1}
    payments.compare(110, like={"p5": "copy"})
    assert payments.duplicate_of() == {"110": "5"}


def test_no_candidate_of_a_crowd_is_left_out(payments: Payments) -> None:
    """However many there are, all are ranked, some at a time, with the best so far among them."""
    payments.add(*range(1, 111))
    for key in range(1, 111):
        payments.analyse(key, f"p{key}", [key % 4])
    payments.all(
        "alter function backfill.image_comparison(integer, bytea, integer, integer, integer,"
        " integer) rename to comparison_in_pages"
    )
    view = payments.one("select pg_get_viewdef('backfill.needs_image_signals'::regclass) as text")
    pages = view["text"].replace("n.sha256)", "n.sha256, p_page => 25)")
    payments.all(f"create or replace view backfill.needs_image_signals as {pages}")
    seen: list[str] = []
    best = sha("p7")
    while payments.step(110) == "rank":
        given = payments.rank(110, [best])["pictures"]
        assert best in given or best not in seen
        seen += [picture for picture in given if picture not in seen]
    assert sorted(seen) == sorted(sha(f"p{key}") for key in range(1, 110))
    payments.compare(110, like={"p7": "copy"})
    assert payments.duplicate_of() == {"110": "7"}


def test_a_review_gives_way_to_a_copy(payments: Payments) -> None:
    """What only a person could judge becomes a duplicate when the true original is analysed."""
    payments.add(1, 3, 5)
    payments.both(1, "a", [1])
    payments.both(5, "x", [3], a="review")
    payments.both(3, "x", [3])
    assert payments.duplicate_of() == {"5": "3"}


def test_of_payments_at_one_time_the_lesser_key_is_the_first(payments: Payments) -> None:
    """Keys are compared in their own type: 9 before 10."""
    payments.add(9, 10, minutes=0)
    payments.both(10, "a", [1])
    payments.both(9, "a", [1])
    assert payments.duplicate_of() == {"10": "9"}
    assert payments.checks() == []


def test_copies_of_copies_are_copies(payments: Payments) -> None:
    """Where not each of many copies was compared with each, all point to the earliest."""
    payments.add(1, 2, 3)
    payments.both(1, "a", [1])
    payments.both(2, "b", [3], a="copy")
    payments.both(3, "c", [7], b="copy")
    assert payments.duplicate_of() == {"2": "1", "3": "1"}
    assert "copies of another screenshot" in payments.signals(3)["similarity_explanation"]


def test_times_that_nobody_knows_are_late_and_stay_unknown(payments: Payments) -> None:
    """A payment without a time, or with an impossible one, is nobody's first."""
    payments.add(1, 2, 3)
    payments.all("update payment_submissions set created_at = null where id = 1")
    payments.all("update payment_submissions set created_at = '20240-01-01' where id = 2")
    for key in (1, 2):
        payments.both(key, "a", [1])
    assert payments.duplicate_of() == {"2": "1"}
    first = payments.one("select first_uploaded_at as at from image_perceptual_hash_index")
    assert first == {"at": None}
    payments.both(3, "a", [1])
    assert payments.duplicate_of() == {"1": "3", "2": "3"}
    assert payments.uploads() == {f"{1:016x}": (3, 3)}
    assert payments.checks() == []


@pytest.mark.parametrize("seed", range(3))
def test_the_outcome_does_not_depend_on_the_order(payments: Payments, seed: int) -> None:
    """Whatever pictures are alike, and in whatever order steps are done, all ends the same."""
    dice = Random(seed)
    files = {key: dice.choice("abcd") for key in (1, 2, 3, 4)}
    verdicts = {
        frozenset(pair): dice.choice(("copy", "copy", "review", ""))
        for pair in combinations("abcd", 2)
    }

    def like(file: str) -> dict[str, str]:
        return {
            other: verdict
            for other in "abcd"
            if other != file and (verdict := verdicts[frozenset((file, other))])
        }

    outcomes = []
    for number in range(8):
        payments.all(
            "truncate payment_submissions, payment_image_signals, image_perceptual_hash_index,"
            " backfill.image_subject, backfill.image_picture, backfill.image_pair,"
            " backfill.image_hash, backfill.image_hash_owner"
        )
        payments.add(*files)
        steps = [key for key in files for _ in range(2)]
        if number:
            dice.shuffle(steps)
        for place, key in enumerate(steps):
            file = files[key]
            if key not in steps[:place]:
                payments.analyse(key, file, ["abcd".index(file)])
            else:
                payments.compare(key, like=like(file))
        rows = payments.all(
            "select payment_submission_id, duplicate_detected, similar_to_payment_id,"
            " similarity_percentage from payment_image_signals order by 1"
        )
        outcomes.append((rows, payments.uploads(), payments.checks()))
    assert all(outcome == outcomes[0] for outcome in outcomes)


def test_the_task_and_its_parts_have_one_version() -> None:
    """What is stored carries the version of what computed it."""
    assert task.version == similarity.VERSION
