"""A new configuration: its file, and beside it the schema that editors check it by."""

from __future__ import annotations

import os
from pathlib import Path

from lc_platform.config import FILE_NAME, ConfigError
from lc_platform.config.json_schema import FILE, MODELINE, stored_schema


def write(folder: Path, text: str) -> Path:
    """Write a configuration into a folder, which is made where there is none; return its file,
    which appears in one step.

    Raises ConfigError where there is one already, and OSError where nothing can be written.
    """
    file = folder / FILE_NAME
    if file.exists():
        raise ConfigError(f"{file}: is there already. Give another folder, or edit it")
    folder.mkdir(parents=True, exist_ok=True)
    _appear(folder / FILE, stored_schema())
    _appear(file, MODELINE + text)
    return file


def _appear(file: Path, text: str) -> None:
    staged = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)
