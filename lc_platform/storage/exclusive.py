"""Files that are made once, whoever comes first."""

from __future__ import annotations

from pathlib import Path

from lc_platform.storage import remote
from lc_platform.storage.errors import explained
from lc_platform.storage.store import Store


def create(store: Store, key: str, content: bytes) -> bool:
    """Put a small file where there is none yet; return False where there is one, which stays.

    Of several who create it at the same time one does, as far as the store has conditional writes.
    Raises StorageError where it cannot be written.
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


def _made(store: Store, path: str, content: bytes) -> bool:
    try:
        store.fs.pipe_file(path, content, mode="create")
    except Exception as error:
        if remote.answer(error) in remote.THERE_ALREADY:
            return False
        raise
    return True
