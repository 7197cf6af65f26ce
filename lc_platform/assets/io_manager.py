"""The way of an artefact between an asset and the store, for one patch or a chunk of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import dagster as dg

from lc_platform.artefacts.formats import Format
from lc_platform.artefacts.layout import PatchKeyError, Place, key
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import Expected
from lc_platform.assets.dagster_internals import RETRY_ON_ASSET_OR_OP_FAILURE_TAG
from lc_platform.assets.partitions import place
from lc_platform.errors import PlatformError
from lc_platform.logs import about
from lc_platform.runtime.redaction import conceal
from lc_platform.runtime.stopwatch import Clock
from lc_platform.sources.protocol import QuotaError
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.store import Store

FAILED = "failed"
"""Metadata of a failed step or check: the places it failed for, of a step with the reasons."""
REFUSED = "refused"
"""Metadata of a failed step: the places that failed as the archive's quota or the budget is spent,
which no further attempt is worth."""
REFUSAL = QuotaError.__name__
"""The same of a step of one place: the name of the error that began it."""
Describe = Callable[[Any, int, float], Mapping[str, Any]]
"""(value, bytes, seconds) -> the metadata that the UI shows."""


class Made(NamedTuple):
    """What an asset's body gave, and the seconds it took before any of it is written."""

    value: Any
    seconds: float
    expected: Expected


class Unchanged(NamedTuple):
    """Stands for the artefact that is already what would be made."""

    expected: Expected


class Failed:
    """Stands for the artefact of a patch whose computation failed before it began."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class ByPlace(Mapping[Place, Any]):
    """Handles of an asset's partitions, opened when asked for; those not there are left out."""

    def __init__(self, handles: Mapping[Place, Callable[[], Any]]) -> None:
        self._handles = dict(sorted(handles.items(), key=lambda item: str(item[0])))
        self._opened: dict[Place, Any] = {}

    def __getitem__(self, where: Place) -> Any:
        if where not in self._opened:
            self._opened[where] = self._handles[where]()
        return self._opened[where]

    def __iter__(self) -> Iterator[Place]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def by_patch(self, year: int | None = None) -> Mapping[str, Any]:
        """The same by patch, in the order of their keys: of the partitions of a year, where there
        are several."""
        return {
            str(where.patch): self[where]
            for where in self
            if year is None or where.year in (None, year)
        }


def is_permanent(error: BaseException) -> bool:
    """Whether no retry mends it."""
    if isinstance(error, dg.Failure):
        return not error.allow_retries
    return isinstance(error, PlatformError | ValueError) and not getattr(error, "transient", False)


def permanent_failure(error: BaseException) -> dg.Failure:
    """A failure that is not retried, with the error's own words."""
    return dg.Failure(description=str(error), allow_retries=False)


def not_again(instance: dg.DagsterInstance, run_id: str) -> None:
    """Have a run that failed for good not started again, where Dagster's retries of runs are on."""
    if instance.has_run(run_id):
        instance.add_run_tags(run_id, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "false"})


def _naming(where: Place, error: Exception) -> str:
    """An error's words, with the partition's name where they lack it."""
    words = str(error) or type(error).__name__
    return words if str(where.patch or where.year) in words else f"{where}: {words}"


def _told(failures: Mapping[Place, Exception]) -> Iterator[str]:
    """What failed and why: what several partitions have failed of in the same words, once."""
    alike: dict[str, list[Place]] = {}
    for where, error in failures.items():
        alike.setdefault(str(error), []).append(where)
    for places in alike.values():
        words = _naming(places[0], failures[places[0]])
        yield words if len(places) == 1 else f"{words} (and {len(places) - 1} more partitions)"


