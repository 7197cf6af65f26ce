"""Environment variables in the configuration's values."""

from __future__ import annotations

import os
import re

from lc_platform.config.problems import ConfigError
from lc_platform.runtime import redaction

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def names_in(text: str) -> list[str]:
    """Return the names of the environment variables that a value reads."""
    return _VARIABLE.findall(text)


def expand(text: str, key: str = "") -> str:
    """`text` with each ${NAME} replaced by the environment variable.

    Raises ConfigError naming ``key``, and a variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(
                (f"{key}: " if key else "")
                + f"{text} needs the environment variable {name}, which is not set. Set it, for "
                f"example with `export {name}=...`"
            )
        return redaction.read(name)

    return _VARIABLE.sub(value, text)
