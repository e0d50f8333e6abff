"""The project's pages, taken apart: links, headings, code, commands, SQL."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]

_FILE = re.compile(r"<!-- file: (\S+) -->")
_SUBSTITUTED = re.compile(r"\$\(([^()]*)\)")
_SEPARATORS = re.compile(r"[|&;<>()]+")
_SCRIPTS = frozenset({"sh", "bash", "cron"})
_OTHER_LANGUAGES = frozenset({"python", "sql", "mermaid", "json", "ini", "toml", "text"})


@dataclass(frozen=True)
class Block:
    """A block of code; `first` and `last` are the lines of its text, from 0, `file` its name."""

    language: str
    text: str
    first: int
    last: int
    file: str | None = None

    def commands(self) -> Iterator[str]:
        """Shell commands, continued lines joined: of a session those after a `$`."""
        if self.language in _OTHER_LANGUAGES:
            return
        lines = self.text.replace("\\\n", " ").splitlines()
        for line in lines:
            if line.startswith("$ "):
                yield line[2:]
            elif self.language in _SCRIPTS or re.match(r"\S*\bbackfill [a-z-]", line):
                yield line

    def queries(self) -> Iterator[str]:
        """Statements that read or change rows, those given to psql with -c included."""
        if self.language == "sql":
            yield from _statements(self.text)
        for command in self.commands():
            words = split(command)
            for before, word in pairwise(words):
                if before == "-c" and "psql" in words:
                    yield from _statements(word)


@dataclass
class Page:
    """A page. `links` are addresses, `anchors` what its headings can be linked to by."""

    path: Path
    text: str
    links: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)
    blocks: list[Block] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its path from the root."""
        return self.path.relative_to(ROOT).as_posix()


def read(path: Path) -> Page:
    """Take a page apart."""
    page = Page(path, path.read_text(encoding="utf-8"))
    tokens = MarkdownIt("commonmark").enable("table").parse(page.text)
    for before, token in pairwise([Token("", "", 0), *tokens]):
        if token.type in ("fence", "code_block"):
            page.blocks.append(_block(token, before))
        elif token.type == "inline":
            _inline(page, token, heading=before.type == "heading_open")
    return page


def all_pages() -> list[Page]:
    """README, CHANGELOG and everything in docs/."""
    names = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [read(path) for path in names]


def split(command: str) -> list[str]:
    """A command's words as a shell takes them; what separates commands is a word of its own."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def backfill_calls(command: str) -> Iterator[list[str]]:
    """The arguments of each call of `backfill` in a shell command."""
    for inner in _SUBSTITUTED.findall(command):
        yield from backfill_calls(inner)
    call: list[str] | None = None
    for word in [*split(_SUBSTITUTED.sub("substituted", command)), ";"]:
        if _SEPARATORS.fullmatch(word):
            if call is not None:
                yield call
            call = None
        elif call is not None:
            call.append(word)
        elif word == "backfill" or word.endswith("/backfill"):
            call = []


def _block(token: Token, before: Token) -> Block:
    first, end = token.map or (0, 0)
    fenced = token.type == "fence"
    named = _FILE.search(before.content) if before.type == "html_block" else None
    return Block(
        language=token.info.partition(" ")[0],
        text=token.content,
        first=first + fenced,
        last=end - fenced,
        file=named[1] if named else None,
    )


def _inline(page: Page, token: Token, *, heading: bool) -> None:
    children = token.children or []
    page.links += [str(c.attrGet("href")) for c in children if c.type == "link_open"]
    page.inline += [c.content for c in children if c.type == "code_inline"]
    if heading:
        title = "".join(c.content for c in children).lower()
        page.anchors.add(re.sub(r"[^\w\- ]", "", title).replace(" ", "-"))


def _statements(text: str) -> Iterator[str]:
    plain = re.sub(r"--[^\n]*", "", re.sub(r"\\\w+[^\n]*", ";", text))
    for statement in re.split(r";\s*(?:\n|$)", plain):
        if re.match(r"\s*(select|with|update|delete|insert)\b", statement, re.IGNORECASE):
            yield statement.strip()
