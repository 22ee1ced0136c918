"""People, roles, patients, and who may see whom; signing in."""
