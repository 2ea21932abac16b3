"""The image comes from this machine's own archive, whatever that is, and from no other one."""

import pathlib

import pytest

from infra.image import sources
from infra.image.sources import Source
from network import errors

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def source(
    suite: str, uri: str = "http://mirror.example/debian", components: str = "main", signed_by: str = ""
) -> Source:
    return Source(uri=uri, suite=suite, components=tuple(components.split()), signed_by=signed_by)


BASE = source("bookworm")
SECURITY = source("bookworm-security", "http://mirror.example/debian-security")


def test_one_line_format() -> None:
    text = (
        "# deb http://off.example/debian bookworm main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        f"deb [arch=amd64 signed-by={KEYRING}] http://mirror.example/debian bookworm main contrib # ours\n"
        "deb http://mirror.example/debian bookworm-updates main\n"
    )
    assert sources.parse_one_line(text) == [
        source("bookworm", components="main contrib", signed_by=KEYRING),
        source("bookworm-updates"),
    ]


def test_deb822_format() -> None:
    text = (
        "Types: deb deb-src\n"
        "# a comment inside\n"
        "URIs: http://mirror.example/debian\n"
        "Suites: bookworm bookworm-updates\n"
        "Components: main\n"
        f"Signed-By: {KEYRING}\n"
        "\n"
        "Types: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n"
        "\n"
        "Types: deb-src\nURIs: http://src.example/debian\nSuites: bookworm\nComponents: main\n"
    )
    assert sources.parse_deb822(text) == [
        source("bookworm", signed_by=KEYRING),
        source("bookworm-updates", signed_by=KEYRING),
    ]


def test_a_key_inside_the_file_keeps_its_lines() -> None:
    stanza = (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----\n"
    )
    (parsed,) = sources.parse_deb822(stanza)
    assert sources.parse_deb822(sources.render([parsed])) == [parsed]
    assert "\n .\n mQINBF\n" in parsed.signed_by


def test_both_formats_are_read_from_the_folder(tmp_path: pathlib.Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian bookworm main\n")
    (parts / "b.list").write_text("deb http://b.example/debian bookworm main\n")
    (parts / "c.sources").write_text("Types: deb\nURIs: http://c.example/debian\nSuites: bookworm\nComponents: main\n")
    (parts / "d.list.save").write_text("deb http://d.example/debian bookworm main\n")
    assert [found.uri[7] for found in sources.load_sources(tmp_path)] == ["a", "b", "c"]


def test_suite_updates_and_security_are_swapped_and_the_rest_is_left_out() -> None:
    own = [
        BASE,
        source("bookworm-updates"),
        SECURITY,
        source("bookworm-backports"),
        source("bookworm", components="contrib non-free"),
        source("bookworm", "http://tools.example/apt", signed_by="/usr/share/keyrings/tools.gpg"),
        source("bookworm", "http://database.example/pub/repos/apt"),
        source("nodistro", "http://other.example/debian"),
    ]
    assert [(found.uri, found.suite) for found in sources.sources_for("trixie", own)] == [
        ("http://mirror.example/debian", "trixie"),
        ("http://mirror.example/debian", "trixie-updates"),
        ("http://mirror.example/debian-security", "trixie-security"),
    ]


def test_debians_keyring_marks_a_mirror_under_any_path() -> None:
    mirror = [
        source("stable", "http://cache.example/remote", signed_by=KEYRING),
        source("stable-security", "http://cache.example/remote-s", signed_by=KEYRING),
    ]
    assert [found.suite for found in sources.sources_for("trixie", mirror)] == ["trixie", "trixie-security"]


@pytest.mark.parametrize(
    ("own", "lack"),
    [([], "no Debian archive"), ([SECURITY], "no Debian archive"), ([BASE], "no Debian security archive")],
)
def test_a_missing_archive_is_named(own: list[Source], lack: str) -> None:
    with pytest.raises(errors.EnvironmentLackError, match=lack):
        sources.sources_for("trixie", own)
