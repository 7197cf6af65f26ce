"""The acquisitions of a patch's year: what the archive says of each, and how much of the patch it
shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lc_platform.config import Config
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.raw_bands import ADDRESSES, AcquisitionStack
from lc_platform.stac.archive_items import ArchiveItems


def acquisitions(
    raw_bands: AcquisitionStack,
    masks: CloudMasks | None,
    used: Sequence[str] | None,
    config: Config | None,
) -> pd.DataFrame:
    """Return a row an acquisition, by its time (UTC); see `Reader.acquisitions`.

    used  the keys of those that the features are made of, None where it is not known
    """
    facts = raw_bands.acquisitions
    of_masks: Mapping[str, Mapping[str, Any]] = (
        {} if masks is None else {one["key"]: one for one in masks.acquisitions}
    )

    def shares(name: str) -> list[float]:
        return [float(of_masks.get(one["key"], {}).get(name, np.nan)) for one in facts]

    unknown = pd.array([pd.NA] * len(facts), dtype="boolean")
    return pd.DataFrame(
        {
            "acquisition": np.array(raw_bands.keys, object),
            "platform": np.array([str(one.get("platform") or "") for one in facts], object),
            "cloud_cover": [_number(one.get("cloud_cover")) for one in facts],
            "data_fraction": [_number(one.get("data_fraction")) for one in facts],
            "valid_fraction": shares("valid_fraction"),
            "cloud_fraction": shares("cloud_fraction"),
            "used": unknown if used is None else np.isin(raw_bands.keys, list(used)),
            "link": np.array(item_links(config, facts), object),
        },
        pd.DatetimeIndex(raw_bands.datetimes, name="time"),
    )


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def item_links(config: Config | None, facts: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Return the URL of each acquisition's first item in its archive; None where it has none, or
    where it could tell a secret.

    facts  of the acquisitions, as the imagery has them
    """
    archives = ArchiveItems.of(config)
    links = [archives.links(one.get("items") or (), one.get(ADDRESSES) or ()) for one in facts]
    return [of[0] if of and "://" in (of[0] or "") else None for of in links]
