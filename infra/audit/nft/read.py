"""``nft -n -j list ruleset`` (libnftables-json(5)) to a :class:`~infra.audit.nft.model.Ruleset`.

Whatever cannot be judged becomes a problem with its place, and is taken for "may be, may be not".
"""

from __future__ import annotations

import collections
import datetime
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from infra.audit import packets
from infra.audit.nft import keys, wording
from infra.audit.nft.keys import CannotJudgeError, Cards, Key
from infra.audit.nft.model import (
    HOOKS,
    ROUTED,
    Chain,
    Element,
    Match,
    Problem,
    Rewrite,
    Rule,
    Ruleset,
    Sometimes,
    Statement,
    Translation,
    Unknown,
    Verdict,
    VerdictMap,
)
from infra.audit.packets import ALL, FAMILY, IPV4, IPV6, NONE, PROTOCOL, Box, Interval

_DORMANT = re.compile(r"^table (\S+ \S+) \{.*\n\tflags [^\n]*dormant", re.MULTILINE)
_SILENT = frozenset({"counter", "log", "comment", "last"})
"""Statements that change nothing about a packet."""
_HARMLESS = frozenset({"metainfo", "table", "chain", "rule", "set", "map", "element", "counter", "limit", "quota"})
_TIMES = frozenset({"time", "day", "hour"})
_OF_ELEMENTS = frozenset({"val", "comment", "counter"})
"""What an element may carry and still match always."""
MOST_BOXES = 500_000
"""Boxes of one match; more is an attack on the auditor's memory."""
_FAMILY_BOX: Mapping[str, Box] = {"ip": {FAMILY: (IPV4, IPV4)}, "ip6": {FAMILY: (IPV6, IPV6)}, "inet": {}}


class UnreadableError(Exception):
    """The text is no rule set in nftables' JSON."""


def asleep(terse: str) -> tuple[str, ...]:
    """Return the dormant tables, as ``family name``, of what ``nft -t list ruleset`` prints.

    nftables 1.0.6 does not say so in JSON.
    """
    return tuple(_DORMANT.findall(terse))


def read(text: str, cards: Cards, now: datetime.datetime | None = None) -> Ruleset:
    """Return the rule set that ``text`` lists, for a machine with ``cards``; raise UnreadableError.

    ``now`` decides what is compared with the time, which must be listed in UTC; without it, that may match or not.
    """
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise UnreadableError(f"not JSON: {e}") from None
    match listed:
        case {"nftables": list(objects)}:
            try:
                return _Reader(objects, cards, now).ruleset()
            except (AttributeError, IndexError, KeyError, TypeError, ValueError, RecursionError) as e:
                raise UnreadableError(f"not as nftables lists rules: {type(e).__name__} {e}") from None
    raise UnreadableError("not a list of nftables' objects")


