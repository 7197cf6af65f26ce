"""The files of a model of several regions: a classifier and a training space a region, and the
regions' polygons."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas
from pyproj import CRS

from lc_platform.artefacts.layout import MODEL_REGION_SPACE, MODEL_REGION_TEXT
from lc_platform.eo import regional
from lc_platform.eo.regional import RegionText
from lc_platform.products.regions import Regions

_INDEX = "regional_files"
_NAME = "region"


@dataclass(frozen=True)
class RegionFiles:
    """What ``model.txt`` says of a model of several regions."""

    regions: tuple[str, ...]
    class_ids: tuple[tuple[int, ...], ...]
    """(region,)"""
    texts: tuple[str, ...]
    """(region,), names of the files of the classifiers."""

    def joined(self, contents: Sequence[bytes]) -> str:
        """Return the text of the model of the content of the regions' files."""
        rows = zip(self.regions, self.class_ids, contents, strict=True)
        return regional.joined([RegionText(name, ids, text.decode()) for name, ids, text in rows])


def slugs(names: Sequence[str]) -> list[str]:
    """Return for each region what names its files: of the letters, digits, _ and - of its name, and
    a number where that is none of its own."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:60] or "region"
        taken = {one.lower() for one in found}  # a file system may not tell capitals apart
        slug, number = plain, 2
        while slug.lower() in taken:
            slug, number = f"{plain}_{number}", number + 1
        found.append(slug)
    return found


def space_names(regions: Sequence[str]) -> list[str]:
    """Return the names of the files of the regions' training spaces."""
    return [MODEL_REGION_SPACE.format(region=slug) for slug in slugs(regions)]


def taken_apart(text: str) -> tuple[str, dict[str, str]]:
    """Return what ``model.txt`` holds of a model's text, and the texts that lie in files beside it,
    by their names: of a model of several regions one each, of another none."""
    several = regional.parts(text)
    if several is None:
        return text, {}
    names = [
        MODEL_REGION_TEXT.format(region=slug) for slug in slugs([one.region for one in several])
    ]
    index = [
        {_NAME: one.region, "classes": list(one.class_ids), "file": name}
        for one, name in zip(several, names, strict=True)
    ]
    return json.dumps({_INDEX: index}, indent=2), {
        name: one.text for one, name in zip(several, names, strict=True)
    }


def files_of(text: bytes) -> RegionFiles | None:
    """Return what ``model.txt`` says of several regions; None where it is a classifier itself, or
    damaged, which its reader says."""
    if not text.startswith(f'{{\n  "{_INDEX}"'.encode()):
        return None
    try:
        told = json.loads(text)[_INDEX]
        return RegionFiles(
            tuple(str(one[_NAME]) for one in told),
            tuple(tuple(int(i) for i in one["classes"]) for one in told),
            tuple(str(one["file"]) for one in told),
        )
    except (ValueError, KeyError, TypeError):
        return None


def write_regions(path: Path, regions: Regions) -> None:
    """Write the regions as GeoParquet, a row each."""
    table = geopandas.GeoDataFrame(
        {_NAME: regions.names}, geometry=list(regions.polygons), crs=regions.crs
    )
    table.to_parquet(path, index=False, compression="zstd")


def read_regions(content: bytes, card: Mapping[str, object]) -> Regions:
    """Read what `write_regions` wrote. Raises what GeoParquet's reader raises, and KeyError where
    the card is of another model."""
    table = geopandas.read_parquet(io.BytesIO(content))
    blend = card["region_blend"]
    if not isinstance(blend, int | float):
        raise TypeError(f"region_blend {blend!r}")
    return Regions(
        tuple(table[_NAME]), tuple(table.geometry), CRS(table.crs.to_wkt()), float(blend)
    )
