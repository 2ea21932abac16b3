from __future__ import annotations

import pathlib

import pytest

from infra.declaration import DeclarationError
from infra.declaration.load import parse_located
from tests.declaration import wrong_rules, wrong_stacks
from tests.declaration.good_stack import GOOD

FILE = "stack.yaml"
ALL = (*wrong_stacks.TEXT, *wrong_stacks.SHAPE, *wrong_stacks.REFERENCES, *wrong_rules.ALL)


def errors_of(text: str) -> list[str]:
    with pytest.raises(DeclarationError) as caught:
        parse_located(text.encode(), pathlib.Path(FILE), "stack")
    assert str(caught.value).split("\n") == [str(finding) for finding in caught.value.findings]
    return [str(finding) for finding in caught.value.findings]


def test_the_good_file_is_good() -> None:
    assert len(parse_located(GOOD.encode(), pathlib.Path(FILE), "stack").declaration.services) == 3


@pytest.mark.parametrize("case", ALL, ids=str)
def test_a_wrong_file_says_exactly_what_is_wrong_and_where(case: wrong_stacks.Wrong) -> None:
    assert errors_of(case.file()) == case.expected(FILE)
