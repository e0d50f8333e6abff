"""What one step of a vehicle has found: the outcomes to write, and how the step ends."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.contract import Result
from runner.errors import Figure, NothingFound, Permanent, Retry
from runner.fetch.urls import Target
from runner.tasks.vehicle_images.pictures import Found
from runner.tasks.vehicle_images.urls import Chosen, LeftOut

GONE = ("http_404", "http_410")

NOT_ALLOWED = ("address_refused", "no_base_url")
"""Reasons that may be those of the options and not of the URL: a vehicle without any picture fails
by them and is not marked as done."""

HINTS = {"address_refused": "; allow addresses of your own with --allow"}

EVERYWHERE = ("budget", "storage_")
"""How codes of what holds up every URL begin; the others hold up those of a host."""

NO_HOST = "(none)"

LONGEST_MESSAGE = 300

Known = Mapping[str, Any]
"""An outcome of an earlier step, or a policy of retries, as the needs view has it."""


@dataclass(slots=True)
class Step:
    """What a step has found so far; `unchanged` are the outcomes of earlier steps.

    `policy` is that of waits between attempts: `backoff_base` and `backoff_max`, seconds.
    """

    policy: Known
    unchanged: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Of each URL that is to be tried later: the seconds until then."""
    held_waits: list[float] = field(default_factory=list)
    """The same of URLs that could not be tried, which doesn't count as an attempt."""
    held: dict[str, Retry] = field(default_factory=dict)
    """By host why that was, or at `""` why none can be."""
    waited_for: Retry | None = None
    """Why the last attempt at a URL failed whose wait isn't over."""
    states: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    hashes: set[str] = field(default_factory=set)
    examples: dict[str, str] = field(default_factory=dict)
    """By class of error the words of one URL."""

    # --- what became of a URL -----------------------------------------------------------------

    def keep(self, known: Known) -> None:
        """The outcome of an earlier step, as it is."""
        self.unchanged.append({"position": known["position"], "url": known["url"]})
        self._count(known)

    def leave_out(self, entry: LeftOut, before: Known | None) -> None:
        """It is not asked for; what is stored stays known, though fewer are wanted now."""
        if before is not None and before["state"] in ("left_out", "stored"):
            self.keep(before)
            return
        why = {"error_class": entry.reason, "error_message": entry.sentence}
        self._put(entry.position, entry.given, "left_out", **why)

    def wait(self, known: Known) -> None:
        """An earlier attempt failed, and the next one has its time."""
        self.keep(known)
        self.waits.append(float(known["wait"]))
        self.waited_for = Retry(str(known["error_message"]), code=str(known["error_class"]))

    def not_yet(self, url: Chosen, before: Known | None) -> None:
        """It is to be tried in a later step; this one doesn't count."""
        if before is not None and before["state"] == "pending":
            self.keep(before)
        else:
            self._put(url.position, url.given, "pending", host=host_of(url.url))

    def hold(self, url: Chosen, before: Known | None, error: Retry) -> None:
        """It could not be tried, and others for the same reason can't be either."""
        asked = host_of(url.url) or NO_HOST
        host = "" if error.code.startswith(EVERYWHERE) else error.host or asked
        refusals = 0 if before is None else int(before["refusals"])
        refused = error.code == "http_429"
        # refused again and again, it waits for longer than a run does
        wait = self._backoff(refusals + 1) if refusals or error.after is None else 0.0
        wait = max(wait, error.after or 0.0)
        self.held[host] = error
        self.held_waits.append(wait)
        if host in ("", asked) and not refused:
            self.not_yet(url, before)
            return
        # where it leads to another host, the next step would learn of it only by asking again
        attempts = 0 if before is None else int(before["attempts"])
        told = {"refusals": refusals + refused, "after": wait, **_why(error)}
        self._put_tried(url, "pending", attempts, **told)

    def is_held(self, url: Chosen) -> bool:
        """Whether something that held up another URL holds up this one."""
        return bool(self.held) and ("" in self.held or (host_of(url.url) or NO_HOST) in self.held)

    def refused(self, url: Chosen, attempts: int, error: Permanent) -> None:
        """It has no picture that can be used."""
        state = "gone" if error.code in GONE else "refused"
        self._put_tried(url, state, attempts, **_why(error))
        self._figure(state, url)

    def failed(self, url: Chosen, attempts: int, error: Retry, most: int) -> None:
        """An attempt failed, which is the last of `most` or has to be followed by another."""
        if attempts >= most:
            self._put_tried(url, "failed", attempts, **_why(error))
            self._figure("failed", url)
            return
        wait = max(self._backoff(attempts), error.after or 0.0)
        self._put_tried(url, "pending", attempts, after=wait, **_why(error))
        self._figure("tried again", url)
        self.waits.append(wait)

    def stored(self, url: Chosen, attempts: int, found: Found) -> None:
        """Its picture is in the storage."""
        file_hash = found.row["file_hash"]
        self._figure("duplicate" if file_hash in self.hashes else "stored", url)
        self._put_tried(url, "stored", attempts, file_hash=file_hash)
        self.pictures.append(found.row)
        self.figures += [
            Figure("bytes", found.size, _label(url)),
            Figure("bytes", found.size),
            Figure("objects" if found.created else "deduplicated", 1),
        ]

    def _put_tried(self, url: Chosen, state: str, attempts: int, **more: Any) -> None:
        host = host_of(url.url)
        self._put(url.position, url.given, state, host=host, attempts=attempts, **more)

    def _put(self, position: int, url: str, state: str, **more: Any) -> None:
        row = {"position": position, "url": url, "state": state, "attempts": 0, **more}
        self.changed.append(row)
        self._count(row)

    def _count(self, outcome: Known) -> None:
        state, reason = outcome["state"], outcome.get("error_class")
        self.states[state] += 1
        if reason and state == "left_out":
            self.left_out[reason] += 1
        elif reason and state != "pending":
            self.failures[reason] += 1
            self.examples.setdefault(reason, str(outcome.get("error_message")))
        if outcome.get("file_hash"):
            self.hashes.add(outcome["file_hash"])

    def _figure(self, name: str, url: Chosen) -> None:
        self.figures.append(Figure(name, 1, _label(url)))

    def _backoff(self, attempts: int) -> float:
        """Seconds until the next attempt: doubling, the upper half of it at random."""
        base, most = float(self.policy["backoff_base"]), float(self.policy["backoff_max"])
        return float(min(base * 2 ** (attempts - 1), most) * random.uniform(0.5, 1.0))

    # --- how it ends --------------------------------------------------------------------------

    def ended(self, at_least: int) -> Result:
        """What the step comes to; the next one begins when `at_least` URLs are due.

        Raises `NothingFound`, `Permanent` and `Retry` as `Steps` says.
        """
        outcomes = self.unchanged + self.changed
        value: dict[str, Any] = {"outcomes": outcomes, "pictures": self.pictures}
        figures = tuple(self.figures)
        if self.waits or self.held_waits:
            due = sorted(self.waits)[:at_least][-1:]
            return self._later(value, min([*due, *self.held_waits]))
        error = self._error()
        if self.states["stored"]:
            return Result({**value, "done": True, "error": error}, figures=figures)
        if not self.states["failed"] and not any(self.failures[reason] for reason in NOT_ALLOWED):
            reason = f"none of the URLs has a picture: {error}"
            nothing = NothingFound(reason, {**value, "done": True, "error": error})
            nothing.figures = figures
            raise nothing
        if self.changed:
            # committed first: a row that fails leaves nothing but its error
            return Result({**value, "done": False}, more=True, figures=figures)
        by_number = sorted(self.failures, key=lambda reason: -self.failures[reason])
        # first what the options can change
        most = next((reason for reason in NOT_ALLOWED if self.failures[reason]), by_number[0])
        hint = HINTS.get(most, "")
        message = f"no picture could be had: {error}; such as {self.examples[most]}{hint}"
        raise Permanent(message, code=most)

    def _later(self, value: dict[str, Any], after: float) -> Result:
        if self.changed:
            return Result(value, more=True, after=after, figures=tuple(self.figures))
        held_up = next(iter(self.held.values()), self.waited_for)
        assert held_up is not None  # noqa: S101 - nothing changed, so it is all that there is
        raise Retry(str(held_up), code=held_up.code, after=after, counts=False)

    def _error(self) -> str | None:
        """`3 of 20 URLs: 2 http_404, 1 timeout`; None where each that was asked for was stored.

        What was left out counts where nothing was asked for.
        """
        asked = sum(self.states.values()) - self.states["left_out"]
        reasons = self.failures if asked else self.left_out
        if not reasons:
            return None
        counted = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
        told = ", ".join(f"{number} {reason}" for reason, number in counted)
        return f"{sum(reasons.values())} of {asked or self.states['left_out']} URLs: {told}"


def host_of(url: str) -> str | None:
    """As the shared rates call it; None: it has none, or can't be read."""
    try:
        return Target.parse(url).host
    except Permanent:
        return None


def _label(url: Chosen) -> str:
    return f"host:{host_of(url.url) or NO_HOST}"


def _why(error: Permanent | Retry) -> dict[str, str]:
    # a decoder's words may repeat bytes of the file, which JSON in the database doesn't take
    words = str(error).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return {"error_class": error.code, "error_message": words[:LONGEST_MESSAGE]}