class ArtefactIOManager(dg.IOManager):
    """Writes what assets give, partition by partition, and opens what they ask for."""

    def __init__(
        self, store: Store, formats: Mapping[str, Format], describe: Describe, clock: Clock
    ) -> None:
        self.store = store
        self.formats = formats
        self.describe = describe
        self.clock = clock
        self.records = Records(store)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write each partition's value; one that fails leaves the others written and recorded.

        Raises dagster.Failure naming the partitions that failed.
        """
        asset = context.asset_key.path[-1]
        if not context.has_asset_partitions:
            context.add_output_metadata(self._written(asset, Place(), obj))
            return
        done: list[str] = []
        failures: dict[Place, Exception] = {}
        for partition in sorted(context.asset_partition_keys):
            where = place(partition, context.asset_partitions_def)
            try:
                with about(run=context.run_id, asset=asset, patch=where.patch, year=where.year):
                    metadata = self._written(asset, where, obj[where])
            except Exception as error:
                conceal(error)
                self.records.forget_damaged(error)
                if len(context.asset_partition_keys) == 1:
                    if is_permanent(error):
                        not_again(context.step_context.instance, context.run_id)
                        raise permanent_failure(error) from error
                    raise
                failures[where] = error
                continue
            context.step_context.add_asset_metadata(metadata, context.asset_key, partition)
            done.append(partition)
        if failures:
            self._record(context, done)
            for_good = all(map(is_permanent, failures.values()))
            if for_good:
                not_again(context.step_context.instance, context.run_id)
            raise dg.Failure(
                description=f"{asset}: {len(failures)} of {len(obj)} partitions failed.\n"
                + "\n".join(_told(failures)),
                metadata={
                    FAILED: dg.MetadataValue.json({str(w): str(e) for w, e in failures.items()}),
                    REFUSED: dg.MetadataValue.json(
                        [str(w) for w, e in failures.items() if isinstance(e, QuotaError)]
                    ),
                },
                allow_retries=not for_good,
            ) from next(iter(failures.values()))

    def _written(self, asset: str, where: Place, value: Any) -> Mapping[str, Any]:
        if isinstance(value, Failed):
            raise value.error
        target = key(asset, where.patch, where.year)
        metadata: dict[str, Any] = {"version": value.expected.version.data}
        if isinstance(value, Unchanged):
            metadata["unchanged"] = True
        else:
            metadata |= self._stored(asset, where, target, value)
        if where.patch:
            metadata["patch"] = where.patch
        if where.year:
            metadata["year"] = where.year
        metadata["path"] = dg.MetadataValue.path(self.store.path(target))
        return metadata

    def _stored(self, asset: str, where: Place, target: str, made: Made) -> Mapping[str, Any]:
        """Write an artefact and its record; returns what the UI shows of it."""
        version, content = made.expected
        with self.clock.working():
            started = time.perf_counter()
            with self.records.changing(asset, where):
                size = self.formats[asset].write(self.store, target, made.value)
            seconds = made.seconds + time.perf_counter() - started
            about = {
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(seconds, 3),
                "bytes": size,
            }
            self.records.write(asset, where, version, {**content, **about})
            return self.describe(made.value, size, seconds)

    @staticmethod
    def _record(context: dg.OutputContext, partitions: list[str]) -> None:
        """Record what a failed step has finished: Dagster itself records nothing of it."""
        step = context.step_context
        for partition in partitions:
            metadata = step.get_asset_metadata(context.asset_key, partition) or {}
            context.log_event(
                dg.AssetMaterialization(context.asset_key, partition=partition, metadata=metadata)
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """The asset's handle, or for a partitioned asset a `ByPlace` of those that are there.

        Raises dagster.Failure where an unpartitioned asset is not there, or damaged, and where a
        partition's key is no patch's.
        """
        asset = context.asset_key.path[-1]
        if not context.has_asset_partitions:
            return self.opened(asset, Place())
        places = [place(k, context.asset_partitions_def) for k in context.asset_partition_keys]
        try:
            keys = {where: key(asset, where.patch, where.year) for where in places}
        except PatchKeyError as error:
            raise permanent_failure(error) from error
        there = self.store.there(keys.values())
        return ByPlace(
            {
                where: lambda where=where: self.opened(asset, where)  # type: ignore[misc]
                for where in places
                if keys[where] in there
            }
        )

    def there(self, asset: str, where: Place) -> bool:
        """Whether an artefact is there."""
        return self.store.exists(key(asset, where.patch, where.year))

    def opened(self, asset: str, where: Place) -> Any:
        """The handle of an artefact. Raises dagster.Failure with the reason where it has none."""
        try:
            with self.clock.working():
                return self.formats[asset].open(self.store, key(asset, where.patch, where.year))
        except StorageError as error:
            conceal(error)
            self.records.forget_damaged(error)
            if isinstance(error, MissingArtefactError):
                self.records.forget(asset, where)
            if is_permanent(error):
                raise permanent_failure(error) from error
            raise


def missing(asset: str, where: Place, store: Store) -> MissingArtefactError:
    """What to say where an asset needs an artefact that is not there."""
    return MissingArtefactError(
        f"patch {where.patch}, {where.year}: {store.path(key(asset, where.patch, where.year))} is "
        f"not there. Materialize {asset} first"
        if where.year and where.patch
        else f"{store.path(key(asset, where.patch, where.year))} is not there. Materialize "
        f"{asset} first"
    )
