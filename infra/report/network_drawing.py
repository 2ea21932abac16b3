"""Where everything lies in the drawing of a site: members in rows, zones in columns, wires in between.

A row is a member: its offices, its lines, the pair of gateways that serves it, and what it has of its own in each zone.
What serves several members stands in the top row. A wire of a zone runs in a lane of its own and ends at that zone's
box, so that no wire seems to lead from one zone into another. Units are those of the SVG's view box.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterable, Sequence

from infra.plan.model import Plan
from infra.report import words
from infra.report.words import Text
from network.model import Line, ServiceEndpoint

_ZONES = tuple(words.ZONES)
_TOP, _MARGIN, _GAP = 74, 16, 10
_OFFICE_W, _LINE_W, _GATEWAY_W, _BUS_W, _ZONE_W = 152, 168, 92, 34, 178
_LINE_H = 15
_LANES = {"mynumber": 3, "lgwan": 6, "internet": 9}
"""Height of each zone's lane above the boxes of a row."""
_LANE_ROOM = 12
_MOST_LINES = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A line of text."""

    x: float
    y: float
    text: Text
    style: str = ""
    anchor: str = "start"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle with its lines of text, and all of it in words for a pointer that rests on it."""

    x: float
    y: float
    width: float
    height: float
    style: str
    labels: tuple[Label, ...]
    title: Text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A line through points."""

    points: tuple[tuple[float, float], ...]
    style: str
    dots: tuple[tuple[float, float], ...]
    """Where it is attached."""

    @property
    def path(self) -> str:
        """The points as SVG writes them."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """One site."""

    site: str
    width: float
    height: float
    frames: tuple[Box, ...]
    """Behind everything: the site, its zones, its gateways. A wire crosses a gateway that it has nothing to do with."""
    wires: tuple[Wire, ...]
    boxes: tuple[Box, ...]
    labels: tuple[Label, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class _Pair:
    """A pair of gateways."""

    name: str
    nodes: tuple[str, ...]
    members: tuple[str, ...]
    zones: tuple[str, ...]


def draw(plan: Plan) -> tuple[Drawing, ...]:
    """Return a drawing for each site with machines."""
    return tuple(_Site(plan, site).drawing() for site in plan.sites if any(n.site == site for n in plan.nodes))


class _Site:
    def __init__(self, plan: Plan, site: str) -> None:
        self._plan, self._network, self._site = plan, plan.network, site
        self._endpoints = [endpoint for endpoint in plan.network.endpoints if endpoint.site == site]
        self._pairs = self._gateway_pairs()
        self._zones = [zone for zone in _ZONES if any(e.zone == zone for e in self._endpoints)]
        self._members = self._ordered_members()
        self._columns = self._gateway_columns()
        self._boxes: list[Box] = []
        self._gateway_boxes: list[Box] = []
        self._wires: list[Wire] = []
        self._labels: list[Label] = []
        self._gateway_x = _MARGIN + _OFFICE_W + _LINE_W
        self._bus_x = self._gateway_x + max(len(self._columns), 1) * (_GATEWAY_W + _GAP)
        self._zone_x = {zone: self._bus_x + _BUS_W + i * (_ZONE_W + _GAP) for i, zone in enumerate(self._zones)}

    def drawing(self) -> Drawing:
        """Place everything from top to bottom."""
        y = float(_TOP)
        shared = {zone: [e for e in self._endpoints if e.zone == zone and e.member is None] for zone in self._zones}
        shared_y = y
        if any(shared.values()):
            height = self._row_height(len(found) for found in shared.values())
            for zone, endpoints in shared.items():
                if endpoints:
                    self._zone_box(zone, endpoints, y, height, "shared")
            y += height + _GAP
        spans: dict[str, tuple[float, float]] = {}
        for member in self._members:
            own = {zone: [e for e in self._endpoints if e.zone == zone and e.member == member] for zone in self._zones}
            height = self._row_height([*(len(found) for found in own.values()), 2])
            self._office(member, y, height)
            for zone, endpoints in own.items():
                if endpoints:
                    self._zone_box(zone, endpoints, y, height, "own")
                    self._row_wires(member, zone, y)
            spans[member] = (y, y + height)
            y += height + _GAP
        self._gateways(spans, {zone: shared_y for zone, found in shared.items() if found})
        station = self._station(y)
        width = self._bus_x + _BUS_W + len(self._zones) * (_ZONE_W + _GAP) + _MARGIN
        frames = self._frames(width, y, station)
        return Drawing(
            site=self._site,
            width=width,
            height=y + station + _MARGIN,
            frames=(*frames, *self._gateway_boxes),
            wires=tuple(self._wires),
            boxes=tuple(self._boxes),
            labels=tuple(self._labels),
        )

    # what there is

    def _gateway_pairs(self) -> list[_Pair]:
        found: dict[str, list[str]] = {}
        gateways = [node for node in self._network.nodes if node.role == "gateway" and node.site == self._site]
        for node in gateways:
            found.setdefault(node.name.rstrip("ab"), []).append(node.name)
        pairs = []
        for name, nodes in found.items():
            one = self._network.node_by_name[nodes[0]]
            zones = {self._network.segment_by_name[segment].zone for segment in one.segments}
            pairs.append(_Pair(name, tuple(nodes), one.members, tuple(zone for zone in _ZONES if zone in zones)))
        return pairs

    def _ordered_members(self) -> list[str]:
        """Return the members of the site, those of one pair together."""
        rank = {member: index for index, pair in reversed(list(enumerate(self._pairs))) for member in pair.members}
        served = {member for endpoint in self._endpoints for member in endpoint.participants}
        declared = list(self._plan.members)
        return sorted(served, key=lambda member: (rank.get(member, len(self._pairs)), declared.index(member)))

    def _gateway_columns(self) -> list[list[_Pair]]:
        """Put pairs whose members' rows overlap into different columns."""
        row = {member: index for index, member in enumerate(self._members)}
        columns: list[list[_Pair]] = []
        for pair in self._pairs:
            rows = [row[member] for member in pair.members if member in row]
            first = min(rows, default=0)
            for column in columns:
                if max(row[member] for member in column[-1].members if member in row) < first:
                    column.append(pair)
                    break
            else:
                columns.append([pair])
        return columns

    def _serving(self, member: str, zone: str) -> _Pair | None:
        return next((pair for pair in self._pairs if member in pair.members and zone in pair.zones), None)

    # boxes

    @staticmethod
    def _row_height(counts: Iterable[int]) -> float:
        lines = min(max(counts, default=1), _MOST_LINES)
        return _LANE_ROOM + _LINE_H * (lines + 1) + 6

    def _office(self, member: str, y: float, height: float) -> None:
        lans = [lan for lan in self._network.offices if lan.member == member]
        zones = [zone for zone in _ZONES if any(lan.zone == zone for lan in lans)]
        name = self._plan.members[member]
        offices = len({lan.office for lan in lans})
        top = y + _LANE_ROOM
        shown_ja, shown_en = " ".join(_SHORT[zone].ja for zone in zones), " ".join(_SHORT[zone].en for zone in zones)
        title = ", ".join(f"{lan.office} {lan.zone} {', '.join(map(str, lan.prefixes))}" for lan in lans)
        self._boxes.append(
            Box(
                x=_MARGIN,
                y=top,
                width=_OFFICE_W,
                height=height - _LANE_ROOM,
                style="office",
                labels=(
                    Label(x=_MARGIN + 8, y=top + 15, text=words.same(_cut(name, _OFFICE_W - 16, 13)), style="name"),
                    Label(
                        x=_MARGIN + 8,
                        y=top + 30,
                        text=Text(
                            _cut(f"庁舎{offices}: {shown_ja}", _OFFICE_W - 14, 10.5),
                            _cut(f"{offices} × {shown_en}", _OFFICE_W - 14, 10.5),
                        ),
                        style="small",
                    ),
                ),
                title=words.same(f"{name}: {title}"),
            )
        )
        lines = [line for line in self._network.lines if line.member == member and line.site == self._site]
        for index, line in enumerate(lines[:3]):
            self._line(line, member, top + 12 + index * 17)

    def _line(self, line: Line, member: str, y: float) -> None:
        left = _MARGIN + _OFFICE_W
        dots = [
            (self._gateway_x + number * (_GATEWAY_W + _GAP), y)
            for number, column in enumerate(self._columns)
            if any(member in pair.members and set(pair.zones) & set(line.zones) for pair in column)
        ]
        right = max((x for x, _ in dots), default=self._gateway_x)
        self._wires.append(Wire(points=((left, y), (right, y)), style=f"line {line.role}", dots=tuple(dots)))
        role = words.LINE_ROLES[line.role]
        rest = f"{line.closed_network} {line.mbps} Mbit/s"
        self._labels.append(
            Label(
                x=left + 6,
                y=y - 2.5,
                text=Text(_cut(f"{role.ja} {rest}", _LINE_W - 8, 10), _cut(f"{role.en} {rest}", _LINE_W - 8, 10)),
                style="tiny",
            )
        )

    def _zone_box(self, zone: str, endpoints: Sequence[ServiceEndpoint], y: float, height: float, style: str) -> None:
        x, top = self._zone_x[zone], y + _LANE_ROOM
        lines = [self._service_words(endpoint) for endpoint in endpoints]
        told = Text("、".join(line.ja for line in lines), ", ".join(line.en for line in lines))
        if len(lines) > _MOST_LINES:
            rest = len(lines) - _MOST_LINES + 1
            lines = [*lines[: _MOST_LINES - 1], Text(f"ほか{rest}業務", f"and {rest} more")]
        segment = endpoints[0].segment
        segments = ", ".join(dict.fromkeys(endpoint.segment for endpoint in endpoints))
        labels = [
            Label(
                x=x + 8,
                y=top + 15 + index * _LINE_H,
                text=Text(_cut(line.ja, _ZONE_W - 16, 12), _cut(line.en, _ZONE_W - 16, 12)),
                style="service",
            )
            for index, line in enumerate(lines)
        ]
        place = f"{segment}" if len(set(segments.split(", "))) == 1 else f"{segment} …"
        labels.append(
            Label(
                x=x + 8,
                y=top + 14 + len(lines) * _LINE_H,
                text=words.same(_cut(place, _ZONE_W - 16, 10)),
                style="tiny",
            )
        )
        machines = ", ".join(
            dict.fromkeys(
                node for e in endpoints for node in (*e.load_balancer, *e.application, *e.database, *e.witness)
            )
        )
        self._boxes.append(
            Box(
                x=x,
                y=top,
                width=_ZONE_W,
                height=height - _LANE_ROOM,
                style=f"{style} {zone}",
                labels=tuple(labels),
                title=Text(f"{told.ja}: {segments}: {machines}", f"{told.en}: {segments}: {machines}"),
            )
        )

    def _service_words(self, endpoint: ServiceEndpoint) -> Text:
        title = self._plan.services[endpoint.service]
        count = len({*endpoint.load_balancer, *endpoint.application, *endpoint.database, *endpoint.witness})
        if endpoint.member is not None:
            return Text(f"{title} ({count}台)", f"{title} ({count} VM)")
        members = len(endpoint.participants)
        return Text(f"{title} ({members}団体・{count}台)", f"{title} ({members} members, {count} VM)")

    def _row_wires(self, member: str, zone: str, y: float) -> None:
        """Draw the lane from the member's gateways to its own box of ``zone``."""
        pair = self._serving(member, zone)
        if pair is None:
            return
        number = next(index for index, column in enumerate(self._columns) if pair in column)
        left = self._gateway_x + number * (_GATEWAY_W + _GAP) + _GATEWAY_W
        lane, x = y + _LANES[zone], self._zone_x[zone] + 24
        points = ((left, lane), (x, lane), (x, y + _LANE_ROOM))
        self._wires.append(Wire(points=points, style=f"wire {zone}", dots=points[:1]))

    def _gateways(self, spans: dict[str, tuple[float, float]], shared: dict[str, float]) -> None:
        lowest: dict[str, float] = {}
        for number, column in enumerate(self._columns):
            x = self._gateway_x + number * (_GATEWAY_W + _GAP)
            for pair in column:
                rows = [spans[member] for member in pair.members if member in spans]
                if not rows:
                    continue
                top, bottom = min(row[0] for row in rows), max(row[1] for row in rows)
                self._gateway_box(pair, x, top, bottom)
                for zone in pair.zones:
                    joined = any(
                        e.zone == zone and e.member is None and set(e.participants) & set(pair.members)
                        for e in self._endpoints
                    )
                    if zone in shared and joined:
                        bus, y = self._bus_x + 8 + 8 * _ZONES.index(zone), bottom - 8 - 5 * _ZONES.index(zone)
                        points = ((x + _GATEWAY_W, y), (bus, y))
                        self._wires.append(Wire(points=points, style=f"wire {zone}", dots=points[:1]))
                        lowest[zone] = max(lowest.get(zone, 0), y)
        for zone, bottom in lowest.items():
            bus, lane, x = (
                self._bus_x + 8 + 8 * _ZONES.index(zone),
                shared[zone] + _LANES[zone],
                self._zone_x[zone] + 24,
            )
            path = ((bus, bottom), (bus, lane), (x, lane), (x, shared[zone] + _LANE_ROOM))
            self._wires.append(Wire(points=path, style=f"wire {zone}", dots=()))

    def _gateway_box(self, pair: _Pair, x: float, top: float, bottom: float) -> None:
        middle = (top + bottom) / 2
        hosts = {node: self._plan.node_by_name[node].host for node in pair.nodes}
        labels = [
            Label(
                x=x + _GATEWAY_W / 2,
                y=middle - 14 * len(pair.nodes) + 12 + 14 * (2 * index + part),
                text=words.same(_cut(text, _GATEWAY_W - 6, size)),
                style=style,
                anchor="middle",
            )
            for index, node in enumerate(pair.nodes)
            for part, (text, size, style) in enumerate(((node, 12, "service"), (f"@{hosts[node]}", 10, "tiny")))
        ]
        told = ", ".join(f"{node} @ {host}" for node, host in hosts.items())
        members = ", ".join(self._plan.members[member] for member in pair.members)
        self._gateway_boxes.append(
            Box(
                x=x,
                y=top,
                width=_GATEWAY_W,
                height=bottom - top,
                style="gateway",
                labels=tuple(labels),
                title=Text(f"ゲートウェイの対 {told}: {members}", f"Pair of gateways {told}: {members}"),
            )
        )

    def _station(self, y: float) -> float:
        """Draw the management station below everything; return the height that it takes."""
        station = self._network.stations.get(self._site)
        if station is None:
            return 0
        x, width = self._gateway_x, self._bus_x + _BUS_W + len(self._zones) * (_ZONE_W + _GAP) - self._gateway_x - _GAP
        text = Text(
            f"管理端末 {station.ip}: 端末から各機械へ届き、機械どうしは届かない ({station.network})",
            f"Station {station.ip}: to each machine; no machine to another ({station.network})",
        )
        self._boxes.append(
            Box(
                x=x,
                y=y + 6,
                width=width,
                height=28,
                style="management",
                labels=(
                    Label(
                        x=x + 10,
                        y=y + 24,
                        text=Text(_cut(text.ja, width - 20, 11), _cut(text.en, width - 20, 11)),
                        style="small",
                    ),
                ),
                title=text,
            )
        )
        return 40

    def _frames(self, width: float, bottom: float, station: float) -> tuple[Box, ...]:
        """Return the site and its zones, and write the headings above them."""
        frames = [
            Box(
                x=self._gateway_x - 8,
                y=8,
                width=width - self._gateway_x + 8 - 4,
                height=bottom + station - 2,
                style="site",
                labels=(),
                title=words.same(self._site),
            )
        ]
        frames += [
            Box(
                x=x - 5,
                y=_TOP - 28,
                width=_ZONE_W + 10,
                height=bottom - _TOP + 28,
                style=f"band {zone}",
                labels=(),
                title=words.ZONES[zone],
            )
            for zone, x in self._zone_x.items()
        ]
        heads: list[tuple[float, float, Text, str]] = [
            (_MARGIN, _TOP - 9, Text("構成団体の庁舎", "Members' offices"), "head"),
            (_MARGIN + _OFFICE_W + 6, _TOP - 9, Text("回線 (実線 主・破線 副)", "Lines (dashed: backup)"), "head"),
            (self._gateway_x, 28, Text(f"拠点 {self._site}", f"Site {self._site}"), "head"),
            (self._gateway_x, _TOP - 9, Text("ゲートウェイ", "Gateways"), "head"),
        ]
        heads += [(x + 3, _TOP - 11, words.ZONES[zone], f"head {zone}") for zone, x in self._zone_x.items()]
        self._labels += [Label(x=x, y=y, text=text, style=style) for x, y, text, style in heads]
        return tuple(frames)


_SHORT = {"mynumber": Text("番号", "MyN"), "lgwan": Text("LGWAN", "LGWAN"), "internet": Text("ネット", "Inet")}


def width_of(text: str, size: float) -> float:
    """Return about how wide ``text`` is: a full-width character is as wide as high, others a good half."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WFA" else 0.58 for c in text) * size


def _cut(text: str, room: float, size: float) -> str:
    """Return ``text``, or as much of it as fits in ``room`` with an ellipsis."""
    if width_of(text, size) <= room:
        return text
    while text and width_of(f"{text}…", size) > room:
        text = text[:-1]
    return f"{text}…"
