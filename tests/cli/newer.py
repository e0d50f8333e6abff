"""The sample task, one version later."""

from __future__ import annotations

from dataclasses import replace

from tests import sample

task = replace(sample.task, version=sample.task.version + 1)
