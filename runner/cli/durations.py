"""Durations as people write them: 500ms, 90s, 10m, 1h30m."""

from __future__ import annotations

import math
import re
from typing import Any

import click

_UNITS = {"d": 86_400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = r"(?:(\d+(?:\.\d+)?){})?"
_WHOLE = re.compile(
    "".join(_PART.format(unit) for unit in ("d", "h", r"m(?!s)", "s", "ms")), re.ASCII
)
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


class Duration(click.ParamType):  # type: ignore[type-arg] # generic since click 8.5 only
    """A click type for durations such as `90s`, `10m` or `1h30m`; the value is in seconds.

    A number without a unit is seconds, too.
    """

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; fails with a usage error for anything else, and for no time at all."""
        if isinstance(value, (int, float)):
            return float(value)
        text = value.strip().lower()
        if _SECONDS.fullmatch(text):
            total = float(text)
        else:
            match = _WHOLE.fullmatch(text)
            if match is None or not any(match.groups()):
                self.fail(f"{value!r} is not a duration; write 90s, 10m or 1h30m", param, ctx)
            parts = zip(match.groups(), _UNITS.values(), strict=True)
            total = sum(float(number or 0) * unit for number, unit in parts)
        if not 0 < total < math.inf:
            self.fail(f"{value!r} is not longer than nothing", param, ctx)
        return total
