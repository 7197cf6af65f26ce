"""What is made again after a change, and what is not."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lc_platform.artefacts.layout import ASSETS, Partition, dimensions, key
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import Versions
from lc_platform.commands import run as running
from lc_platform.commands.status import status as statuses
from lc_platform.config import Config, parse
from lc_platform.platform import Platform
from lc_platform.storage.errors import StorageError
from lc_platform_tests.artefacts.snapshots import RECIPES, look, run, stale
from lc_platform_tests.graphs import YEAR, configured

pytestmark = pytest.mark.slow

FROM_RAW = {"raw_bands", "cloud_masks", "observation_stats", "alignment"}
LEARNT = {
    *("model", "evaluation", "predictions", "held_out_predictions"),
    *("mosaic", "area_statistics", "objects", "report", "catalog"),
}
FROM_FEATURES = {"features", "training_samples", *LEARNT}
FROM_MASKS = {"cloud_masks", "observation_stats", "alignment", *FROM_FEATURES}
CLASSES = [
    {"id": 1, "name": "farmland", "color": "#f2d04a", "values": [1, 2, 3, 4]},
    {"id": 2, "name": "woodland", "color": "#3f9b45", "values": [5, 6, 7]},
    {"id": 3, "name": "other", "color": "#2f6fd0", "values": [8, 9, 10]},
]
FEWER = [CLASSES[0] | {"values": [1, 2, 3]}, CLASSES[1] | {"values": [4, 5, 6, 7]}, CLASSES[2]]
RENAMED = [CLASSES[0] | {"name": "fields"}, *CLASSES[1:]]
RECOLOURED = [CLASSES[0] | {"color": "#ffffff"}, *CLASSES[1:]]

# What each change makes stale follows from the table of assets in docs/pipeline.md: an asset's own
# settings, and all that is made of it.
CHANGES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("nothing", {}, set()),
    ("how work is cut", {"processing": {"window": 64, "threads": 2, "chunk": 3}}, set()),
    ("cloudiness accepted", {"imagery": {"max_cloud_cover": 90}}, FROM_RAW | FROM_FEATURES),
    ("another band", {"imagery": {"bands": ["B03", "B04", "B08"]}}, FROM_RAW | FROM_FEATURES),
    ("another collection", {"imagery": {"also": ["sentinel-1-grd"]}}, FROM_RAW | FROM_FEATURES),
    ("cloud threshold", {"clouds": {"threshold": 0.5}}, FROM_MASKS),
    ("dilation, which widens the margin", {"clouds": {"dilation": 3}}, FROM_RAW | FROM_FEATURES),
    ("the map ends at the area", {"aoi": {"clip": True}}, FROM_FEATURES),
    ("the map ends with its patches", {"aoi": {"clip": False}}, {"report"}),
    ("interval", {"features": {"interval": 32}}, FROM_FEATURES),
    ("index", {"features": {"indices": ["NDVI"]}}, FROM_FEATURES),
    ("features not stored", {"features": {"stored": False}}, {"features", "report"}),
    ("pixels drawn", {"sampling": {"pixels_per_patch": 200}}, {"training_samples", *LEARNT}),
    ("the share of patches of one held-out set", {"sampling": {"test_fraction": 0.5}}, {"report"}),
    ("folds", {"validation": {"folds": 3}}, LEARNT),
    ("blocks of ground", {"validation": {"block_size": 100}}, LEARNT),
    ("calibration", {"validation": {"calibration": "none"}}, LEARNT),
    ("one held-out set", {"validation": {"folds": 0}}, {"training_samples", *LEARNT}),
    ("trees", {"model": {"num_iterations": 9}}, LEARNT),
    ("probabilities kept", {"processing": {"probabilities": True}}, {"predictions"}),
    (
        "the map's CRS",
        {"mosaic_crs": "EPSG:3035"},
        {"mosaic", "area_statistics", "report", "catalog"},
    ),
    (
        "a class's values",
        {"reference": {"classes": FEWER}},
        {"patch_grid", "reference_rasters", "alignment", "training_samples", *LEARNT},
    ),
    (
        "a class's colour",
        {"reference": {"classes": RECOLOURED}},
        {
            *("reference_rasters", "evaluation", "predictions", "held_out_predictions"),
            *("mosaic", "report", "catalog"),
        },
    ),
    (
        "a class's name",
        {"reference": {"classes": RENAMED}},
        {"reference_rasters", "training_samples", *LEARNT},
    ),
    ("the archive", {"imagery": {"simulation": {"cloudiness": 2}}}, FROM_RAW | FROM_FEATURES),
    (
        "the reference",
        {"imagery": {"simulation": {"mistakes": {"missing": 0.5}}}},
        {"patch_grid", "reference_rasters", "alignment", "training_samples", *LEARNT},
    ),
]


def changed(config: Config, changes: Mapping[str, Any]) -> Config:
    data = copy.deepcopy(config.model_dump(exclude_unset=True, mode="json"))
    for name, change in changes.items():
        data[name] = {**data.get(name, {}), **change} if isinstance(change, dict) else change
    return parse(data, config.folder)


def files(config: Config) -> dict[str, int]:
    """Every artefact's files, with when they were written."""
    root = Path(config.storage_url)
    return {
        str(path.relative_to(root)): path.stat().st_mtime_ns
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = configured(
        tmp_path_factory.mktemp("versions"), reference={"attribute": "class_id", "classes": CLASSES}
    )
    report = run(config)
    assert report.succeeded, report.failures
    return config


@pytest.fixture
def copied(made: Config, tmp_path: Path) -> Config:
    """The same, to be changed."""
    shutil.copytree(made.folder, tmp_path / "own", symlinks=True)
    return parse(made.model_dump(exclude_unset=True, mode="json"), tmp_path / "own")


@pytest.mark.parametrize(("what", "change", "expected"), CHANGES, ids=[c[0] for c in CHANGES])
def test_a_change_of_the_configuration_makes_stale_what_depends_on_it(
    made: Config, what: str, change: dict[str, Any], expected: set[str]
) -> None:
    seen = look(changed(made, change))
    found = stale(seen)
    assert set(found) == expected, what
    for asset, places in found.items():
        assert places == seen.places(asset, YEAR)  # of all patches alike
        assert all(seen.states(asset, YEAR)[where].why for where in places)


def test_status_says_which_setting_changed(made: Config) -> None:
    config = changed(made, {"clouds": {"threshold": 0.5}})
    rows = {row.asset: row for row in statuses(config)}
    assert rows["cloud_masks"].why_stale == "clouds.threshold was 0.4, is 0.5 (4)"
    assert rows["features"].why_stale == "cloud_masks stale (4)"
    assert rows["model"].why_stale == "4 of 4 training_samples stale"
    assert rows["raw_bands"].count("current") == 4


def test_a_new_acquisition_makes_stale_its_patch_and_what_is_of_all_patches(
    copied: Config,
) -> None:
    seen = look(copied)
    patch = seen.patches()[1]
    records = Records(Platform(copied).store)
    where = Partition(patch, YEAR)
    version = seen.recorded("raw_bands", YEAR)[where]
    content = records.read("raw_bands", {where: version})[where]
    records.forget("raw_bands", where)
    records.write("raw_bands", where, version._replace(given="another"), content)

    found = stale(look(copied))

    of_patch = {"cloud_masks", "observation_stats", "alignment", "features", "training_samples"}
    assert set(found) == of_patch | LEARNT
    assert all(found[asset] == [where] for asset in of_patch)
    for asset in ("predictions", "held_out_predictions"):
        assert len(found[asset]) == 4  # they are made with the model
    assert look(copied).states("cloud_masks", YEAR)[where].why == "raw_bands changed"


def test_a_new_version_of_the_code_makes_stale_what_depends_on_it(made: Config) -> None:
    platform = Platform(made)
    newer = [
        dataclasses.replace(recipe, code="next") if recipe.asset == "features" else recipe
        for recipe in RECIPES
    ]
    versions = Versions(Records(platform.store), newer, platform.options, platform.grid)
    assert set(stale(versions.look())) == FROM_FEATURES


def test_a_larger_area_leaves_its_patches_as_they_are(copied: Config) -> None:
    more = configured(
        copied.folder, columns=3, reference={"attribute": "class_id", "classes": CLASSES}
    )
    # The grid is not laid anew yet.
    of_all = {"patch_grid", "mosaic", "area_statistics", "objects", "report", "catalog"}
    assert set(stale(look(more))) == of_all
    assert run(more, select=["patch_grid"]).succeeded
    found = stale(look(more))
    assert len(look(more).patches()) == 6
    for asset in ASSETS:
        if "patch" in dimensions(asset):
            assert len(found[asset]) == 2, asset
    assert "mosaic" in found


@pytest.mark.proof
def test_a_second_run_does_nothing_but_say_so(copied: Config) -> None:
    before = files(copied)
    report = run(copied)
    assert report.succeeded
    assert report.seconds < 60
    after = files(copied)
    assert {n: t for n, t in after.items() if "dagster" not in n} == before
    instance = running.Worker(copied, running.dagster_home(copied)).instance
    import dagster as dg

    for asset in ASSETS:
        event = instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.metadata["unchanged"].value is True


@pytest.mark.proof
def test_a_changed_setting_makes_again_what_depends_on_it_and_no_more(copied: Config) -> None:
    before = files(copied)
    time.sleep(0.01)
    config = changed(copied, {"model": {"num_iterations": 9}})
    assert run(config).succeeded
    assert not stale(look(config))
    written = {name for name, when in files(config).items() if before.get(name) != when}
    tops = {name.removeprefix(".records/").split("/")[0].split(".")[0] for name in written}
    assert tops - {"deployment"} == LEARNT - {"report"}  # which lies in evaluation's folder


@pytest.mark.proof
def test_an_artefact_whose_making_did_not_end_is_made_again(copied: Config) -> None:
    where = Partition(look(copied).patches()[0], YEAR)
    Records(Platform(copied).store).forget("features", where)  # as a writer does when it begins
    assert stale(look(copied))["features"] == [where]
    assert run(copied).succeeded
    assert not stale(look(copied))


@pytest.mark.proof
def test_an_artefact_that_is_gone_is_made_again(copied: Config) -> None:
    where = Partition(look(copied).patches()[0], YEAR)
    Platform(copied).store.remove(key("cloud_masks", where.patch, YEAR))
    assert look(copied).states("cloud_masks", YEAR)[where].kind == "missing"
    assert run(copied).succeeded
    assert not stale(look(copied))


@pytest.mark.proof
def test_what_is_damaged_is_named_and_made_again(copied: Config) -> None:
    patch = look(copied).patches()[0]
    features = Path(copied.storage_url) / key("features", patch, YEAR)
    for shard in (features / "features" / "c").rglob("*"):
        if shard.is_file():
            shard.write_bytes(shard.read_bytes()[:100])
    Records(Platform(copied).store).forget("predictions", Partition(patch, YEAR))

    report = run(copied)

    ((job, where, why),) = report.failures
    assert (job, where) == ("prediction", Partition(patch, YEAR))
    assert f"{patch}.zarr: features is damaged" in why
    assert run(copied).succeeded
    assert not stale(look(copied))


@pytest.mark.proof
def test_a_patch_that_left_the_area_is_no_longer_learnt_from(copied: Config) -> None:
    fewer = configured(
        copied.folder, columns=1, reference={"attribute": "class_id", "classes": CLASSES}
    )
    assert run(fewer, select=["patch_grid"]).succeeded
    assert set(stale(look(fewer))) == LEARNT
    assert run(fewer).succeeded
    assert not stale(look(fewer))


def test_a_new_instance_learns_the_patches_of_a_store(copied: Config) -> None:
    shutil.rmtree(running.dagster_home(copied))
    assert run(copied, select=["patch_grid"]).succeeded
    instance = running.Worker(copied, running.dagster_home(copied)).instance
    assert sorted(instance.get_dynamic_partitions("patch")) == sorted(look(copied).patches())


@pytest.mark.proof
def test_features_that_are_not_stored_follow_their_imagery(tmp_path: Path) -> None:
    config = configured(
        tmp_path, columns=2, rows=1, reference={"attribute": "class_id", "classes": CLASSES},
        features={"stored": False},
    )  # fmt: skip
    assert run(config).succeeded
    where = Partition(look(config).patches()[0], YEAR)
    records = Records(Platform(config).store)
    records.forget("raw_bands", where)
    records.forget("training_samples", where)
    report = run(config)  # the imagery is written again, and the recipe is of the one before
    assert "were made of other raw_bands" in report.failures[0][2]
    assert run(config).succeeded
    assert not stale(look(config))


@pytest.mark.proof
def test_a_damaged_record_is_none(copied: Config) -> None:
    where = Partition(look(copied).patches()[0], YEAR)
    records = Path(copied.storage_url) / ".records" / "features" / str(YEAR)
    (record,) = records.glob(f"{where.patch}.*")
    record.write_bytes(b"")
    assert statuses(changed(copied, {"features": {"interval": 32}}))
    Records(Platform(copied).store).forget("cloud_masks", where)
    assert run(copied).succeeded


@pytest.mark.proof
def test_a_folder_may_have_brackets_in_its_name(made: Config, tmp_path: Path) -> None:
    folder = tmp_path / "maps [2024]"
    shutil.copytree(made.folder, folder, symlinks=True)
    config = parse(made.model_dump(exclude_unset=True, mode="json"), folder)
    other = changed(config, {"model": {"num_iterations": 9}})
    assert statuses(other)
    assert run(other).succeeded


def test_a_guest_does_not_take_a_store_over(copied: Config, tmp_path: Path) -> None:
    home = tmp_path / "guest"
    home.mkdir()
    data = copied.model_dump(exclude_unset=True, mode="json") | {"storage": copied.storage_url}
    assert running.check(copied) == []
    guest = parse(data, home)
    assert running.check(guest) == []
    with pytest.raises(StorageError, match="another deployment works here"):
        running.check(changed(guest, {"clouds": {"threshold": 0.5}}))
    assert running.check(copied) == []


def test_two_records_of_one_artefact_are_none(copied: Config) -> None:
    seen = look(copied)
    where = Partition(seen.patches()[0], YEAR)
    version = seen.recorded("features", YEAR)[where]
    Records(Platform(copied).store).write("features", where, version._replace(made="b" * 16), {})
    assert look(copied).states("features", YEAR)[where].kind == "missing"


def test_the_content_of_a_reference_counts_and_not_its_place(tmp_path: Path) -> None:
    from lc_platform.config.input_files import digest

    one, other = tmp_path / "a.gpkg", tmp_path / "elsewhere.gpkg"
    one.write_bytes(b"polygons")
    other.write_bytes(b"polygons")
    assert digest(str(one)) == digest(str(other))
    (tmp_path / "a.gpkg.aux.xml").write_bytes(b"a viewer's")
    assert digest(str(one)) == digest(str(other))
    other.write_bytes(b"other polygons")
    assert digest(str(one)) != digest(str(other))
    assert digest("https://example.org/a.gpkg") is None  # it is not asked for


def test_a_shapefile_is_its_parts(tmp_path: Path) -> None:
    from lc_platform.config.input_files import digest

    for ending in (".shp", ".dbf"):
        (tmp_path / f"a{ending}").write_bytes(ending.encode())
    before = digest(str(tmp_path / "a.shp"))
    (tmp_path / "a.dbf").write_bytes(b"other classes")
    assert digest(str(tmp_path / "a.shp")) != before