class _Reader:
    """One reading; problems gather here."""

    def __init__(self, objects: list[Any], cards: Cards, now: datetime.datetime | None) -> None:
        self._cards, self._now = cards, now
        self._problems: list[Problem] = []
        self._notes: list[Problem] = []
        self._sets: dict[tuple[str, str, str], Any] = {}
        self._dynamic: set[tuple[str, str, str]] = set()
        self._matches: dict[tuple[Any, ...], Match] = {}
        self._by_kind: dict[str, list[dict[str, Any]]] = collections.defaultdict(list)
        for listed in objects:
            if not isinstance(listed, dict) or len(listed) != 1:
                raise UnreadableError(f"not an object of nftables: {keys.short(listed)}")
            kind, inner = next(iter(listed.items()))
            if not isinstance(inner, dict):
                raise UnreadableError(f"not an object of nftables: {keys.short(listed)}")
            self._by_kind[kind].append(inner)

    def ruleset(self) -> Ruleset:  # noqa: PLR0912 - one branch a kind of object
        """Return everything."""
        for kind, found in self._by_kind.items():
            if kind not in _HARMLESS:
                for one in found:
                    self._problem(_place(one, "name"), f"{kind}: not among what can be judged")
        asleep: set[tuple[str, str]] = set()
        for table in self._by_kind["table"]:
            flags = table.get("flags", ())
            if "dormant" in flags:  # a list, or one word
                asleep.add((str(table.get("family")), str(table.get("name"))))
                self._note(_place(table, "name"), "the table is dormant: its rules are not in force")
        for kind in ("set", "map"):
            for one in self._by_kind[kind]:
                self._sets[_name_of(one, "name")] = one
        for one in self._by_kind["element"]:  # only where a listing was put together by hand
            self._problem(_place(one, "name"), "elements outside of their set")
        for rule in self._by_kind["rule"]:
            for expression in _expressions(rule):
                match expression:
                    case {"set": {"set": str(name)}} | {"map": {"set": str(name)}} if name.startswith("@"):
                        self._dynamic.add((rule.get("family", ""), rule.get("table", ""), name[1:]))
        rules: dict[tuple[str, str, str], list[dict[str, Any]]] = collections.defaultdict(list)
        for rule in self._by_kind["rule"]:
            rules[_name_of(rule, "chain")].append(rule)
        chains: dict[tuple[str, str, str], Chain] = {}
        for listed in self._by_kind["chain"]:
            chain = _name_of(listed, "name")
            place = " ".join(chain)
            if chain[:2] in asleep:
                continue
            if chain[0] not in ROUTED:
                if chain[0] == "netdev":
                    self._problem(place, "chains at a card (ingress, egress) are not judged")
                else:
                    self._note(place, f"family {chain[0]}: sees no routed packet, and protects nothing here")
                continue
            if chain in chains:
                raise UnreadableError(f"{place}: listed twice")
            chains[chain] = self._chain(listed, chain, rules.pop(chain, []))
        for owner in rules:
            if owner[0] in ROUTED and owner[:2] not in asleep and owner not in chains:
                raise UnreadableError(f"{' '.join(owner)}: a rule of a chain that is not listed")
        self._check_targets(chains)
        elements = sum(len(one.get("elem", ())) for one in self._sets.values())
        return Ruleset(
            chains=chains,
            problems=tuple(dict.fromkeys(self._problems)),
            notes=tuple(dict.fromkeys(self._notes)),
            rules=sum(len(chain.rules) for chain in chains.values()) + elements,
        )

    def _check_targets(self, chains: Mapping[tuple[str, str, str], Chain]) -> None:
        """Refuse jumps to nowhere and in circles: the kernel would have, so the listing is not whole."""
        targets: dict[tuple[str, str, str], set[tuple[str, str, str]]] = {}
        for name, chain in chains.items():
            targets[name] = set()
            for verdict in _verdicts(chain):
                if verdict.target is not None:
                    to = (name[0], name[1], verdict.target)
                    if to not in chains:
                        raise UnreadableError(f"{' '.join(name)}: {verdict.kind} to {to[2]}, which is not listed")
                    targets[name].add(to)
        left = dict(targets)
        while left:
            ends = [name for name, to in left.items() if not to & left.keys()]
            if not ends:
                raise UnreadableError(f"chains that jump in a circle: {', '.join(' '.join(name) for name in left)}")
            for name in ends:
                del left[name]

    def _chain(self, found: dict[str, Any], name: tuple[str, str, str], rules: list[dict[str, Any]]) -> Chain:
        place = " ".join(name)
        hook, kind, policy = found.get("hook"), found.get("type", "filter"), found.get("policy", "accept")
        priority = found.get("prio", 0)
        if hook is not None and hook not in HOOKS:
            self._problem(place, f"hook {hook}: not among what can be judged")
            hook = None
        if kind not in {"filter", "nat"} and hook is not None:
            self._problem(place, f"a chain of type {kind}: not among what can be judged")
            kind = "filter"
        if policy not in {"accept", "drop"} or not isinstance(priority, int):
            raise UnreadableError(f"{place}: policy {policy}, priority {priority}")
        return Chain(
            family=name[0],
            table=name[1],
            name=name[2],
            rules=tuple(self._rule(rule, name, number) for number, rule in enumerate(rules, 1)),
            hook=hook,
            kind=kind,
            priority=priority,
            policy=policy,
        )

    def _rule(self, rule: dict[str, Any], chain: tuple[str, str, str], number: int) -> Rule:
        expressions = _expressions(rule)
        text, place = wording.rule(expressions), f"{' '.join(chain)} {number}"
        comment = rule.get("comment")
        statements: list[Statement] = []
        for expression in expressions:
            if _time_of(expression) and self._decided(expression) is False:
                statements = [Match(surely=NONE, maybe=NONE)]  # whatever else it says: it is not the time
                break
            try:
                statements += self._statement(expression, chain)
            except CannotJudgeError as e:
                self._problem(f"{place}: {text}", str(e))
                statements.append(_without_knowing(expression))
        return Rule(
            chain=" ".join(chain),
            number=number,
            text=text,
            statements=tuple(statements),
            comment=comment if isinstance(comment, str) else None,
        )

    def _statement(  # noqa: PLR0912 - one branch a statement
        self,
        expression: Any,  # noqa: ANN401
        chain: tuple[str, str, str],
    ) -> Iterator[Statement]:
        match expression:
            case {"match": {"op": str(op), "left": left, "right": right}}:
                yield self._match(op, left, right, chain)
            case {"accept": _} | {"drop": _} | {"return": _} | {"continue": _}:
                yield Verdict(kind=next(iter(expression)))
            case {"reject": _}:
                yield Verdict(kind="drop")
            case {"jump": {"target": str(target)}}:
                yield Verdict(kind="jump", target=target)
            case {"goto": {"target": str(target)}}:
                yield Verdict(kind="goto", target=target)
            case {"vmap": {"key": left, "data": data}}:
                yield self._verdict_map(left, data, chain)
            case {"limit": _}:
                yield Sometimes()
            case {"snat": dict(how)}:
                yield self._translation("source", how, chain)
            case {"dnat": dict(how)}:
                yield self._translation("destination", how, chain)
            case {"masquerade": how}:
                yield self._own_address("source", how)
            case {"redirect": how}:
                yield self._own_address("destination", how)
            case {"mangle": {"key": {"tcp option": {"name": "maxseg"}}}}:
                pass  # how long a segment may be; nothing here looks at it
            case dict() if len(expression) == 1 and next(iter(expression)) in _SILENT:
                pass
            case _:
                raise CannotJudgeError(f"{wording.statement(expression)}: not among what can be judged")

    # matches

    def _match(self, op: str, left: Any, right: Any, chain: tuple[str, str, str]) -> Match:  # noqa: ANN401
        if isinstance(left, dict) and "meta" in left and left["meta"].get("key") in _TIMES:
            decided = self._decided({"match": {"op": op, "left": left, "right": right}})
            return Match(surely=ALL if decided else NONE, maybe=ALL)  # judged: passes at some time
        known = (op, json.dumps(left), json.dumps(right), chain[:2])
        found = self._matches.get(known)
        if found is None:
            found = self._matches[known] = self._new_match(op, left, right, chain)
        return found

    def _decided(self, expression: Any) -> bool | None:  # noqa: ANN401
        """Say how a comparison with the time ends now; None where that is not known."""
        match expression:
            case {"match": {"op": str(op), "left": {"meta": {"key": "time"}}, "right": str(right)}} if self._now:
                try:
                    then = datetime.datetime.fromisoformat(right).replace(tzinfo=datetime.UTC)
                except ValueError:
                    return None
                now = self._now
                return {"<": now < then, "<=": now <= then, ">": now > then, ">=": now >= then}.get(op)
        return None

    def _new_match(self, op: str, left: Any, right: Any, chain: tuple[str, str, str]) -> Match:  # noqa: ANN401
        match left:
            case {"concat": list(parts)}:
                of = [keys.key(part) for part in parts]
            case {"&": [inner, mask]}:
                return self._masked(keys.key(inner), op, mask, right)
            case _:
                of = [keys.key(left)]
        if op in {"in", "!", "<", ">", "<=", ">="}:
            return _whole(of[0], _ordered(of[0], op, right, self._cards))
        if op not in {"==", "!="}:
            raise CannotJudgeError(f"{op}: no comparison that can be judged")
        if len(of) == 1 and isinstance(right, dict) and "|" in right:
            wanted = keys.bits(right)
            inside = keys.joined(field for value, field in keys.packed(of[0]) if (value == wanted) == (op == "=="))
            return _whole(of[0], inside)
        fixed, elements = self._elements(right, chain)
        listed = [self._element(of, element) for element in elements]
        return _either(of, listed, negated=op == "!=", fixed=fixed)

    def _masked(self, of: Key, op: str, mask: Any, right: Any) -> Match:  # noqa: ANN401
        if of.field in {packets.SOURCE, packets.DESTINATION}:
            raise CannotJudgeError(f"{of.text}: single bits of an address are not judged")
        bits, wanted = keys.bits(mask), keys.bits(right)
        if op not in {"==", "!="}:
            raise CannotJudgeError(f"{op}: no comparison of bits that can be judged")
        inside = keys.joined(f for value, f in keys.packed(of) if (value & bits == wanted) == (op == "=="))
        return _whole(of, inside)

    def _elements(self, right: Any, chain: tuple[str, str, str]) -> tuple[bool, list[Any]]:  # noqa: ANN401
        """Return whether nothing but a new load of rules changes the elements, and the elements."""
        match right:
            case str() if right.startswith("@"):
                name = (chain[0], chain[1], right[1:])
                if name not in self._sets:
                    raise UnreadableError(f"{' '.join(chain)}: {right} is not listed")
                found = self._sets[name]
                elements = found.get("elem", [])
                if not isinstance(elements, list):
                    raise UnreadableError(f"{' '.join(name)}: its elements are no list")
                flags = found.get("flags", ())
                timed = any({"timeout", "expires"} & _properties(element).keys() for element in elements)
                if name in self._dynamic or timed or "timeout" in flags or "dynamic" in flags or "timeout" in found:
                    self._problem(" ".join(name), "a set whose elements come and go by themselves")
                    return False, elements
                limited = any(set(statement) - _SILENT for statement in found.get("stmt", ()))
                return not (limited or any(_properties(e).keys() - _OF_ELEMENTS for e in elements)), elements
            case {"set": list(elements)}:
                return True, elements
        return True, [right]

    def _element(self, of: list[Key], element: Any) -> Element:  # noqa: ANN401
        properties = _properties(element)
        inner = properties.get("val", element)
        parts = inner["concat"] if len(of) > 1 and isinstance(inner, dict) and "concat" in inner else [inner]
        if len(parts) != len(of):
            raise CannotJudgeError(f"{keys.short(inner)}: not as many parts as are compared")
        spans = [keys.values(key, part, self._cards) for key, part in zip(of, parts, strict=True)]
        text = wording.value(inner)
        comment = properties.get("comment")
        return Element(
            text=f'{text} "{comment}"' if comment else text,
            boxes=tuple(_boxes(of, spans)),
        )

    def _verdict_map(self, left: Any, data: Any, chain: tuple[str, str, str]) -> VerdictMap:  # noqa: ANN401
        of = [keys.key(part) for part in left["concat"]] if _is(left, "concat") else [keys.key(left)]
        fixed, elements = self._elements(data, chain)
        by_verdict: dict[Verdict, list[Element]] = {}
        for pair in elements:
            match pair:
                case [element, dict(verdict)] if len(verdict) == 1:
                    (found,) = self._statement(verdict, chain)
                    if not isinstance(found, Verdict):
                        raise CannotJudgeError(f"{keys.short(verdict)}: no verdict")
                    by_verdict.setdefault(found, []).append(self._element(of, element))
                case _:
                    raise CannotJudgeError(f"{keys.short(pair)}: not a key with its verdict")
        return VerdictMap(
            cases=tuple(
                (_either(of, listed, negated=False, fixed=fixed), verdict) for verdict, listed in by_verdict.items()
            )
        )

    # translation

    def _translation(self, kind: str, how: dict[str, Any], chain: tuple[str, str, str]) -> Translation:
        flags = how.get("flags", ())
        if set([flags] if isinstance(flags, str) else flags) - {"netmap", "random", "fully-random", "persistent"}:
            raise CannotJudgeError(f"{keys.short(how)}: flags that are not judged")
        family = {"ip": IPV4, "ip6": IPV6}.get(how.get("family", chain[0]))
        if family is None:
            raise CannotJudgeError(f"{keys.short(how)}: a translation without its family")
        side = "saddr" if kind == "source" else "daddr"
        of = keys.key({"payload": {"protocol": "ip" if family == IPV4 else "ip6", "field": side}})
        prefixed = "netmap" in ([flags] if isinstance(flags, str) else flags)
        ports = None
        if "port" in how:
            port = keys.key({"payload": {"protocol": "th", "field": "dport"}})
            ((low, high),) = keys.values(port, how["port"], self._cards)
            ports = (low, high)
        rewrites: list[Rewrite] = []
        match how.get("addr"):
            case {"map": {"key": left, "data": data}}:
                rewrites += self._mapped(of, left, data, chain, prefixed=prefixed)
            case None:
                rewrites.append(Rewrite(match=_family(family), first=None, last=None, ports=ports))
            case address:
                if prefixed:
                    raise CannotJudgeError(f"{keys.short(how)}: a prefix without the map that says from which")
                ((low, high),) = keys.values(of, address, self._cards)
                rewrites.append(Rewrite(match=_family(family), first=low, last=high, ports=ports))
        return Translation(kind="source" if kind == "source" else "destination", rewrites=tuple(rewrites))

    def _mapped(
        self,
        to: Key,
        left: Any,  # noqa: ANN401
        data: Any,  # noqa: ANN401
        chain: tuple[str, str, str],
        *,
        prefixed: bool,
    ) -> Iterator[Rewrite]:
        of = [keys.key(part) for part in left["concat"]] if _is(left, "concat") else [keys.key(left)]
        fixed, elements = self._elements(data, chain)
        if not fixed:
            raise CannotJudgeError("a translation by a map whose elements come and go")
        for pair in elements:
            match pair:
                case [element, new]:
                    listed = self._element(of, element)
                    ports = None
                    if _is(new, "concat"):
                        new, port = new["concat"]
                        ((low, high),) = keys.values(_ANY_PORT, port, self._cards)
                        ports = (low, high)
                    ((first, last),) = keys.values(to, new, self._cards)
                    compared = any(part.field == to.field for part in of)
                    old = listed.boxes[0].get(to.field) if prefixed and compared and listed.boxes else None
                    if prefixed and (old is None or old[1] - old[0] != last - first):
                        raise CannotJudgeError(f"{wording.value(pair)}: prefixes of different length")
                    match = _either(of, [listed], negated=False, fixed=True)
                    yield Rewrite(match=match, first=first, last=last, ports=ports, from_prefix=old)
                case _:
                    raise CannotJudgeError(f"{keys.short(pair)}: not an address with its new one")

    def _own_address(self, kind: str, how: Any) -> Translation:  # noqa: ANN401
        ports = None
        if isinstance(how, dict) and "port" in how:
            ((low, high),) = keys.values(_ANY_PORT, how["port"], self._cards)
            ports = (low, high)
        everything = Match(surely=ALL, maybe=ALL)
        return Translation(
            kind="source" if kind == "source" else "destination",
            rewrites=(Rewrite(match=everything, first=None, last=None, ports=ports),),
            own_address=True,
        )

    def _problem(self, place: str, reason: str) -> None:
        self._problems.append(Problem(place=place, reason=reason))

    def _note(self, place: str, reason: str) -> None:
        self._notes.append(Problem(place=place, reason=reason))


