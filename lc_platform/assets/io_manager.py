"""The IO manager: artefacts between assets and the store, for one patch or a chunk of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import dagster as dg

from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.records import WARNINGS, Records
from lc_platform.artefacts.versions import Expected
from lc_platform.assets.partitions import partition_key, partition_of
from lc_platform.assets.step_failures import (
    Step,
    canceled,
    explained,
    forbid_retry,
    log_traceback,
    message,
    plain_message,
)
from lc_platform.errors import naming
from lc_platform.errors.transient import PermanentFailures, is_transient
from lc_platform.logs import about
from lc_platform.runtime.interruption import StopRequested
from lc_platform.runtime.progress import at
from lc_platform.runtime.redaction import conceal
from lc_platform.runtime.stopwatch import Clock
from lc_platform.sources.protocol import QuotaError
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.store import Store

if TYPE_CHECKING:
    from lc_platform.artefacts.formats import Format

FAILED = "failed"
"""Metadata of a failed step or check: the partitions that failed; of a step with the reasons."""
PERMANENT = "permanent"
"""Metadata of a failed step: the failed partitions that must not be retried."""
REFUSED = "refused"
"""Metadata of a failed step: those that failed as the archive's quota or the budget is spent."""
REFUSAL = QuotaError.__name__
"""The same of a step of one partition: the name of the first error."""
UNCHANGED = "unchanged"
"""Metadata of an artefact that was current already."""
_SHOWN = "shown"
"""In a record, the artefact's description."""


