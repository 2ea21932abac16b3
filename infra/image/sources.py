"""From this machine's apt sources to those of another Debian suite.

Which archive a site uses is its own business: a mirror, a cache or a snapshot. So the image comes from wherever this
machine's own packages come from, and no address of an archive stands in this project.
"""

import pathlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from network import errors

_CODENAMES = frozenset({"bullseye", "bookworm", "trixie", "forky", "sid"})
_ALIASES = frozenset({"stable", "oldstable", "oldoldstable", "testing", "unstable"})
_ENTRY = re.compile(r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<components>.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One archive: the part of an apt source that matters here."""

    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str = ""
    """Path of a keyring, fingerprint, or a key block with its continuation lines; empty: apt's own trusted keys."""


def load_sources(apt: pathlib.Path = pathlib.Path("/etc/apt")) -> tuple[Source, ...]:
    """Read both formats below ``apt``; disabled entries and source packages are left out."""
    found: list[Source] = []
    parts = apt / "sources.list.d"
    for path in (apt / "sources.list", *sorted(parts.glob("*.list"))):
        if path.is_file():
            found += parse_one_line(path.read_text(encoding="utf-8", errors="replace"))
    for path in sorted(parts.glob("*.sources")):
        found += parse_deb822(path.read_text(encoding="utf-8", errors="replace"))
    return tuple(dict.fromkeys(found))


def parse_one_line(text: str) -> list[Source]:
    """Parse ``deb [signed-by=/usr/share/keyrings/x.gpg] URI suite main contrib``, a line an entry."""
    found = []
    for line in text.splitlines():
        match = _ENTRY.fullmatch(line.partition("#")[0].strip())
        if match is None:
            continue
        options = dict(word.partition("=")[::2] for word in (match["options"] or "").split())
        found.append(
            Source(
                uri=match["uri"],
                suite=match["suite"],
                components=tuple(match["components"].split()),
                signed_by=options.get("signed-by", ""),
            )
        )
    return found


def parse_deb822(text: str) -> list[Source]:
    """Parse stanzas of ``Types:``, ``URIs:``, ``Suites:``, ``Components:``, ``Signed-By:``."""
    return [
        Source(
            uri=uri,
            suite=suite,
            components=tuple(stanza.get("components", "").split()),
            signed_by=stanza.get("signed-by", ""),
        )
        for stanza in _stanzas(text)
        if "deb" in stanza.get("types", "").split() and stanza.get("enabled", "yes").lower() not in {"no", "false"}
        for uri in stanza.get("uris", "").split()
        for suite in stanza.get("suites", "").split()
    ]


def sources_for(suite: str, sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the Debian archives among ``sources``, asked for ``suite``, its updates and its security fixes."""
    wanted: list[Source] = []
    for source in sources:
        base, dash, kind = source.suite.rstrip("/").replace("/updates", "-security").partition("-")
        if not _is_debian(source, base) or kind not in {"", "updates", "security"}:
            continue
        wanted.append(
            Source(uri=source.uri, suite=f"{suite}{dash}{kind}", components=("main",), signed_by=source.signed_by)
        )
    kinds = {source.suite for source in wanted}
    if suite not in kinds:
        raise errors.EnvironmentLackError(
            "no Debian archive in /etc/apt/sources.list or /etc/apt/sources.list.d: the guest image is made from the"
            " archive that this machine itself uses; add a line `deb URI SUITE main` for it"
        )
    if f"{suite}-security" not in kinds:
        raise errors.EnvironmentLackError(
            "no Debian security archive in /etc/apt/sources.list or /etc/apt/sources.list.d, and a guest image without"
            " security fixes is not built; add a line `deb URI SUITE-security main` for it"
        )
    return tuple(dict.fromkeys(wanted))


def render(sources: Iterable[Source]) -> str:
    """Return the archives as deb822 text, which takes keys in the file as well as paths of keyrings."""
    stanzas = []
    for source in sources:
        lines = [
            "Types: deb",
            f"URIs: {source.uri}",
            f"Suites: {source.suite}",
            f"Components: {' '.join(source.components)}",
        ]
        if source.signed_by:
            lines.append(f"Signed-By: {source.signed_by}")
        stanzas.append("\n".join(lines) + "\n")
    return "\n".join(stanzas)


def _is_debian(source: Source, base: str) -> bool:
    """Tell Debian's own archive from others that use Debian's code names for their suites."""
    if base not in _CODENAMES | _ALIASES or "main" not in source.components:
        return False
    if source.signed_by.startswith("/"):
        return "debian-archive" in source.signed_by
    return any(part.startswith("debian") for part in source.uri.partition("://")[2].split("/")[1:])


def _stanzas(text: str) -> Iterator[dict[str, str]]:
    """Yield the fields of each stanza, names in lower case; a continuation line keeps its indent and its line break."""
    stanza: dict[str, str] = {}
    name = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, name = {}, ""
        elif line[0] in " \t" and name:
            stanza[name] += "\n" + line
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            stanza[name] = value.strip()