_ANY_PORT = keys.key({"payload": {"protocol": "th", "field": "dport"}})


def _boxes(of: list[Key], spans: list[list[Interval]]) -> Iterator[Box]:
    """Yield every combination, with what the keys imply; nothing where two keys exclude each other."""
    implied = _implied(of)
    if implied is None:
        return
    for chosen in itertools.product(*spans):
        found = dict(implied)
        for key, (low, high) in zip(of, chosen, strict=True):
            before = found.get(key.field, (low, high))
            found[key.field] = (max(low, before[0]), min(high, before[1]))
            if found[key.field][0] > found[key.field][1]:
                break
        else:
            yield found


def _implied(of: Iterable[Key]) -> dict[int, Interval] | None:
    found: dict[int, Interval] = {}
    for key in of:
        for field, (low, high) in key.implied.items():
            before = found.get(field, (low, high))
            found[field] = (max(low, before[0]), min(high, before[1]))
            if found[field][0] > found[field][1]:
                return None
    return found


def _whole(of: Key, intervals: Iterable[Interval]) -> Match:
    """Return the match of one key with intervals."""
    return _either([of], [Element(text="", boxes=tuple(_boxes([of], [list(intervals)])))], negated=False, fixed=True)


def _either(of: list[Key], listed: list[Element], *, negated: bool, fixed: bool) -> Match:
    """Return the match of any of ``listed``, or of none of them."""
    every = [box for element in listed for box in element.boxes]
    if len(every) > MOST_BOXES:
        raise CannotJudgeError(f"more than {MOST_BOXES} combinations of values")
    implied = _implied(of)
    if implied is None:
        return Match(surely=NONE, maybe=NONE)
    readable = packets.box(implied)
    found = packets.boxes(every)
    if negated:
        found = readable - found
    surely = maybe = found
    if any(key.any_transport for key in of):
        with_ports = packets.boxes([{PROTOCOL: (p, p)} for p in keys.PORT_PROTOCOLS])
        surely, maybe = found & with_ports, (found & with_ports) | (readable - with_ports)
    for key in of:
        if key.unsure_values:
            doubtful = packets.boxes([{**key.implied, key.field: (v, v)} for v in sorted(key.unsure_values)])
            surely, maybe = surely - doubtful, maybe | (readable & doubtful)
    if not fixed:
        surely, maybe = NONE, readable
    return Match(surely=surely, maybe=maybe, elements=() if negated else tuple(listed))


