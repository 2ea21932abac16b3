"""全国地方公共団体コード: five digits and a check digit (総務省の検査数字の算出方法)."""

from __future__ import annotations

WEIGHTS = (6, 5, 4, 3, 2)


def check_digit(code: str) -> int:
    """Return the check digit of the first five digits of ``code``.

    Each digit is multiplied by 6, 5, 4, 3, 2; the digit is the last figure of 11 minus the sum's remainder by 11.
    """
    total = sum(weight * int(digit) for weight, digit in zip(WEIGHTS, code, strict=False))
    return (11 - total % 11) % 10


def checked(code: str) -> str:
    """Return ``code`` when it is six digits with a prefecture of 01–47 and a right check digit; else ValueError."""
    if len(code) != 6 or not code.isascii() or not code.isdigit():
        raise ValueError(f'"{code}": a 団体コード has six digits, such as "435015"')
    if not 1 <= int(code[:2]) <= 47:
        raise ValueError(f'"{code}": the first two digits are a prefecture, 01 to 47')
    if int(code[5]) != check_digit(code):
        raise ValueError(f'"{code}": wrong check digit; the code of {code[:5]} ends in {check_digit(code)}')
    return code
