"""Archives that speak STAC: APIs and static catalogs."""
