"""The section `statistics`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator

from lc_platform.config.fields import Section
from lc_platform.config.indices import IndexEntry, IndexInput, index_entry
from lc_platform.eo import indices as indices_of

NO_INDEX = "none"
_TAKEN = ("valid_observations", "cloud_probability")


def _index(entry: Any) -> IndexEntry:
    if entry is None or (isinstance(entry, str) and entry.lower() == NO_INDEX):
        return NO_INDEX
    index = index_entry(entry)
    name = indices_of.parse(index, ()).name
    if name.lower() in _TAKEN:
        raise ValueError(f"{name} is another layer of the statistics. Take another name")
    return index


class Statistics(Section):
    """The contents of `observation_stats` beside the counts of observations."""

    index: Annotated[
        IndexEntry, PlainValidator(_index, json_schema_input_type=IndexInput | None)
    ] = "NDVI"
    """The index whose mean is kept for each pixel and each date: one that `features.indices` may
    have, or none. Its bands are acquired."""
