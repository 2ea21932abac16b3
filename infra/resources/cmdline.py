"""A kernel command line in the only shape that survives the provider's own reading of it.

The provider sorts the arguments, writes them, and reads them back into maps: a key that comes again begins a new map,
and bare words gather under ``_``. Any other shape of the same words would look like a change on every run, and a
changed command line replaces the machine.
"""

from __future__ import annotations


def split(text: str) -> tuple[dict[str, str], ...]:
    """Return the maps for ``text`` such as ``root=LABEL=root rw quiet``; an argument without a value is refused."""
    words = text.split()
    empty = [word for word in words if word.endswith("=")]
    if empty:
        raise ValueError(f"{empty[0]}: the provider drops an argument with an empty value")
    bare = [word for word in words if "=" not in word]
    maps: list[dict[str, str]] = []
    current: dict[str, str] = {}
    for word in sorted(word for word in words if "=" in word):
        key, _, value = word.partition("=")
        if key in current:
            maps.append(current)
            current = {}
        current[key] = value
    if current:
        maps.append(current)
    if bare:
        maps.append({"_": " ".join(bare)})
    return tuple(maps)
