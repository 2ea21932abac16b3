"""``kumiai drill`` as a person calls it, without breaking anything."""

from __future__ import annotations

import pathlib

import typer.testing

import infra.cli
from tests.network.render import demo


def said(stack: pathlib.Path, *arguments: str) -> tuple[int, str]:
    """Return how the command ended and what it printed."""
    words = ["drill", str(stack), *arguments, "--dry-run", "--as-of", demo.AS_OF.isoformat()]
    done = typer.testing.CliRunner().invoke(infra.cli.app, words)
    return done.exit_code, str(done.exception or done.output)


def test_a_dry_run_names_what_would_break_and_how(stack: pathlib.Path) -> None:
    for words, expected in (
        (("gateway",), "would break the one of dc1-gw1a and dc1-gw1b that holds the addresses: power lost"),
        (("gateway", "dc1-gw1b", "--fault", "cut"), "addresses: all cards but the management one discard silently"),
        (("gateway", "--twice"), "would break dc1-gw1a and dc1-gw1b: power lost"),
        (("node", "juki-ap2", "--fault", "freeze-haproxy"), "would break juki-ap2: HAProxy stands still"),
        (("line", "tsuno", "--twice"), "would break tsuno-main and tsuno-backup: cut inside the carrier"),
        (("host", "kvm01"), "lab up, hosts, up and configure with"),
        (("site", "dc1"), "two sites never promote by themselves"),
    ):
        status, text = said(stack, *words)
        assert (status, expected in text) == (0, True), text


def test_a_fault_that_a_kind_does_not_have_is_refused(stack: pathlib.Path) -> None:
    for words, expected in (
        (("gateway", "--fault", "disk"), "--fault disk: gateway has power, cut, freeze-keepalived"),
        (("node", "dc1-gw1a", "--fault", "freeze-haproxy"), "dc1-gw1a: a gateway has no freeze-haproxy"),
        (("sync", "--twice"), "sync: nothing takes the place of it, so nothing can break twice"),
        (("database",), "demo: no replicated database that an office writes to; replicated ones: none"),
    ):
        status, text = said(stack, *words)
        assert status != 0
        assert expected in text
