"""`imagery.also`: what the configuration takes, what it refuses, and how it says so."""

from __future__ import annotations

import pytest

from lc_platform.config import AuxiliaryImagery
from lc_platform_tests.config.configurations import SIMULATED, SMALLEST, configured, refusal


def also(entries: str, base: str = SIMULATED) -> tuple[AuxiliaryImagery, ...]:
    return configured(f"{{imagery: {{also: {entries}}}}}", base).imagery.also


def test_an_id_takes_the_collections_usual_bands_and_name() -> None:
    radar, landsat = also("[sentinel-1-grd, landsat-ot-l1]")
    assert (radar.name, radar.bands, radar.quality_band) == ("S1", ("VV", "VH"), None)
    assert radar.acquired_bands == ("VV", "VH")
    assert (landsat.name, landsat.quality_band) == ("L8", "BQA")
    assert landsat.bands == ("B02", "B03", "B04", "B05", "B06", "B07")
    assert landsat.acquired_bands == (*landsat.bands, "BQA")


def test_the_catalogs_landsat_has_the_catalogs_names() -> None:
    (landsat,) = also("[landsat-c2-l2]", SMALLEST)
    assert landsat.bands == ("blue", "green", "red", "nir08", "swir16", "swir22")
    assert landsat.acquired_bands[-1] == "qa_pixel"


def test_bands_and_name_may_be_chosen() -> None:
    (one,) = also("[{collection: sentinel-1-grd, bands: [VH], name: radar}]")
    assert (one.name, one.bands, one.acquired_bands) == ("radar", ("VH",), ("VH",))


def test_a_catalog_of_its_own_makes_it_a_stac_collection() -> None:
    imagery = configured(
        "{imagery: {source: sentinel_hub, catalog: null, also: "
        "[sentinel-1-grd, {collection: landsat-c2-l2, catalog: other.json}]}}"
    ).imagery
    assert [imagery.auxiliary_source(one) for one in imagery.also] == ["sentinel_hub", "stac"]


def test_backscatter_is_power_from_sentinel_hub_and_amplitude_from_catalogs() -> None:
    hub = "source: sentinel_hub, catalog: null, also: "
    entries = "[sentinel-1-grd, {collection: sentinel-1-grd, name: other, catalog: other.json}]"
    imagery = configured(f"{{imagery: {{{hub}{entries}}}}}").imagery
    found = [imagery.auxiliary_quantity(one) for one in imagery.also]
    assert found == ["power", "amplitude"]


HUB = "{imagery: {source: sentinel_hub, catalog: null, also: %s}}"


