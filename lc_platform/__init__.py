"""Land-cover maps from satellite time series, orchestrated with Dagster."""

from lc_platform.runtime import cores

# Before any library is loaded that reads it, whatever starts the process.
cores.wait_passively()
