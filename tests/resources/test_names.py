from __future__ import annotations

import pytest

from infra.resources import names
from infra.resources.names import VolumeMark


def test_a_name_is_read_as_it_was_written() -> None:
    written = {
        names.root_volume("demo", "juki-ap1", "trixie-0123", "abc"): ("root", "juki-ap1", "trixie-0123-abc"),
        names.data_volume("demo", "juki-ap1", 3): ("data", "juki-ap1", "g3"),
        names.seed_volume("demo", "juki-ap1", "abc"): ("seed", "juki-ap1", "abc"),
        names.image_volume("demo", "trixie-0123", "kernel"): ("image", "trixie-0123", "kernel"),
    }
    for name, (kind, subject, detail) in written.items():
        assert names.volume_mark("demo", name) == VolumeMark(kind=kind, subject=subject, detail=detail)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name",
    [
        "kumiai.demo2.juki-ap1",
        "kumiai.demo2",
        "kumiai",
        "demo",
        "xkumiai.demo.juki-ap1",
        "kumiai-demo.juki-ap1",
        "",
        "vm7",
    ],
)
def test_what_another_stack_or_nobody_owns_is_not_marked(name: str) -> None:
    assert not names.is_marked("demo", name)
    assert names.volume_mark("demo", name) is None


@pytest.mark.parametrize("name", ["kumiai.demo", "kumiai.demo.juki-ap1", "kumiai.demo.image.x.root"])
def test_what_the_stack_owns_is_marked(name: str) -> None:
    assert names.is_marked("demo", name)


def test_a_marked_name_of_another_form_is_no_volume_of_ours() -> None:
    assert names.volume_mark("demo", "kumiai.demo.juki-ap1.backup.g1") is None
