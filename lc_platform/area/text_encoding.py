"""The encoding of the text in a vector file, of which a shapefile often says nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import pyarrow as pa
import pyogrio

WESTERN = "CP1252"
"""Of text that is not UTF-8 where a file says no encoding: Windows' of Western Europe, which has
all letters of ISO-8859-1."""
_UNICODE = "UTF-8"
_BATCH = 65536


def assumed(dataset: str, layer: str) -> str | None:
    """Return the encoding that a layer's text is taken to be in, UTF-8 or `WESTERN`; None where the
    file says it itself.

    Raises pyogrio's errors where the layer cannot be opened, and UnicodeDecodeError where the names
    of its attributes are not in the encoding that it says.
    """
    info = pyogrio.read_info(dataset, layer=layer)
    if info["driver"] != "ESRI Shapefile" or info["encoding"] == _UNICODE:
        return None
    try:
        with pyogrio.open_arrow(
            dataset, layer=layer, read_geometry=False, batch_size=_BATCH, use_pyarrow=True
        ) as (_, reader):
            unicode = all(foreign(batch) is None for batch in reader)
    except UnicodeDecodeError:  # the name of an attribute
        unicode = False
    return _UNICODE if unicode else WESTERN


def options(encoding: str | None) -> Mapping[str, str]:
    """Return what opens a shapefile so that its text is read in an encoding."""
    return {} if encoding is None else {"ENCODING": encoding}


def foreign(batch: pa.RecordBatch) -> str | None:
    """Return the name of an attribute with text that is not UTF-8; None where there is none."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            try:
                column.validate(full=True)
            except pa.ArrowInvalid:
                return str(name)
    return None


def note(dataset: str, encoding: str | None) -> str | None:
    """Return a sentence where text is read in an encoding that was guessed."""
    if encoding != WESTERN:
        return None
    return (
        f"{dataset} says no encoding of its text, which is not UTF-8: it is read as {WESTERN}, of "
        f"Western Europe. If letters are wrong, write the true one, such as 1250, into a file "
        f"{_code_page(dataset)} beside it"
    )


def problem(dataset: str, attribute: str | None) -> str:
    """Return what is wrong with a file whose text is not in the encoding that it says.

    attribute  that has such text; None where it is not known, or the name of one is such text
    """
    what = "an attribute, or its name," if attribute is None else f"the attribute {attribute}"
    if PurePosixPath(dataset).suffix.lower() in (".shp", ".zip", ".dbf", ""):
        return (
            f"{dataset}: {what} has text that is not UTF-8, as {_code_page(dataset)} says that "
            "it is. Write the true encoding into that file, such as 1252 (Western Europe) or 1250 "
            "(Central Europe)"
        )
    return (
        f"{dataset}: {what} has text that is not UTF-8. Save the layer anew in UTF-8, such as by "
        "QGIS"
    )


def _code_page(dataset: str) -> str:
    """Return the name of the file that says the encoding of a shapefile."""
    path = PurePosixPath(dataset)
    return f"{path.stem}.cpg" if path.suffix.lower() in (".shp", ".dbf") else "its .cpg"
