"""Sentences for a person who decides whether two pictures are the same."""

from __future__ import annotations

Shares = tuple[float, float, float, float]

SIDES = ("left", "top", "right", "bottom")
LEAST_CUT = 0.006
"""Shares of a side that a placement can't tell from nothing."""


def explained(
    *,
    verdict: str,
    percentage: float,
    scale: float,
    cut_a: Shares,
    cut_b: Shares,
    differing: int,
    faint: bool,
    even: bool,
    bar_differs: bool,
    enough: bool,
    shared: float,
) -> tuple[str, ...]:
    """What was found, the most telling first."""
    if not enough:
        return ("there is too little to see in what both show to call one a copy",)
    said = [f"{percentage:g} % of what both show is the same"]
    if even:
        said.append("they differ a little everywhere, as after blurring or sharpening")
    elif faint:
        said.append("one place is less alike than all others: a small change, or compression")
    elif differing:
        said.append("1 place differs" if differing == 1 else f"{differing} places differ")
    if bar_differs:
        said.append("only the status bar at the top differs" if not differing
                    else "the status bar at the top differs too")  # fmt: skip
    if verdict == "different":
        return tuple(said)
    if abs(scale - 1) > 0.01:
        said.append(
            f"the second shows it at {scale:.0%} of the first one's size".replace("%", " %")
        )
    said.extend(_cuts(cut_a, "the second"))
    said.extend(_cuts(cut_b, "the first"))
    if shared < 0.5:
        said.append(f"they have only {100 * shared:.0f} % of their area in common")
    return tuple(said)


def _cuts(shares: Shares, which: str) -> list[str]:
    cut = [f"{100 * share:.0f} % at the {side}"
           for side, share in zip(SIDES, shares, strict=True) if share > LEAST_CUT]  # fmt: skip
    return [f"cut off in {which}: {', '.join(cut)}"] if cut else []