def _ordered(of: Key, op: str, right: Any, cards: Cards) -> list[Interval]:  # noqa: ANN401
    if op in {"in", "!"}:
        wanted = keys.bits(right)
        return keys.joined(field for value, field in keys.packed(of) if bool(value & wanted) == (op == "in"))
    if of.codes is not None or of.field in {packets.INCOMING, packets.OUTGOING}:
        raise CannotJudgeError(f"{of.text} {op}: has no order")
    ((low, high),) = keys.values(of, right, cards)
    if low != high:
        raise CannotJudgeError(f"{of.text} {op}: compared with more than one value")
    first, last = {"<": (0, low - 1), "<=": (0, low), ">": (low + 1, of.last), ">=": (low, of.last)}[op]
    return [(first, last)] if first <= last else []


def _family(family: int) -> Match:
    found = packets.box({FAMILY: (family, family)})
    return Match(surely=found, maybe=found)


def _without_knowing(expression: Any) -> Statement:  # noqa: ANN401
    if _is(expression, "match"):
        return Match(surely=NONE, maybe=ALL)
    return Unknown(text=wording.statement(expression))


def _time_of(expression: Any) -> bool:  # noqa: ANN401
    match expression:
        case {"match": {"left": {"meta": {"key": "time"}}}}:
            return True
    return False


