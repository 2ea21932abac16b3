"""Stack files: the typed model, the loader with places, the rules, and the JSON Schema for editors."""

from infra.declaration.findings import DeclarationError, Finding, Path, path_text
from infra.declaration.load import Loaded, load, load_located

__all__ = ["DeclarationError", "Finding", "Loaded", "Path", "load", "load_located", "path_text"]
