"""Artefacts between assets and the store, in real runs of Dagster."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from lc_platform import config, report
from lc_platform.artefacts.formats import Format, formats
from lc_platform.artefacts.layout import ASSETS, EVERY_ASSET, PATCH, Partition, key
from lc_platform.artefacts.records import Records, Version
from lc_platform.artefacts.versions import Expected
from lc_platform.assets.io_manager import REFUSED, ArtefactIOManager, Failed, Made
from lc_platform.assets.partitions import partition_of, patch_year_key, patch_years, quiet
from lc_platform.cube import Layer, LazyCube
from lc_platform.errors import DataError, PlatformError
from lc_platform.products.training_samples import Samples
from lc_platform.runtime.stopwatch import Clock
from lc_platform.sources.protocol import QuotaError
from lc_platform.storage.store import Store
from lc_platform_tests.storage.artefacts import artefact, cube, noise, version_of

PATCHES = ("p0", "p1", "p2", "p3")
YEAR = 2020
EXPECTED = Expected(Version("a" * 16, "0", "b" * 8), {"asset": "any"})
DESCRIBE = report.Describer()


class TransientError(PlatformError):
    """What passes by itself."""

    transient = True


Body = Callable[[Partition], Any]


def prediction(where: Partition) -> LazyCube:
    layers = {"class": Layer((), "uint8", fill=0), "confidence": Layer((), "uint8")}
    made = cube(int(str(where.patch)[1:]), layers)
    made.summary.facts["mean_confidence"] = 81.23456
    made.summary.picture = noise(1, (64, 64, 3), "uint8")
    return made


class Bench:
    """One asset on a store and an instance of its own."""

    def __init__(self, url: str, instance: dg.DagsterInstance) -> None:
        self.store = Store(url)
        self.instance = instance
        instance.add_dynamic_partitions(PATCH, list(PATCHES))
        self.formats: dict[str, Format] = formats()
        self.manager = ArtefactIOManager(self.store, self.formats, DESCRIBE, Clock())

    def run(self, body: Body, *patches: str, name: str = "predictions", retries: int = 0) -> Any:
        """Materialize patches in one run; the body makes each, and what it raises is its result."""

        def made(where: Partition) -> Any:
            try:
                return Made(body(where), 0.0, EXPECTED)
            except Exception as error:
                return Failed(error)

        with quiet():

            @dg.asset(
                name=name,
                partitions_def=patch_years([YEAR]),
                retry_policy=dg.RetryPolicy(max_retries=retries),
            )
            def one(context: dg.AssetExecutionContext) -> dict[Partition, Any]:
                places = [
                    partition_of(k, context.assets_def.partitions_def)
                    for k in context.partition_keys
                ]
                return {where: made(where) for where in places}

            return self._materialize([one], patches)

    def _materialize(self, assets: list[dg.AssetsDefinition], patches: tuple[str, ...]) -> Any:
        keys = [patch_year_key(patch, YEAR) for patch in patches]
        span = {
            "dagster/asset_partition_range_start": str(keys[0]),
            "dagster/asset_partition_range_end": str(keys[-1]),
        }
        return dg.materialize(
            assets,
            instance=self.instance,
            resources={"io_manager": self.manager},
            partition_key=keys[0] if len(keys) == 1 else None,
            tags=span if len(keys) > 1 else None,
            raise_on_error=False,
        )

    def recorded(self, name: str = "predictions") -> dict[str, dict[str, Any]]:
        """Metadata of what Dagster holds as materialized, by partition."""
        records = self.instance.fetch_materializations(dg.AssetKey(name), limit=100).records
        return {
            str(r.partition_key): {k: v.value for k, v in r.asset_materialization.metadata.items()}
            for r in records
            if r.asset_materialization
        }

    def version(self, patch: str, name: str = "predictions") -> int:
        opened = self.formats[name].open(self.store, key(name, patch, YEAR))
        return version_of("cog", opened)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Bench(str(tmp_path / "store"), instance)


def failure(result: Any) -> str:
    """What the failed step says."""
    (event,) = [e for e in result.all_events if e.is_step_failure]
    data = event.step_failure_data
    return str(data.user_failure_data.description if data.user_failure_data else data.error)


def test_a_partition_is_recorded_with_what_people_look_for(bench: Bench) -> None:
    assert bench.run(prediction, "p3").success
    ((partition, found),) = bench.recorded().items()
    assert partition == str(patch_year_key("p3", YEAR))
    path = bench.store.path("predictions/2020/p3.tif")
    assert (found["patch"], found["year"], found["path"]) == ("p3", YEAR, path)
    assert (found["rows"], found["columns"]) == (600, 300)
    parts = [Path(path), Path(path).with_suffix(".parquet")]
    assert found["bytes"] == sum(p.stat().st_size for p in parts)
    assert found["seconds"] > 0
    assert found["mean_confidence"] == 81.2346
    assert found["preview"].startswith("![")
    assert len(found["preview"]) < 1000
    assert bench.version("p3") == 3


def test_samples_are_recorded_with_their_number(bench: Bench) -> None:
    def samples(_: Partition) -> Samples:
        made: Samples = artefact("parquet", YEAR)
        return made

    assert bench.run(samples, "p1", name="training_samples").success
    (found,) = bench.recorded("training_samples").values()
    assert found["rows"] == 20_000
    assert (found["patch"], found["year"]) == ("p1", YEAR)


def test_every_patch_of_a_range_has_its_own_artefact_and_metadata(bench: Bench) -> None:
    assert bench.run(prediction, *PATCHES).success
    recorded = bench.recorded()
    assert {m["patch"] for m in recorded.values()} == set(PATCHES)
    for partition, metadata in recorded.items():
        assert partition == str(patch_year_key(metadata["patch"], YEAR))
        assert metadata["path"].endswith(f"{metadata['patch']}.tif")
    assert [bench.version(patch) for patch in PATCHES] == [0, 1, 2, 3]


def test_a_patch_that_fails_is_named_and_stops_no_other(bench: Bench) -> None:
    def body(where: Partition) -> LazyCube:
        if where.patch == "p1":
            raise DataError("no acquisition. Raise imagery.max_cloud_cover")
        return prediction(where)

    result = bench.run(body, *PATCHES, retries=2)
    assert not result.success
    words = failure(result)
    assert "predictions: 1 of 4 partitions failed" in words
    assert "p1 2020: no acquisition. Raise imagery.max_cloud_cover" in words
    recorded = {m["patch"]: m for m in bench.recorded().values()}
    assert set(recorded) == {"p0", "p2", "p3"}
    assert all(m["bytes"] > 0 and m["rows"] == 600 for m in recorded.values())
    assert all(m["path"].endswith(f"{patch}.tif") for patch, m in recorded.items())
    assert bench.store.names("predictions/2020") == [
        f"p{i}{end}" for i in (0, 2, 3) for end in (".parquet", ".tif", ".tif.aux.xml")
    ]
    assert not [e for e in result.all_events if e.is_step_up_for_retry], "no retry mends it"


def test_what_stops_several_patches_is_told_once_and_names_them_all_beside(bench: Bench) -> None:
    def body(where: Partition) -> LazyCube:
        if where.patch == "p0":
            return prediction(where)
        raise QuotaError("the budget is spent. Raise imagery.budget")

    result = bench.run(body, *PATCHES, retries=2)
    assert failure(result) == (
        "predictions: 3 of 4 partitions failed.\n"
        "p1 2020: the budget is spent. Raise imagery.budget (and 2 more partitions)"
    )
    (step,) = [e for e in result.all_events if e.is_step_failure]
    told = step.step_failure_data.user_failure_data.metadata
    assert told[REFUSED].value == ["p1 2020", "p2 2020", "p3 2020"]
    assert not [e for e in result.all_events if e.is_step_up_for_retry], "no retry mends it"


def test_a_patch_that_fails_while_it_is_written_leaves_its_old_artefact(bench: Bench) -> None:
    assert bench.run(prediction, *PATCHES).success

    def body(where: Partition) -> LazyCube:
        made = prediction(where)
        if where.patch == "p2":
            blocks = made.blocks

            def half(summary: Any) -> Any:
                yield next(blocks(summary))
                raise DataError("patch p2: its second block cannot be computed")

            made.blocks = half
        return made

    result = bench.run(body, *PATCHES)
    assert not result.success
    assert "patch p2: its second block cannot be computed" in failure(result)
    assert "p2 2020: patch p2" not in failure(result), "named once"
    assert bench.version("p2") == 2
    # It is what it was, and its record says so.
    assert set(Records(bench.store).of_year("predictions", YEAR)) == {
        Partition(patch, YEAR) for patch in PATCHES
    }


@pytest.mark.parametrize("patches", [("p1",), ("p0", "p1")])
def test_what_passes_by_itself_is_tried_again(bench: Bench, patches: tuple[str, ...]) -> None:
    tries: list[str] = []

    def body(where: Partition) -> LazyCube:
        tries.append(str(where.patch))
        if where.patch == "p1" and tries.count("p1") < 3:
            raise TransientError("patch p1: the archive does not answer")
        return prediction(where)

    result = bench.run(body, *patches, retries=3)
    assert result.success
    assert tries.count("p1") == 3
    assert {m["patch"] for m in bench.recorded().values()} == set(patches)


@pytest.mark.parametrize("patches", [("p1",), ("p0", "p1")])
@pytest.mark.parametrize(
    "error",
    [
        DataError("patch p1: no pixel"),
        ValueError("patch p1: not allowed"),
        dg.Failure("patch p1: is not there", allow_retries=False),
    ],
    ids=["data", "value", "failure"],
)
def test_what_no_retry_mends_is_not_tried_again(
    bench: Bench, patches: tuple[str, ...], error: Exception
) -> None:
    tries: list[str] = []

    def body(where: Partition) -> LazyCube:
        tries.append(str(where.patch))
        if where.patch == "p1":
            raise error
        return prediction(where)

    result = bench.run(body, *patches, retries=3)
    assert not result.success
    assert tries.count("p1") == 1
    assert str(error) in failure(result)


def test_a_full_storage_fails_the_step_with_what_to_do(bench: Bench) -> None:
    Path(bench.store.path("")).parent.mkdir(exist_ok=True)
    Path(bench.store.path("")).write_text("a file")
    result = bench.run(prediction, "p1", retries=2)
    assert not result.success
    assert "A file is where a folder should be" in failure(result)
    assert not [e for e in result.all_events if e.is_step_up_for_retry]


def test_a_downstream_asset_gets_handles_of_the_patches_that_are_there(bench: Bench) -> None:
    given: list[dict[Partition, Any]] = []
    for patch in ("p0", "p2"):
        assert bench.run(prediction, patch).success
    with quiet():
        partitions = patch_years([YEAR])
        source = dg.AssetSpec("predictions", partitions_def=partitions)

        @dg.asset(partitions_def=partitions, ins={"predictions": dg.AssetIn(dagster_type=dg.Any)})
        def training_samples(
            context: dg.AssetExecutionContext, predictions: Any
        ) -> dict[Partition, Any]:
            given.append({where: version_of("cog", predictions[where]) for where in predictions})
            assert list(predictions.by_patch()) == ["p0", "p2"]
            places = [
                partition_of(k, context.assets_def.partitions_def) for k in context.partition_keys
            ]
            return {where: Made(artefact("parquet", YEAR), 0.0, EXPECTED) for where in places}

        result = bench._materialize([training_samples, source], PATCHES)  # type: ignore[list-item]
    assert result.success
    assert given == [{Partition("p0", YEAR): 0, Partition("p2", YEAR): 2}]


def test_a_damaged_input_fails_the_step_with_its_name(bench: Bench) -> None:
    from lc_platform.products.evaluation import Evaluation

    bench.formats["model"].write(bench.store, "model/2020", artefact("model", 1))
    bench.store.fs.rm_file(f"{bench.store.physical('model/2020')}/model_card.json")
    with pytest.raises(dg.Failure, match=r"model/2020: model\.txt and model_card\.json are not"):
        bench.manager.opened("model", Partition(year=YEAR))
    bench.formats["evaluation"].write(bench.store, "evaluation/2020", Evaluation({"a": 1}))
    assert bench.manager.opened("evaluation", Partition(year=YEAR)).metrics == {"a": 1}
    assert bench.manager.exists("evaluation", Partition(year=YEAR))
    assert not bench.manager.exists("evaluation", Partition(year=1999))


def test_a_store_in_memory_takes_and_gives_the_same(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        bench = Bench(f"memory://{tmp_path.name}", instance)
        assert bench.run(prediction, *PATCHES).success
        assert [bench.version(patch) for patch in PATCHES] == [0, 1, 2, 3]
        paths = {m["path"] for m in bench.recorded().values()}
        assert paths == {bench.store.path(f"predictions/2020/{p}.tif") for p in PATCHES}


def test_no_asset_is_pickled(tmp_path: Path) -> None:
    from lc_platform.graph import build

    path = tmp_path / "lc-platform.yaml"
    path.write_text(config.template("simulated"), encoding="utf-8")
    definitions = build(config.load(path))
    assets = [a for a in definitions.assets or [] if isinstance(a, dg.AssetsDefinition)]
    assert {a.key.path[-1] for a in assets} == set(ASSETS)
    for asset in assets:
        assert asset.get_io_manager_key_for_asset_key(asset.key) == "io_manager"
    assert isinstance((definitions.resources or {})["io_manager"], ArtefactIOManager)
    assert set(formats()) == set(EVERY_ASSET)


def test_partitions_are_ordered_alike_however_they_are_given() -> None:
    from lc_platform.assets.io_manager import ByPartition

    places = [Partition(p, YEAR) for p in ("p2", "p0", "p1")]
    handles = ByPartition({where: lambda where=where: str(where) for where in places})  # type: ignore[misc]
    assert list(handles.by_patch().items()) == [(p, f"{p} {YEAR}") for p in ("p0", "p1", "p2")]
    assert len(handles) == 3
    assert np.all([isinstance(where, Partition) for where in handles])
