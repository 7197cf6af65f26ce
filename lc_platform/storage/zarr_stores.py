"""Stores of Zarr that say what is missing."""

from __future__ import annotations

from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore


class Strict(WrapperStore[ZarrStore]):
    """A store in which what is missing is an error, where Zarr would read fill values."""

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        # From the first byte on is all of it too, and some drivers ask for its size before that.
        found = await super().get(key, prototype, byte_range or OffsetByteRequest(0))
        if "/c/" in f"/{key}":
            if found is None:
                raise FileNotFoundError(f"{key} is missing")
            if len(found) < _length(byte_range):
                raise OSError(f"{key} is too short")
        return found


def _length(byte_range: ByteRequest | None) -> int:
    """How many bytes there are to be at least."""
    match byte_range:
        case RangeByteRequest(start, end):
            return end - start
        case SuffixByteRequest(suffix):
            return suffix
    return 1


class Fresh(WrapperStore[ZarrStore]):
    """A store in the making: what has not been written is not there, and is not asked for."""

    def __init__(self, store: ZarrStore) -> None:
        super().__init__(store)
        self._there: set[str] = set()

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        return await super().get(key, prototype, byte_range) if key in self._there else None

    async def set(self, key: str, value: Buffer) -> None:
        await super().set(key, value)
        self._there.add(key)
