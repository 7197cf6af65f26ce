"""The simulated archive: imagery, reference and truth without network or account."""

from lc_platform.sources.simulated.archive import SimulatedArchive
from lc_platform.sources.simulated.classes import CLASSES, LandCoverClass
from lc_platform.sources.simulated.reference import LAYER, NO_MISTAKES, ReferenceMistakes
from lc_platform.sources.simulated.spectra import BANDS

__all__ = [
    "BANDS",
    "CLASSES",
    "LAYER",
    "NO_MISTAKES",
    "LandCoverClass",
    "ReferenceMistakes",
    "SimulatedArchive",
]
