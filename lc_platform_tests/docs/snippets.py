"""The blocks of code of the documentation, and what may be said of them without running them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import yaml

from lc_platform.config import Config, parse, template
from lc_platform_tests.rooms import PROJECT

DOCS = PROJECT / "docs"
GENERATED = DOCS / "reference"
BUILT = PROJECT / "build" / "docs"
"""Where `.ci/run` builds the site."""
TUTORIAL = DOCS / "tutorial"
HOW_TO = DOCS / "how-to"
"""The folders whose blocks are run."""
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- (?P<mark>checked|file|over): (?P<why>[^>]*?) -->\n)?"
    r"^(?P<indent>[ ]*)```(?P<kind>sh|python|yaml)\n(?P<code>.*?)^(?P=indent)```$",
    re.M | re.S,
)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    code: str
    mark: str
    """``checked``: it is not run. ``file``: it is the content of a file. Else nothing."""
    why: str
    """Why it is not run, or the file's name."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    """Every page that people have written."""
    found = [p for p in sorted(DOCS.rglob("*.md")) if GENERATED not in p.parents]
    own = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "infra" / "README.md"]
    return (*own, *(p for p in found if "jupyter_execute" not in p.parts))


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    text = page.read_text("utf-8")
    for found in _BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code"))
        mark, why = found["mark"] or "", (found["why"] or "").strip()
        yield Block(page, line, found["kind"], dedent(found["code"]), mark, why)


def all_blocks(kind: str) -> list[Block]:
    """Every block of a kind."""
    return [block for page in pages() for block in blocks_of(page) if block.kind == kind]


def commands_in(code: str) -> Iterator[list[str]]:
    """Yield the commands of a shell's block as words, without comments and variables in front."""
    for line in code.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("&|;"):
                words.append(word)
                continue
            while words and re.fullmatch(r"[A-Za-z_]+=.*", words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


def problem_of(words: list[str]) -> str | None:
    """Return what is wrong with a command of the project's own; None of what is right, and of
    other programs."""
    program, *arguments = words
    if program in ("nice", "timeout", "sudo", "exec"):
        return None
    if program.endswith("lc-platform"):
        return _own(arguments)
    if program.startswith("python") and arguments[:1] == ["-m"]:
        module = arguments[1]
        if module.startswith(("lc_platform", "benchmarks")) and find_spec(module) is None:
            return f"there is no module {module}"
        if module == "lc_platform":
            return _own(arguments[2:])
    return None


def _own(arguments: list[str]) -> str | None:
    from lc_platform.cli import app

    return parsed(app, arguments)


def parsed(app: Any, arguments: list[str]) -> str | None:
    """Return what the command line's own parser says against arguments."""
    import typer

    group: Any = typer.main.get_command(app)
    if arguments in (["--help"], ["--version"]):
        return None
    name, *rest = arguments or [""]
    command = group.commands.get(name)
    if command is None:
        return f"lc-platform has no command {name}"
    if "--help" in rest:
        return None
    inner = getattr(command, "commands", {})
    if rest and rest[0] in inner:
        name, command, rest = rest[0], inner[rest[0]], rest[1:]
    try:
        command.make_context(name, list(rest), resilient_parsing=False)
    except Exception as error:
        said = getattr(error, "format_message", None)
        return said() if said else f"{type(error).__name__}: {error}"
    return None


@cache
def _template(source: str) -> Any:
    return yaml.safe_load(template(source))


def merged(base: Any, over: Any) -> Any:
    """Return a configuration with the keys of another laid over it."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
    return over


def loaded(block: Block, folder: Path) -> Config:
    """Return the configuration that a block is, or that it makes of the one of its source: the
    simulated archive's where it names none. Raises ConfigError where it is none."""
    given = yaml.safe_load(block.code)
    source = given.get("imagery", {}).get("source") or (block.why if block.mark == "over" else "")
    base = dict(_template(source or "simulated"))
    if "aoi" in given:
        base.pop("aoi")
    return parse(merged(base, given), folder)
