"""What a map's accuracy is to be compared with, which is saying the most frequent class everywhere,
and from how few blocks of ground its intervals are not to be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from lc_platform.eo import accuracy
from lc_platform.eo.bootstrap import FEWEST_BLOCKS


class Baseline(NamedTuple):
    """The most frequent class of the reference pixels that a map is judged by."""

    name: str
    share: float
    """Of these pixels, 0 to 1: the accuracy of a map that has this class everywhere."""
    is_surpassed: bool
    """Whether the map's overall accuracy is above the share."""
    is_missed: bool
    """Whether the map's overall accuracy is below the share for certain: by its whole interval."""

    @property
    def words(self) -> str:
        """How the map compares; empty where it is right more often."""
        if self.is_surpassed:
            return ""
        return f"the map is right {'less' if self.is_missed else 'no more'} often"


def baseline(metrics: Mapping[str, Any]) -> Baseline | None:
    """Return what the overall accuracy of an evaluation is to be compared with; None where no pixel
    was judged.

    metrics  as metrics.json has them
    """
    found = accuracy.no_information_rate(np.array(metrics["confusion_matrix"], np.int64))
    if found is None:
        return None
    position, share = found
    _, high = (metrics.get("intervals") or {}).get("overall_accuracy") or (None, None)
    return Baseline(
        metrics["classes"][position]["name"],
        share,
        is_surpassed=metrics["overall_accuracy"] > share,
        is_missed=high is not None and high < share,
    )


def few_blocks(blocks: int | None) -> str:
    """Return what is to be known of intervals from a number of blocks of ground, as sentences;
    empty where these are enough, or are not known."""
    if not blocks or blocks >= FEWEST_BLOCKS:
        return ""
    many = "is only 1 block" if blocks == 1 else f"are only {blocks} blocks"
    return (
        f"There {many}: intervals from fewer than {FEWEST_BLOCKS} are not to be relied on. Make "
        "validation.block_size smaller, or give more ground with a reference."
    )
