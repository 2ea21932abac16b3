"""Measurements against the targets: ``make bench``. Nothing here fails because a machine is slow."""
