"""The simulated archive: imagery, reference and truth without network or account."""

from collections.abc import Mapping

from lc_platform.sources.simulated.archive import SimulatedArchive
from lc_platform.sources.simulated.changes import Changes
from lc_platform.sources.simulated.landsat import SimulatedLandsat
from lc_platform.sources.simulated.reference import LAYER, NO_MISTAKES, ReferenceMistakes
from lc_platform.sources.simulated.sentinel1 import SimulatedSentinel1

COLLECTIONS: Mapping[str, type[SimulatedArchive]] = {
    "sentinel-2-l1c": SimulatedArchive,
    "sentinel-1-grd": SimulatedSentinel1,
    "landsat-ot-l1": SimulatedLandsat,
}
"""The simulated archive of each collection."""

__all__ = [
    "COLLECTIONS",
    "LAYER",
    "NO_MISTAKES",
    "Changes",
    "ReferenceMistakes",
    "SimulatedArchive",
    "SimulatedLandsat",
    "SimulatedSentinel1",
]
