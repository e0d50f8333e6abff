"""The live bar of a run on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text


class Bar(Progress):
    """A bar on stderr with lines of text below it; gone without a trace at its end."""

    def __init__(self, name: str) -> None:
        # first, since the base class draws at once
        self._below: tuple[str, ...] = ()
        super().__init__(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[share]}", markup=False),
            console=Console(stderr=True),
            transient=True,
            expand=True,
        )
        self._only: TaskID = self.add_task(name, total=None, share="starting")

    def get_renderables(self) -> Iterable[RenderableType]:
        """See the base class."""
        yield self.make_tasks_table(self.tasks)
        for line in self._below:
            yield Text(line, no_wrap=True, overflow="ellipsis")

    def show(self, done: int, total: int, share: str, below: Sequence[str]) -> None:
        """So many of `total` are done, which `share` says in words."""
        self._below = tuple(f"  {line}" for line in below)
        self.update(self._only, completed=done, total=total or None, share=share)
