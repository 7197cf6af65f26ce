"""The configuration file: its schema, its checks, and the one home of every default.

A file is YAML. `load` reads it, refuses what it does not know with the key's path, what the value
should be and the nearest valid name, and gives a frozen `Config`. Relative paths are relative to
the file. `${NAME}` stands for an environment variable and is read when the value is used, so that
no secret is ever part of the configuration.
"""

from lc_platform.catalogue import (
    AUXILIARY_COLLECTIONS,
    AUXILIARY_OF,
    BAND_ALIASES,
    CATALOGS,
    SENTINEL2_BANDS,
    SIMULATED_AUXILIARY_BANDS,
    SIMULATED_CLASSES,
    SOURCES,
    AuxiliaryCollection,
)
from lc_platform.config.aoi import Aoi
from lc_platform.config.areas import Areas
from lc_platform.config.change import Change
from lc_platform.config.clouds import Clouds
from lc_platform.config.environment import expand
from lc_platform.config.features import Features
from lc_platform.config.imagery import (
    AuxiliaryImagery,
    Budget,
    Imagery,
    SimulatedChanges,
    SimulatedMistakes,
    Simulation,
)
from lc_platform.config.loading import (
    DEMO_FOLDER,
    ENVIRONMENT_VARIABLE,
    FILE_NAME,
    current,
    file_here,
    load,
    parse,
)
from lc_platform.config.map import Map
from lc_platform.config.model import (
    LIGHTGBM_DEFAULTS,
    LIGHTGBM_FIXED,
    MODEL_METHOD,
    PARAMETERS,
    lightgbm_parameters,
)
from lc_platform.config.object_store import AZURE, GCS, ObjectStore
from lc_platform.config.operations import Email, Notifying, Operations
from lc_platform.config.problems import ConfigError
from lc_platform.config.reference import LandCoverClass, Reference
from lc_platform.config.sampling import Points, Sampling
from lc_platform.config.season import Season
from lc_platform.config.sections import (
    RUN_PATCHES,
    RUN_PIXELS,
    SPLIT_PATCH_SIZE,
    Config,
    Processing,
)
from lc_platform.config.template import template
from lc_platform.config.validation import Validation
from lc_platform.config.viewer import MAP_PATH, BaseMap, Viewer

__all__ = [
    "AUXILIARY_COLLECTIONS",
    "AUXILIARY_OF",
    "AZURE",
    "BAND_ALIASES",
    "CATALOGS",
    "DEMO_FOLDER",
    "ENVIRONMENT_VARIABLE",
    "FILE_NAME",
    "GCS",
    "LIGHTGBM_DEFAULTS",
    "LIGHTGBM_FIXED",
    "MAP_PATH",
    "MODEL_METHOD",
    "PARAMETERS",
    "RUN_PATCHES",
    "RUN_PIXELS",
    "SENTINEL2_BANDS",
    "SIMULATED_AUXILIARY_BANDS",
    "SIMULATED_CLASSES",
    "SOURCES",
    "SPLIT_PATCH_SIZE",
    "Aoi",
    "Areas",
    "AuxiliaryCollection",
    "AuxiliaryImagery",
    "BaseMap",
    "Budget",
    "Change",
    "Clouds",
    "Config",
    "ConfigError",
    "Email",
    "Features",
    "Imagery",
    "LandCoverClass",
    "Map",
    "Notifying",
    "ObjectStore",
    "Operations",
    "Points",
    "Processing",
    "Reference",
    "Sampling",
    "Season",
    "SimulatedChanges",
    "SimulatedMistakes",
    "Simulation",
    "Validation",
    "Viewer",
    "current",
    "expand",
    "file_here",
    "lightgbm_parameters",
    "load",
    "parse",
    "template",
]
