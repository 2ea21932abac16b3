"""Matrices of the report: who stands where, and what is in a cell."""

from __future__ import annotations

import dataclasses

from infra.audit.model import PacketRange, Pair, Passing
from infra.report import audit_view, network_drawing
from infra.report.audit_view import Matrix, View
from tests.report import audits


def marks(matrix: Matrix) -> dict[tuple[str, str], str]:
    return {(cell.source.key, cell.target.key): cell.mark for row in matrix.rows for cell in row if cell.mark != "none"}


def test_members_meet_themselves_what_is_shared_and_the_platform_only() -> None:
    """demo: juki serves both members, zaimu one each; exception juki -> zaimu of each member; management to all."""
    found = marks(View([audits.audit()], audits.demo()).by_member)
    own = {
        ("member-nishiki", "member-nishiki"): "passes",  # office to its own zaimu
        ("member-nishiki", "shared"): "passes",  # office to juki
        ("shared", "member-nishiki"): "exception",  # juki@each_member -> zaimu
    }
    assert {pair: mark for pair, mark in found.items() if "nishiki" in "".join(pair) and "platform" not in pair} == own
    assert ("member-nishiki", "member-tsuno") not in found
    assert found["platform", "member-nishiki"] == "passes"


def test_zones_meet_by_exception_only() -> None:
    matrix = View([audits.audit()], audits.demo()).by_zone
    inside = {pair: mark for pair, mark in marks(matrix).items() if set(pair) <= {"mynumber", "lgwan", "internet"}}
    assert inside == {
        ("mynumber", "mynumber"): "passes",
        ("lgwan", "lgwan"): "passes",
        ("mynumber", "lgwan"): "exception",
    }
    assert {"mynumber", "lgwan", "internet"} <= {party.key for party in matrix.parties}, "an empty zone is shown too"


def test_what_nothing_declares_is_a_violation_in_its_cell() -> None:
    packets = (PacketRange(protocol="tcp", sources="10.1.0.0/24", destinations="10.2.0.0/24", ports="445"),)
    ends = ("office:nishiki/mynumber", "office:tsuno/mynumber")
    pair = Pair(source=ends[0], target=ends[1], passing=(Passing(packets=packets, flow=None, path=ends),))
    first = audits.audit()
    view = View([dataclasses.replace(first, pairs=(*first.pairs, pair))], audits.demo())
    assert marks(view.by_member)["member-nishiki", "member-tsuno"] == "violation"
    assert view.connections[0].sources == ("office:nishiki/mynumber",), "it stands first in the appendix"
    assert view.answers[0].good is False


def test_findings_of_every_level_stand_in_the_matrix() -> None:
    view = View([audits.audit(), audits.audit(level="rendered", violations=(audits.VIOLATION,))], audits.demo())
    assert marks(view.by_member)["member-nishiki", "member-tsuno"] == "violation"
    assert not view.passed


def test_every_packet_of_the_level_is_in_the_appendix_and_nothing_else() -> None:
    """Rows merge senders and receivers; multiplied out again they are the pairs of the audit."""
    audit = audits.audit(audits.large)
    view = View([audit], audits.large())
    listed = {(s, t) for one in view.connections for s in one.sources for t in one.targets}
    assert listed == {(pair.source, pair.target) for pair in audit.pairs}
    written = {r for one in view.connections for r in one.packets}
    assert written == {r for pair in audit.pairs for passing in pair.passing for r in passing.packets}


def test_what_runs_is_shown_before_what_is_written() -> None:
    levels = [audits.audit(), audits.audit(level="rendered"), audits.audit(level="live")]
    assert View(levels, audits.demo()).reference.level == "live"
    unread = dataclasses.replace(levels[2], pairs=())
    assert View([*levels[:2], unread], audits.demo()).reference.level == "rendered"


def test_a_control_that_one_level_denies_is_not_met() -> None:
    met = audits.audit().controls[0]
    assert met.status == "met"
    denied = audits.audit(level="rendered", controls=(dataclasses.replace(met, status="not_met"),))
    row = View([audits.audit(), denied], audits.demo()).controls[0]
    assert (row.status, len(row.levels)) == ("not_met", 2)
    unseen = audits.audit(level="rendered", controls=(dataclasses.replace(met, status="not_examined"),))
    assert View([audits.audit(), unseen], audits.demo()).controls[0].status == "met"


def test_days_are_counted_to_the_last_day() -> None:
    (flow, left, connections), *_ = View([audits.audit(audits.large)], audits.large()).exceptions
    assert (flow.reason, left, len(connections)) == ("住民税の収納連携", 60, 31)
    assert left is not None
    assert left <= audit_view.EXPIRES_SOON_DAYS


def test_the_drawing_has_a_box_for_all_and_none_lies_on_another() -> None:
    for plan in (audits.demo(), audits.large()):
        (drawing,) = network_drawing.draw(plan)
        boxes = drawing.boxes
        assert sum(box.style == "office" for box in boxes) == len(plan.members)
        gateways = [box for box in drawing.frames if box.style == "gateway"]
        assert 2 * len(gateways) == sum(node.role == "gateway" for node in plan.nodes)
        told = " ".join(box.title.ja for box in (*boxes, *gateways))
        assert all(node.name in told for node in plan.nodes)
        for index, one in enumerate(boxes + tuple(gateways)):
            assert one.x >= 0
            assert one.x + one.width <= drawing.width
            assert one.y + one.height <= drawing.height
            for other in (boxes + tuple(gateways))[index + 1 :]:
                apart = (
                    one.x + one.width <= other.x
                    or other.x + other.width <= one.x
                    or one.y + one.height <= other.y
                    or other.y + other.height <= one.y
                )
                assert apart, (one, other)


def test_a_wire_of_a_zone_passes_through_no_box_of_another_zone() -> None:
    (drawing,) = network_drawing.draw(audits.large())
    boxes = [box for box in drawing.boxes if box.style.split()[0] in {"own", "shared"}]
    assert boxes
    for wire in (wire for wire in drawing.wires if wire.style.startswith("wire")):
        zone = wire.style.split()[1]
        for (x1, y1), (x2, y2) in zip(wire.points, wire.points[1:], strict=False):
            for box in (box for box in boxes if box.style.split()[1] != zone):
                crosses = (
                    max(x1, x2) > box.x
                    and min(x1, x2) < box.x + box.width
                    and max(y1, y2) > box.y
                    and min(y1, y2) < box.y + box.height
                )
                assert not crosses, (wire, box)


def test_long_names_are_cut_to_their_box() -> None:
    plan = audits.demo()
    long = dataclasses.replace(plan, members=dict.fromkeys(plan.members, "南アルプス市八ヶ岳広域連合事務組合"))
    (drawing,) = network_drawing.draw(long)
    (name, *_) = next(box for box in drawing.boxes if box.style == "office").labels
    assert name.text.ja.endswith("…")
    assert network_drawing.width_of(name.text.ja, 13) <= 152


def test_two_step_ways_of_one_row_are_exactly_those_that_were_found() -> None:
    """Of 31 members each reaches the other 30 by way of what all share, never itself."""
    audit = audits.audit(audits.large)
    rows = View([audit], audits.large()).two_steps
    listed = {(row.source, row.through, target) for row in rows for target in row.targets}
    assert listed == {(step.source, step.through, step.target) for step in audit.two_steps}
    assert {len(row.targets) for row in rows} == {30}
