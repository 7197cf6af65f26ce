"""What an ablation varies: each variant changes one choice of the platform's defaults. Of each
group the first are those that most is decided by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SIMULATED, FLANDERS, SCENES, SERIES = "simulated", "flanders", "slovenia", "slovenia-series"
"""The sites; see `benchmarks.ablation.sites`."""
EVERYWHERE = (SIMULATED, FLANDERS, SCENES, SERIES)
_SEASONS = (SIMULATED, FLANDERS, SERIES)
"""Those with a year of observations; of Slovenia's scenes three are clear."""
_SEEN = (SIMULATED, FLANDERS, SCENES)
"""Those whose clouds the platform finds itself."""
MASKS, FEATURES, CLASSIFIERS = "clouds", "features", "classifier"
NO_MASK: Mapping[str, Any] = {"clouds": {"threshold": 1.0}}


@dataclass(frozen=True)
class Variant:
    """One change of the defaults."""

    group: str
    name: str
    settings: Mapping[str, Any]
    """Laid over the site's configuration, section by section."""
    sites: tuple[str, ...] = EVERYWHERE
    needs: str = ""
    """The package of an extra."""
    chosen_dates: bool = False
    """Whether the dates of the series are those of the least cloudy acquisitions."""

    @property
    def key(self) -> str:
        """The name of its folder."""
        kept = "".join(one if one.isalnum() else "-" for one in f"{self.group} {self.name}")
        return "-".join(part for part in kept.split("-") if part)


def _masks() -> Sequence[Variant]:
    clouds = {
        "shadows": ("shadows",),
        "shadows, temporal": ("shadows", "temporal"),
        "temporal": ("temporal",),
        "shadows, temporal, snow": ("shadows", "temporal", "snow"),
        "snow": ("snow",),
    }
    l1c = (SIMULATED, SCENES)
    few = {"max_cloud_cover": 20}
    return [
        Variant(MASKS, "no mask", NO_MASK, l1c),
        *(
            Variant(MASKS, name, {"clouds": dict.fromkeys(asked, True)}, _SEEN)
            for name, asked in clouds.items()
        ),
        Variant(
            MASKS, "scenes valid by 80 %", {"features": {"min_valid_fraction": 0.8}},
            (SIMULATED, FLANDERS),
        ),
        Variant(MASKS, "scenes to 20 % cloud", {"imagery": few}, (SIMULATED,)),
        Variant(
            MASKS, "no mask, scenes to 20 % cloud", {**NO_MASK, "imagery": few}, (SIMULATED,)
        ),
    ]  # fmt: skip


def _features() -> Sequence[Variant]:
    def families(*names: str) -> Mapping[str, Any]:
        return {"features": {"families": list(names)}}

    def series(**settings: Any) -> Mapping[str, Any]:
        return {"features": {"series": settings}}

    bare = {"name": "elevation"}
    whole = {**bare, "terrain": ["slope", "aspect", "curvature"]}
    return [
        Variant(FEATURES, "series, statistics", families("series", "statistics")),
        Variant(FEATURES, "statistics alone", families("statistics")),
        Variant(FEATURES, "elevation", {"features": {"layers": [bare]}}, (SIMULATED,)),
        Variant(FEATURES, "padding of 30 days", {"features": {"padding": 30}}, _SEASONS),
        Variant(FEATURES, "series: whittaker", series(method="whittaker"), _SEASONS),
        Variant(FEATURES, "series, harmonics", families("series", "harmonics"), _SEASONS),
        Variant(FEATURES, "series, phenology", families("series", "phenology"), _SEASONS),
        Variant(FEATURES, "series, texture", families("series", "texture"), _SEASONS),
        Variant(FEATURES, "every 32 days", {"features": {"interval": 32}}, _SEASONS),
        Variant(
            FEATURES, "elevation, slope, aspect, curvature", {"features": {"layers": [whole]}},
            (SIMULATED,),
        ),
        Variant(FEATURES, "chosen dates", {}, _SEASONS, chosen_dates=True),
        Variant(FEATURES, "series: median", series(method="median"), _SEASONS),
        Variant(FEATURES, "series: akima", series(method="akima"), _SEASONS),
        Variant(FEATURES, "harmonics alone", families("harmonics"), _SEASONS),
        Variant(FEATURES, "no indices", {"features": {"indices": []}}, _SEEN),
        Variant(FEATURES, "every 8 days", {"features": {"interval": 8}}, _SEASONS),
        Variant(
            FEATURES, "all four families",
            families("series", "statistics", "harmonics", "phenology"), _SEASONS,
        ),
        Variant(FEATURES, "series: medoid", series(method="medoid"), _SEASONS),
        *(
            Variant(FEATURES, f"series: {method}", series(method=method), (SIMULATED, FLANDERS))
            for method in ("maximum_ndvi", "geometric_median")
        ),
    ]  # fmt: skip


def _classifiers() -> Sequence[Variant]:
    alone = ("lightgbm", "discriminant", "extra_trees", "random_forest", "logistic")
    both = {"of": {"extra_trees": 1, "discriminant": 1}}
    return [
        *(Variant(CLASSIFIERS, method, {"model": {"method": method}}) for method in alone),
        Variant(CLASSIFIERS, "extra_trees, discriminant", {"model": both}),
        *(
            Variant(CLASSIFIERS, method, {"model": {"method": method}}, _SEASONS, needs="torch")
            for method in ("tempcnn", "ltae")
        ),
    ]


VARIANTS: tuple[Variant, ...] = (*_masks(), *_features(), *_classifiers())
GROUPS: Mapping[str, str] = {
    CLASSIFIERS: "classifiers",
    FEATURES: "features",
    MASKS: "masks and what is left out",
}
"""With their titles."""
