"""Where the pixels of a grid lie on the simulated planet.

A place is a pair of Web Mercator coordinates (EPSG:3857), so that grids in different CRSs agree
on the landscape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform.eo.polygons import transformer
from lc_platform.sources.protocol import SourceError

RADIUS = 6378137.0
"""Metres; the sphere of Web Mercator."""
_AROUND = 2.0 * np.pi * RADIUS


def to_mercator(crs: str) -> Transformer:
    """Return the transformation from a CRS to places, x before y."""
    return transformer(crs, "EPSG:3857")


def check_one_side(x: NDArray[np.float64], where: str) -> None:
    """Raises SourceError where places lie on both sides of 180 degrees: the landscape does not go
    on there."""
    if np.ptp(x) > RADIUS * np.pi:
        raise SourceError(
            f"{where} crosses 180 degrees, where the simulated planet ends. Choose an area on one "
            "side of it, or a real archive."
        )


def metres_per_unit(crs: CRS) -> float:
    """Return the metres in one unit of a CRS; of a geographic one, along the meridian."""
    if crs.geographic:
        return RADIUS * np.pi / 180.0
    return float(crs.proj.axis_info[0].unit_conversion_factor)


def resolution(geobox: GeoBox) -> float:
    """Return the metres between the pixels of a grid, the finer of the two directions."""
    a = geobox.affine
    return float(min(np.hypot(a.a, a.d), np.hypot(a.b, a.e))) * metres_per_unit(_crs(geobox))


def pixel_centres(geobox: GeoBox) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y of the pixel centres, each (y, x), EPSG:3857 metres to 1/1024.

    Transformed on a lattice fixed in the grid's CRS and interpolated (a centimetre off at most),
    so that a pixel lies at the same place in whatever box it is asked for.
    """
    crs = _crs(geobox)
    rows, columns = geobox.shape
    a = geobox.affine
    column = np.arange(columns) + 0.5
    row = np.arange(rows)[:, None] + 0.5
    east = np.broadcast_to(_snapped(a.c + a.a * column + a.b * row, crs), (rows, columns))
    north = np.broadcast_to(_snapped(a.f + a.d * column + a.e * row, crs), (rows, columns))
    if crs.epsg == 3857:
        return np.ascontiguousarray(east), np.ascontiguousarray(north)
    step = 1.0 / 128.0 if crs.geographic else 640.0
    u, v = east / step, north / step
    i0, j0 = int(np.floor(u.min())), int(np.floor(v.min()))
    i1, j1 = int(np.floor(u.max())) + 2, int(np.floor(v.max())) + 2
    node_x, node_y = to_mercator(str(crs)).transform(
        *np.meshgrid(np.arange(i0, i1) * step, np.arange(j0, j1) * step)
    )
    if not (np.isfinite(node_x).all() and np.isfinite(node_y).all()):
        raise ValueError(
            f"grid {geobox.boundingbox.bbox} in {crs}: lies beyond the simulated planet, which "
            "ends at 85 degrees north and south. Ask for a place between."
        )
    i, j = np.floor(u).astype(np.intp), np.floor(v).astype(np.intp)
    fu, fv = u - i, v - j
    i -= i0
    j -= j0
    ending = np.ptp(node_x) > RADIUS * np.pi  # some nodes are on the other side of 180 degrees
    if ending:
        node_x -= _AROUND * np.rint((node_x - node_x[0, 0]) / _AROUND)
    x, y = _interpolated(node_x, i, j, fu, fv), _interpolated(node_y, i, j, fu, fv)
    if ending:
        x -= _AROUND * np.floor(x / _AROUND + 0.5)
        check_one_side(x, f"grid {geobox.boundingbox.bbox} in {crs}")
    return x, y


def _snapped(values: NDArray[np.float64], crs: CRS) -> NDArray[np.float64]:
    # The same centre computed from two origins differs in its last bits.
    unit = 2.0**-30 if crs.geographic else 2.0**-10
    return np.rint(values / unit) * unit


def _interpolated(
    nodes: NDArray[np.float64],
    i: NDArray[np.intp],
    j: NDArray[np.intp],
    fu: NDArray[np.float64],
    fv: NDArray[np.float64],
) -> NDArray[np.float64]:
    low = nodes[j, i] + fu * (nodes[j, i + 1] - nodes[j, i])
    high = nodes[j + 1, i] + fu * (nodes[j + 1, i + 1] - nodes[j + 1, i])
    out: NDArray[np.float64] = np.rint((low + fv * (high - low)) * 1024.0) / 1024.0
    return out


def _crs(geobox: GeoBox) -> CRS:
    if geobox.crs is None:
        raise ValueError(f"grid {geobox.boundingbox.bbox}: has no CRS. Give the grid one.")
    return geobox.crs
