from __future__ import annotations

import itertools

import pytest

from infra.declaration import lg_code


@pytest.mark.parametrize(
    "code",
    ["010006", "011002", "012041", "112232", "131016", "131041", "131130", "470007", "213063", "435015", "454061"],
)
def test_codes_with_their_check_digit_pass(code: str) -> None:
    assert lg_code.checked(code) == code


@pytest.mark.parametrize(("code", "right"), [("131017", 6), ("131061", 7), ("012040", 1), ("131040", 1), ("131131", 0)])
def test_a_wrong_check_digit_tells_the_right_one(code: str, right: int) -> None:
    with pytest.raises(ValueError, match=f"wrong check digit; the code of {code[:5]} ends in {right}$"):
        lg_code.checked(code)


@pytest.mark.parametrize("code", ["", "13101", "1310166", "13101a", "１３１０１６", "000000", "480002", " 131016"])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match=r"six digits|first two digits"):
        lg_code.checked(code)


def test_the_check_digit_is_the_one_of_the_other_wording_of_the_rule() -> None:
    """A second wording: a sum below 11 is taken from 11; it gives the same digit for every code."""
    examined = 0
    for prefecture, place in itertools.product(range(1, 48), range(1000)):
        code = f"{prefecture:02}{place:03}"
        total = sum(int(digit) * weight for digit, weight in zip(code, (6, 5, 4, 3, 2), strict=True))
        other = (11 - total if total < 11 else 11 - total % 11) % 10
        assert lg_code.check_digit(code) == other
        examined += 1
    assert examined == 47_000