def test_orbits_are_apart_by_choice_and_a_coefficient_counts_where_it_is_not_the_usual_one() -> (
    None
):
    (usual,) = also("[sentinel-1-grd]")
    (apart,) = also("[{collection: sentinel-1-grd, orbits: apart}]")
    assert (usual.kept_apart, apart.kept_apart) == ((None,), ("ascending", "descending"))
    for written, counts in (("", None), ("gamma0_terrain", None), ("beta0", "beta0")):
        entry = f"[{{collection: sentinel-1-grd, backscatter: {written or 'null'}}}]"
        imagery = configured(HUB % entry).imagery
        assert imagery.auxiliary_backscatter(imagery.also[0]) == counts
    terrain = "[{collection: sentinel-1-rtc, backscatter: gamma0_terrain}]"
    imagery = configured(f"{{imagery: {{also: {terrain}}}}}").imagery
    assert imagery.auxiliary_backscatter(imagery.also[0]) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{imagery: {also: [{collection: sentinel-1-rtc, backscatter: beta0}]}}",
            "imagery.also[0].backscatter: sentinel-1-rtc of source stac has no beta0; it has "
            "gamma0_terrain",
        ),
        (
            "{imagery: {also: [{collection: sentinel-1-grd, backscatter: gamma0_terrain}]}}",
            "imagery.also[0].backscatter: sentinel-1-grd of source stac has no gamma0_terrain; it "
            "has amplitudes of no coefficient, as ESA distributes them. Remove the key, or take "
            "sentinel-1-rtc",
        ),
        (
            "{imagery: {also: [{collection: sentinel-1-grd, backscatter: gamma0}]}}",
            "imagery.also[0].backscatter: 'gamma0'",
        ),
        (
            "{imagery: {also: [{collection: sentinel-1-grd, orbits: separate}]}}",
            "imagery.also[0].orbits: 'separate'",
        ),
        (
            "{imagery: {also: [{collection: landsat-c2-l2, orbits: apart}]}}",
            "imagery.also[0].orbits: landsat-c2-l2 is no radar. Remove the key",
        ),
    ],
)
def test_what_an_archive_does_not_give_of_radar_is_refused_with_what_it_gives(
    text: str, told: str
) -> None:
    (line,) = refusal(text)
    assert told in line


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        (
            "[sentinel-1-gdr]",
            "imagery.also[0].collection: sentinel-1-gdr cannot be added to another collection; "
            "sentinel-1-grd, sentinel-1-rtc, landsat-ot-l1, landsat-ot-l2, landsat-c2-l2, "
            "HLSS30_2.0, hls2-s30, HLSL30_2.0, hls2-l30 can. Did you mean sentinel-1-grd?",
        ),
        ("[sentinel-2-l1c]", "imagery.also[0].collection: sentinel-2-l1c cannot be added to"),
        (
            "[landsat-c2-l2]",
            "imagery.also[0].collection: source simulated has no landsat-c2-l2; of",
        ),
        (
            "[{collection: sentinel-1-grd, bands: [VV, VV]}]",
            "imagery.also[0].bands: VV is named more than once. Name it once.",
        ),
        (
            "[{collection: sentinel-1-grd, bands: [B04]}]",
            "imagery.also[0].bands: sentinel-1-grd has no band B04; it has VV, VH, HH, HV.",
        ),
        (
            "[{collection: sentinel-1-grd, bands: [HH]}]",
            "imagery.also[0].bands: the simulated sentinel-1-grd has no HH; it has VV, VH.",
        ),
        (
            "[{collection: landsat-ot-l1, bands: [B04, BQA]}]",
            "imagery.also[0].bands: BQA says where it is cloudy, and is acquired without being",
        ),
        (
            "[{collection: sentinel-1-grd, bands: []}]",
            "imagery.also[0].bands: at least one band is needed. Write for example [VV, VH]",
        ),
        ("[{bands: [VV]}]", "imagery.also[0].collection: this key is missing. Give it."),
        (
            "[{collection: sentinel-1-grd, band: [VV]}]",
            "imagery.also[0].band: this key is not known. Did you mean bands?",
        ),
        (
            "[landsat-ot-l1, {collection: sentinel-1-grd, name: L8}]",
            "imagery.also[1].name: L8 is also that of also[0] (landsat-ot-l1). Give one of them",
        ),
        (
            "[{collection: sentinel-1-grd, name: NDVI}]",
            "imagery.also[0].name: NDVI is also a band or an index of the features. Take another",
        ),
        ("[{collection: sentinel-1-grd, name: detector}]", "detector is a name of the platform's"),
        (
            "[{collection: sentinel-1-grd, name: a/b}]",
            "imagery.also[0].name: 'a/b' is not allowed.",
        ),
        (
            "[{collection: sentinel-1-grd, catalog: a.json}]",
            "imagery.also[0].catalog: the simulated planet is in no catalog. Remove the key.",
        ),
        ("[5]", "imagery.also[0]: 5 is not a section of keys and values. Its keys are collection,"),
        ("sentinel-1-grd", "imagery.also: 'sentinel-1-grd' is not a list. Write [sentinel-1-grd]."),
    ],
)
def test_what_cannot_be_added_is_refused_by_its_key(entries: str, told: str) -> None:
    (line,) = refusal(f"{{imagery: {{also: {entries}}}}}", SIMULATED)
    assert told in line


def test_the_main_collection_is_not_added_to_itself() -> None:
    lines = refusal(
        "{imagery: {source: sentinel_hub, catalog: null, collection: landsat-ot-l1, "
        "also: [landsat-ot-l1]}}"
    )
    assert lines == [
        "imagery.also[0].collection: landsat-ot-l1 is the main collection already. Remove it."
    ]


def test_an_index_may_not_be_named_as_a_band_of_it() -> None:
    (line,) = refusal(
        "{imagery: {also: [sentinel-1-grd]}, features: {indices: [{S1_VV: [B04, B08]}]}}", SIMULATED
    )
    assert "imagery.also[0].name: S1_VV is also a band or an index of the features" in line