def _is(expression: Any, kind: str) -> bool:  # noqa: ANN401
    return isinstance(expression, dict) and set(expression) == {kind}


def _properties(element: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return what an element says beside its value; of a map, of its key."""
    if isinstance(element, list) and element:
        element = element[0]
    if isinstance(element, dict) and isinstance(element.get("elem"), dict):
        return dict(element["elem"])
    return {}


def _expressions(rule: dict[str, Any]) -> list[Any]:
    found = rule.get("expr", [])
    if not isinstance(found, list):
        raise UnreadableError(f"{_place(rule, 'chain')}: a rule without its expressions")
    return found


def _verdicts(chain: Chain) -> Iterator[Verdict]:
    for rule in chain.rules:
        for statement in rule.statements:
            if isinstance(statement, Verdict):
                yield statement
            elif isinstance(statement, VerdictMap):
                yield from (verdict for _, verdict in statement.cases)


def _name_of(found: dict[str, Any], key: str) -> tuple[str, str, str]:
    names = (found.get("family"), found.get("table"), found.get(key))
    if not all(isinstance(name, str) for name in names):
        raise UnreadableError(f"not an object of nftables: {keys.short(found)}")
    return (str(names[0]), str(names[1]), str(names[2]))


def _place(found: dict[str, Any], key: str) -> str:
    return " ".join(str(found[part]) for part in ("family", "table", key) if part in found)
