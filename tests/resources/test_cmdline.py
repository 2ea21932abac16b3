from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.image import kernel_arguments
from infra.resources import cmdline


def provider_round_trip(maps: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """What the provider makes of the maps: it writes sorted words and reads them back into maps."""
    words = sorted(value if key == "_" else f"{key}={value}" for entry in maps for key, value in entry.items())
    read: list[dict[str, str]] = []
    current: dict[str, str] = {}
    bare = []
    for word in " ".join(words).split(" "):
        if "=" not in word:
            bare.append(word)
            continue
        key, _, value = word.partition("=")
        if key in current:
            read.append(current)
            current = {}
        current[key] = value
    if current:
        read.append(current)
    if bare:
        read.append({"_": " ".join(bare)})
    return read


KEY = st.text("abcdefgh.", min_size=1, max_size=4)
WORD = st.one_of(KEY, st.tuples(KEY, st.text("xyz=,/1", min_size=1, max_size=5)).map("=".join))


@given(st.lists(WORD, min_size=1, max_size=8).map(" ".join).filter(lambda text: "= " not in f"{text} "))
def test_the_provider_reads_back_what_it_was_given(text: str) -> None:
    maps = cmdline.split(text)
    assert provider_round_trip(maps) == list(maps)
    assert sorted(" ".join(v if k == "_" else f"{k}={v}" for m in maps for k, v in m.items()).split()) == sorted(
        text.split()
    )


@pytest.mark.parametrize("emulated", [True, False])
def test_the_images_own_arguments_survive(emulated: bool) -> None:
    maps = cmdline.split(kernel_arguments(emulated=emulated))
    assert maps
    assert provider_round_trip(maps) == list(maps)


def test_bare_words_gather_under_one_key() -> None:
    assert cmdline.split("root=LABEL=root rw quiet") == ({"root": "LABEL=root"}, {"_": "rw quiet"})


def test_a_key_that_comes_again_begins_a_new_map() -> None:
    assert cmdline.split("console=tty0 console=ttyS0") == ({"console": "tty0"}, {"console": "ttyS0"})


def test_an_empty_value_is_refused() -> None:
    with pytest.raises(ValueError, match="init=: the provider drops"):
        cmdline.split("root=x init=")
