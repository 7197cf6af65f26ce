"""Sentinel Hub evalscripts: what the service computes of each pixel.

Every band comes as UINT16, so that an archive of digital numbers is kept as it is and a physical
quantity with as much of it as 16 bits hold:

reflectance             x 10000; Sentinel-2's digital numbers are that already
linear power (radar)    x 10000: -40 dB to +8 dB, brighter points are cut off there
temperature             kelvin x 100
percent, digital number as it is

Angles, which may be negative, are not to be had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sentinelhub.data_collections import DataCollection
from sentinelhub.data_collections_bands import Band, Unit

DATA_MASK = "dataMask"
NO_CLOUD_MASK = 255
"""Value of band CLM where the archive has no cloud mask."""

_FACTORS: Mapping[Unit, int] = {
    Unit.DN: 1,
    Unit.REFLECTANCE: 10000,
    Unit.LINEAR_POWER: 10000,
    Unit.BRIGHTNESS_TEMPERATURE: 100,
    Unit.SURFACE_TEMPERATURE: 100,
    Unit.PERCENT: 1,
}
_SCALES: Mapping[str, float] = {"CLP": 1 / 255, "CLD": 0.01, "SNW": 0.01, "AOT": 0.001}
_CLASSIFICATIONS = {"SCL", "CLM", "BQA", "QA_RADSAT", "SR_QA_AEROSOL", "shadowMask"}


@dataclass(frozen=True, slots=True)
class BandEncoding:
    """The encoding of a band's values as whole numbers from 0 to 65535."""

    name: str
    unit: str
    """As the service names it."""
    factor: int
    """The factor that the evalscript multiplies with."""
    scale: float
    """Of the digital numbers that come: physical value = digital number * scale."""
    classification: bool
    """Never averaged."""


def encodings(collection: DataCollection) -> dict[str, BandEncoding]:
    """Return bands of a collection that can be had as whole numbers, by name."""
    known = [*(collection.bands or ()), *(collection.metabands or ())]
    found = (_encoding(band) for band in known if band.name != DATA_MASK)
    return {encoding.name: encoding for encoding in found if encoding is not None}


def _encoding(band: Band) -> BandEncoding | None:
    # Reflectance that the archive keeps as digital numbers comes as these.
    unit = Unit.DN if Unit.DN in band.units else band.units[0]
    if unit not in _FACTORS or band.name in ("localIncidenceAngle", "scatteringArea"):
        return None
    factor = _FACTORS[unit]
    scale = 1e-4 if Unit.REFLECTANCE in band.units else 1 / factor
    return BandEncoding(
        band.name, unit.value, factor, _SCALES.get(band.name, scale), band.name in _CLASSIFICATIONS
    )


def evalscript(bands: Sequence[BandEncoding]) -> str:
    """Return an evalscript that answers one image: the bands in order, then ``dataMask`` (0 or
    1)."""
    names = [*(band.name for band in bands), DATA_MASK]
    units = [*(band.unit for band in bands), Unit.DN.value]
    values = [
        f"sample.{band.name}" if band.factor == 1 else f"{band.factor} * sample.{band.name}"
        for band in bands
    ]
    return f"""//VERSION=3
function setup() {{
  return {{
    input: [{{
      bands: [{", ".join(f'"{name}"' for name in names)}],
      units: [{", ".join(f'"{unit}"' for unit in units)}]
    }}],
    output: {{ bands: {len(names)}, sampleType: "UINT16" }}
  }};
}}

function evaluatePixel(sample) {{
  return [{", ".join([*values, f"sample.{DATA_MASK}"])}];
}}
"""