class Describe(Protocol):
    """Descriptions of artefacts."""

    def description(self, value: Any) -> dict[str, Any]:
        """Return a description that JSON can hold, for the record."""
        ...

    def shown(
        self, description: Mapping[str, Any], size: int | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        """Return the metadata that the UI shows of it, with its bytes and the seconds it took."""
        ...

    def located(self, asset: str, where: Partition) -> Mapping[str, Any]:
        """Return the metadata that lead to an artefact's place on the map."""
        ...

    def spent(self, description: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the metadata that hold only for the day on which it was made."""
        ...


class Made(NamedTuple):
    """What an asset's body returned, and the seconds it took before anything was written."""

    value: Any
    seconds: float
    expected: Expected


class Unchanged(NamedTuple):
    """Stands for an artefact that is current already."""

    expected: Expected


class Failed:
    """Stands for the artefact of a partition that failed before it was computed."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class ByPartition(Mapping[Partition, Any]):
    """Handles of an asset's existing partitions, each opened when it is read first."""

    def __init__(self, handles: Mapping[Partition, Callable[[], Any]]) -> None:
        self._handles = dict(sorted(handles.items(), key=lambda item: str(item[0])))
        self._opened: dict[Partition, Any] = {}

    def __getitem__(self, where: Partition) -> Any:
        if where not in self._opened:
            self._opened[where] = self._handles[where]()
        return self._opened[where]

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._handles)

    def __len__(self) -> int:
        return len(self._handles)

    def by_patch(self, year: int | None = None) -> Mapping[str, Any]:
        """Return the handles by patch, in the order of the keys: those of one year, if given."""
        return {
            str(where.patch): self[where]
            for where in self
            if year is None or where.year in (None, year)
        }


def _reasons(step: Step, failures: Mapping[Partition, Exception]) -> Iterator[str]:
    """Return why partitions failed, with equal reasons listed once."""
    alike: dict[str, list[Partition]] = {}
    for where, error in failures.items():
        alike.setdefault(plain_message(step, error), []).append(where)
    for first, *others in alike.values():
        text = message(step, first, failures[first])
        yield f"{text} (and {len(others)} more partitions)" if others else text


class ArtefactIOManager(dg.IOManager):
    """Writes what assets return, partition by partition, and opens their inputs."""

    def __init__(
        self,
        store: Store,
        formats: Mapping[str, Format],
        describe: Describe,
        clock: Clock,
        failed_before: PermanentFailures | None = None,
    ) -> None:
        self.store = store
        self.formats = formats
        self.describe = describe
        self.clock = clock
        self.failed_before = failed_before or PermanentFailures()
        self.records = Records(store)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write each partition's value; one that fails leaves the others written and recorded.

        Raises dagster.Failure naming the partitions that failed.
        """
        done: list[str] = []
        asset = context.asset_key.path[-1]
        step = Step(context.step_context.instance, context.run_id, asset, context.log)
        try:
            self._write(context, obj, step, done)
        except StopRequested:
            self._record(context, done)
            canceled(step)
            raise

    def _write(self, context: dg.OutputContext, obj: Any, step: Step, done: list[str]) -> None:
        asset = step.asset
        if not context.has_asset_partitions:
            with explained(step), at(asset, last=True):
                records = self._recorded(asset, {Partition(): obj})
                context.add_output_metadata(self._written(step, Partition(), obj, records))
            return
        with explained(step):
            records = self._recorded(asset, obj)
        failures: dict[Partition, Exception] = {}
        for partition in sorted(context.asset_partition_keys):
            where = partition_of(partition, context.asset_partitions_def)
            try:
                with (
                    about(run=context.run_id, asset=asset, patch=where.patch, year=where.year),
                    at(asset, str(where), last=True),
                ):
                    metadata = self._written(step, where, obj[where], records)
            except Exception as error:
                self.records.forget_damaged(error)
                if len(context.asset_partition_keys) == 1:
                    with explained(step, where):
                        raise
                conceal(error)
                failures[where] = error
                continue
            context.step_context.add_asset_metadata(metadata, context.asset_key, partition)
            done.append(partition)
        if failures:
            self._record(context, done)
            raise self._failure(step, failures, len(obj)) from next(iter(failures.values()))

    def _failure(self, step: Step, failures: Mapping[Partition, Exception], of: int) -> dg.Failure:
        """Return the failure of several partitions of a step. Dagster retries the step if one of
        them is transient, and then only those are computed."""
        permanent = {where: e for where, e in failures.items() if not is_transient(e)}
        for where, error in permanent.items():
            if self.failed_before.of(step.run, step.asset, where) is not error:
                log_traceback(step, where, error)
                self.failed_before.note(step.run, step.asset, where, error)
        for_good = len(permanent) == len(failures)
        if for_good:
            forbid_retry(step)
        return dg.Failure(
            description=f"{step.asset}: {len(failures)} of {of} partitions failed.\n"
            + "\n".join(_reasons(step, failures)),
            metadata={
                FAILED: dg.MetadataValue.json(
                    {str(w): plain_message(step, e) for w, e in failures.items()}
                ),
                PERMANENT: dg.MetadataValue.json([str(w) for w in permanent]),
                REFUSED: dg.MetadataValue.json(
                    [str(w) for w, e in failures.items() if isinstance(e, QuotaError)]
                ),
            },
            allow_retries=not for_good,
        )

    def _recorded(self, asset: str, values: Mapping[Partition, Any]) -> Mapping[Partition, Any]:
        """Read the records of the artefacts that are current already, all at once."""
        current = {w: v.expected.version for w, v in values.items() if isinstance(v, Unchanged)}
        return self.records.read(asset, current) if current else {}

    def _shown_before(
        self, step: Step, where: Partition, record: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the metadata of an artefact from when it was made.

        They are in its record, or for an earlier release in Dagster's last event; else they are
        made from its handle.
        """
        size, seconds = record.get("bytes"), record.get("seconds")
        if _SHOWN in record:
            found = self.describe.shown(record[_SHOWN], size, seconds)
        elif not (found := _last_shown(step, where)):
            handle = self.opened(step.asset, where)
            found = self.describe.shown(self.describe.description(handle), size, seconds)
        made_at = record.get("made_at")
        return {**found, **({"made_at": made_at} if made_at else {})}

    def _written(
        self, step: Step, where: Partition, value: Any, records: Mapping[Partition, Any]
    ) -> Mapping[str, Any]:
        if isinstance(value, Failed):
            raise value.error
        target = key(step.asset, where.patch, where.year)
        metadata: dict[str, Any] = {"patch": where.patch} if where.patch else {}
        if where.year:
            metadata["year"] = where.year
        if isinstance(value, Unchanged):
            metadata |= self._shown_before(step, where, records.get(where, {}))
            metadata[UNCHANGED] = True
        else:
            metadata |= self._stored(step.asset, where, target, value)
        # What leads on and what is seen come first, of a list that may be long.
        seen = {name: metadata.pop(name) for name in ("preview",) if name in metadata}
        metadata = {**self.describe.located(step.asset, where), **seen, **metadata}
        metadata["path"] = dg.MetadataValue.path(self.store.path(target))
        metadata["version"] = value.expected.version.data
        # The UI keeps this order, and nobody reads a hash.
        return dict(sorted(metadata.items(), key=lambda item: item[0].endswith("version")))

    def _stored(self, asset: str, where: Partition, target: str, made: Made) -> Mapping[str, Any]:
        """Write an artefact and its record; return its metadata."""
        version, content = made.expected
        with self.clock.working():
            started = time.perf_counter()
            with self.records.changing(asset, where):
                size = self.formats[asset].write(self.store, target, made.value)
            seconds = made.seconds + time.perf_counter() - started
            description = self.describe.description(made.value)
            about = {
                "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(seconds, 3),
                "bytes": size,
                _SHOWN: description,
            }
            found = getattr(getattr(made.value, "summary", None), "warnings", None)
            warnings = {WARNINGS: found} if found else {}
            self.records.write(asset, where, version, {**content, **about, **warnings})
            shown = self.describe.shown(description, size, seconds)
            return {**shown, **self.describe.spent(description)}

    @staticmethod
    def _record(context: dg.OutputContext, partitions: list[str]) -> None:
        """Record the partitions that a failed step has finished, which Dagster does not record."""
        step = context.step_context
        for partition in partitions:
            metadata = step.get_asset_metadata(context.asset_key, partition) or {}
            context.log_event(
                dg.AssetMaterialization(context.asset_key, partition=partition, metadata=metadata)
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """Return the asset's handle, or for a partitioned asset a `ByPartition` of handles.

        Raises dagster.Failure where an unpartitioned asset is missing or damaged, or a partition's
        key is no patch's.
        """
        asset = context.asset_key.path[-1]
        step = Step(context.instance, context.step_context.run_id, asset, context.log)
        with explained(step):
            if not context.has_asset_partitions:
                return self.opened(asset, Partition())
            wanted = [
                partition_of(k, context.asset_partitions_def) for k in context.asset_partition_keys
            ]
            keys = {where: key(asset, where.patch, where.year) for where in wanted}
            existing = self.store.there(keys.values())
        return ByPartition(
            {
                where: lambda where=where: self.opened(asset, where)  # type: ignore[misc]
                for where in wanted
                if keys[where] in existing
            }
        )

    def exists(self, asset: str, where: Partition) -> bool:
        """Whether an artefact exists."""
        return self.store.exists(key(asset, where.patch, where.year))

    def opened(self, asset: str, where: Partition) -> Any:
        """Open an artefact. Raises dagster.Failure with the reason where that is not possible."""
        try:
            target = key(asset, where.patch, where.year)
            with self.clock.working(), naming(self.store.path(target)):
                return self.formats[asset].open(self.store, target)
        except StorageError as error:
            self.records.forget_damaged(error)
            if isinstance(error, MissingArtefactError):
                self.records.forget(asset, where)
            conceal(error)
            if is_transient(error):
                raise
            raise dg.Failure(str(error), allow_retries=False) from error


_OF_ITS_DAY = ("version", UNCHANGED, "path", "patch", "year", "made_at", "map")
"""Metadata that are always written anew."""
_ACCOUNTED = ("_this_month", "_left")
"""Endings of the names of metadata that hold only for the day on which an artefact was made."""
_EVENTS = 20
"""Events of an artefact that are read: earlier releases wrote no metadata of unchanged ones."""


def _last_shown(step: Step, where: Partition) -> dict[str, Any]:
    """Return the metadata in Dagster's last event of an artefact."""
    partition = partition_key(where)
    wanted = dg.AssetRecordsFilter(
        dg.AssetKey(step.asset), asset_partitions=[str(partition)] if partition else None
    )
    for record in step.instance.fetch_materializations(wanted, limit=_EVENTS).records:
        made = record.asset_materialization
        shown = {} if made is None else dict(made.metadata)
        if "bytes" in shown:
            stale = (*_OF_ITS_DAY, *(name for name in shown if name.endswith(_ACCOUNTED)))
            return {name: value for name, value in shown.items() if name not in stale}
    return {}


def missing(asset: str, where: Partition, store: Store) -> MissingArtefactError:
    """Return the error for an input that does not exist."""
    return MissingArtefactError(
        f"patch {where.patch}, {where.year}: {store.path(key(asset, where.patch, where.year))} is "
        f"not there. Materialize {asset} first"
        if where.year and where.patch
        else f"{store.path(key(asset, where.patch, where.year))} is not there. Materialize "
        f"{asset} first"
    )
