"""The command line in the process of a test."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lc_platform import cli, config
from lc_platform.commands import run


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def lc(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """`lc-platform` with arguments, in this process and a folder of its own."""
    monkeypatch.delenv(run.HOME_VARIABLE, raising=False)
    monkeypatch.delenv(config.ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["lc-platform", *map(str, arguments)])
        status = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Ended(status, *capsys.readouterr())

    return command
