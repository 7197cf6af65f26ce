"""EOPatches, the folders in which eo-learn keeps imagery, masks and maps; read without eo-learn."""
