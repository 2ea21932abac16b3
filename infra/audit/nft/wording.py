"""JSON of nftables as people read it, near to what ``nft list ruleset`` prints; for messages only."""

from __future__ import annotations

from typing import Any

MOST = 220
"""Characters of a rule in a message."""


def rule(expressions: list[Any]) -> str:
    """Return a rule in one line."""
    words = " ".join(filter(None, (statement(expression) for expression in expressions)))
    return words if len(words) <= MOST else f"{words[: MOST - 3]}..."


def statement(expression: Any) -> str:  # noqa: ANN401, PLR0911 - JSON of nftables
    """Return one statement."""
    match expression:
        case {"match": {"op": op, "left": left, "right": right}}:
            sign = "" if op in {"==", "in"} else f"{op} "
            return f"{value(left)} {sign}{value(right)}"
        case {"vmap": {"key": key, "data": data}}:
            return f"{value(key)} vmap {value(data)}"
        case {"counter": _}:
            return "counter"
        case {"log": {"prefix": prefix}}:
            return f'log prefix "{prefix}"'
        case {"limit": {"rate": rate, "per": per}}:
            return f"limit rate {rate}/{per}"
        case {"jump": {"target": target}} | {"goto": {"target": target}}:
            return f"{next(iter(expression))} {target}"
        case {"snat": {"addr": address}} | {"dnat": {"addr": address}}:
            return f"{next(iter(expression))} to {value(address)}"
        case dict() if len(expression) == 1:
            name, inner = next(iter(expression.items()))
            return name if inner is None or isinstance(inner, dict) else f"{name} {value(inner)}"
    return value(expression)


def value(expression: Any) -> str:  # noqa: ANN401, PLR0911 - JSON of nftables
    """Return what stands on either side of a comparison."""
    match expression:
        case {"payload": {"protocol": protocol, "field": field}}:
            return f"{protocol} {field}"
        case {"meta": {"key": key}}:
            return key if key in {"iif", "oif", "iifname", "oifname"} else f"meta {key}"
        case {"ct": {"key": key}}:
            return f"ct {key}"
        case {"concat": list(parts)}:
            return " . ".join(map(value, parts))
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"range": [low, high]}:
            return f"{value(low)}-{value(high)}"
        case {"set": list(parts)}:
            return "{ " + ", ".join(map(value, parts)) + " }"
        case {"elem": {"val": inner}}:
            return value(inner)
        case {"map": {"key": key, "data": data}}:
            return f"{value(key)} map {value(data)}"
        case {"|": list(parts)} | {"&": list(parts)}:
            return f" {next(iter(expression))} ".join(map(value, parts))
        case [key, inner]:
            return f"{value(key)} : {value(inner)}"
        case {**verdict} if len(verdict) == 1:
            return statement(expression)
    return str(expression)
