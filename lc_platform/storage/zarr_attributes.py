"""What a stored cube says of itself, read without its arrays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ATTRIBUTE


def attributes(store: Store, key: str) -> Mapping[str, Any]:
    """Return the attributes of a stored cube, whose arrays are not opened: in a hundredth of the
    time.

    Raises MissingArtefactError where there is none, DamagedArtefactError where it is no cube.
    """
    try:
        text = store.current(key, lambda path: store.content(f"{path}/zarr.json"))
        found: Mapping[str, Any] = json.loads(text)["attributes"][ATTRIBUTE]["attributes"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingArtefactError(
            f"{store.path(key)}: is not there. Materialize it first"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedArtefactError(
            f"{store.path(key)}: is not a cube of this platform, or is damaged ({error}). "
            "Materialize it again",
            key,
        ) from error
    return found
