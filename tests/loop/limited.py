"""The sample task with a limit for each group of its rows, which are those of one input."""

from __future__ import annotations

from dataclasses import replace

from tests import sample

task = replace(sample.task, pacing=replace(sample.task.pacing, limit_by="input"))
