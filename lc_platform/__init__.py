"""Land-cover maps from satellite time series, orchestrated with Dagster."""
