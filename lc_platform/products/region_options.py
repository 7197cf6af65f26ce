"""The regions that have a model each, as the configuration names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lc_platform.config import Config
from lc_platform.config.input_files import InputFile, digest_of
from lc_platform.config.model import REGIONS
from lc_platform.config.options import ABSENT

KEY = f"model.{REGIONS}"


@dataclass(frozen=True)
class RegionOptions:
    """A file of polygons with names."""

    file: InputFile
    attribute: str
    """That names them: polygons of one name are one region."""
    blend: float
    """Metres on either side of a border over which the models of two regions blend."""

    @classmethod
    def of(cls, config: Config) -> RegionOptions | None:
        """Return the options of a configuration; None where one model is of all regions."""
        told = config.model.get(REGIONS)
        if told is None:
            return None
        file = InputFile.of(config, told["path"], f"{KEY}.path")
        assert file is not None
        return cls(file, told["attribute"], told["blend"])


def counted(options: RegionOptions | None) -> Any:
    """Return what versions are made of."""
    if options is None:
        return ABSENT
    return {
        "content": digest_of(options.file),
        "attribute": options.attribute,
        "blend": options.blend,
    }
