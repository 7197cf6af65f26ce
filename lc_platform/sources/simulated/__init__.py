"""The simulated archive: imagery, reference and truth without network or account."""

from collections.abc import Mapping

from lc_platform.sources.simulated.archive import SimulatedArchive
from lc_platform.sources.simulated.classes import CLASSES, LandCoverClass
from lc_platform.sources.simulated.landsat import SimulatedLandsat
from lc_platform.sources.simulated.reference import LAYER, NO_MISTAKES, ReferenceMistakes
from lc_platform.sources.simulated.sentinel1 import SimulatedSentinel1
from lc_platform.sources.simulated.spectra import BANDS

COLLECTIONS: Mapping[str, type[SimulatedArchive]] = {
    "sentinel-2-l1c": SimulatedArchive,
    "sentinel-1-grd": SimulatedSentinel1,
    "landsat-ot-l1": SimulatedLandsat,
}
"""What flies over the simulated planet."""

__all__ = [
    "BANDS",
    "CLASSES",
    "COLLECTIONS",
    "LAYER",
    "NO_MISTAKES",
    "LandCoverClass",
    "ReferenceMistakes",
    "SimulatedArchive",
    "SimulatedLandsat",
    "SimulatedSentinel1",
]
