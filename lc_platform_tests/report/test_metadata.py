"""How the UI shows what an artefact says of itself."""

from __future__ import annotations

from lc_platform.report.metadata import Describer


def test_shares_are_shown_in_percent_and_what_is_measured_as_it_is() -> None:
    facts = {"valid_fraction": 0.83125, "mean_confidence": 81.23456, "class_pixels": {"forest": 3}}
    shown = Describer({}).shown({"facts": facts}, size=5, seconds=1.23456)
    assert [*shown] == ["valid_percent", "mean_confidence", "class_pixels", "bytes", "seconds"]
    assert (shown["valid_percent"], shown["mean_confidence"]) == (83.12, 81.2346)
