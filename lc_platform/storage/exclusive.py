"""Files that are made once, whoever comes first."""

from __future__ import annotations

import uuid
from pathlib import Path

from lc_platform.storage import remote
from lc_platform.storage.errors import explained
from lc_platform.storage.store import Store


def create(store: Store, key: str, content: bytes) -> bool:
    """Put a small file where there is none yet; return False where there is one, which stays.

    Of several who create it at the same time one does, as far as the store has conditional writes:
    see `doubt`. Raises StorageError where it cannot be written.
    """
    path = store.plain(key)
    try:
        with store.reaching(store.path(key)):
            if not store.local:
                return _made(store, path, content)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            with Path(path).open("xb") as file:
                file.write(content)
    except FileExistsError:
        return False
    except OSError as error:
        raise explained(error, store.path(key)) from error
    return True


def doubt(store: Store) -> str | None:
    """Return what follows where the store makes a file that is there already once more, which some
    servers do that ignore the condition of a write; None where it refuses, as it should.

    A small file is written to an object store and removed; a folder always refuses. Raises
    StorageError where that cannot be written.
    """
    if store.local:
        return None
    key = f".check-{uuid.uuid4().hex}"
    create(store, key, b"first")
    try:
        refused = not create(store, key, b"second")
    finally:
        with store.reaching(store.path(key)):
            store.remove_object(store.plain(key))
    if refused:
        return None
    return (
        f"{store}: overwrites a file that was to be made only if it is not there (it ignores "
        "conditional writes). Where two people judge the same point of a reference sample at "
        "the same moment, each through another server of the web map, both are told that theirs "
        "is the first opinion. Both are kept and count: where they differ, the point waits for a "
        "consensus. Run one server of the map alone, or move `storage` to a store with "
        "conditional writes"
    )


def _made(store: Store, path: str, content: bytes) -> bool:
    try:
        store.fs.pipe_file(path, content, mode="create")
    except Exception as error:
        if remote.answer(error) in remote.THERE_ALREADY:
            return False
        raise
    return True
