"""Rows of tables as JSON has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def times(index: pd.Index[Any]) -> list[str]:
    """Return times of UTC as ISO 8601 has them."""
    return [f"{one}Z" for one in pd.DatetimeIndex(index).strftime("%Y-%m-%dT%H:%M:%S")]


def numbers(table: pd.DataFrame) -> list[list[float | None]]:
    """Return float32 numbers row by row, to the digits that they are stored with; None where
    missing."""
    rows = table.to_numpy(np.float32)
    return [[float(str(one)) if np.isfinite(one) else None for one in row] for row in rows]


def known(column: pd.Series[Any]) -> list[Any]:
    """Return the values of a column; None where missing."""
    missing = column.isna().to_numpy(bool)
    return [None if no else one for one, no in zip(column.tolist(), missing, strict=True)]
