"""Durations as people write them: 90s, 10m, 1h30m."""

from __future__ import annotations

import re
from typing import Any

import click

_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


class Duration(click.ParamType[float]):
    """A click type for durations such as `90s`, `10m` or `1h30m`; the value is in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; fails with a usage error for anything else."""
        if isinstance(value, (int, float)):
            return float(value)
        match = _PARTS.fullmatch(value.strip().lower())
        if match is None or not any(match.groups()):
            self.fail(f"{value!r} is not a duration; write 90s, 10m or 1h30m", param, ctx)
        hours, minutes, seconds = (float(part or 0) for part in match.groups())
        total = hours * 3600 + minutes * 60 + seconds
        if total <= 0:
            self.fail(f"{value!r} is not longer than nothing", param, ctx)
        return total
