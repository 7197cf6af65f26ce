"""What is to be known of a map whose imagery is simulated."""

from __future__ import annotations

from lc_platform.config.template import is_of_other_ground


def of_simulated_imagery(source: str, reference: str) -> str:
    """Return what a reader of the map must know, in words; empty of other imagery.

    source     the archive, as imagery.source names it
    reference  its path in the configuration; empty where it is the archive's own
    """
    if source != "simulated":
        return ""
    if is_of_other_ground(source, reference):
        return (
            "The imagery is simulated: an invented landscape, of which the reference knows "
            "nothing. The map and its figures say nothing of the area."
        )
    return (
        "The imagery is simulated: an invented landscape, for a demonstration. The map and its "
        "figures say nothing of real ground."
    )
