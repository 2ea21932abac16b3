"""The reference application is no package of the project: it is imported from the role's files, as on a node."""

from __future__ import annotations

import pathlib
import sys

ROLES = pathlib.Path(__file__).parents[2] / "roles"
sys.path.insert(0, str(ROLES / "application" / "files" / "reference"))
sys.path.insert(0, str(ROLES / "database" / "files"))
