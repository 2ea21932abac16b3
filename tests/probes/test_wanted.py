"""What is tried, and what must come of it, for the demo stack. The flows are written down here by hand."""

from __future__ import annotations

from infra.probes import wanted
from infra.probes.model import Probe, Tried
from tests.network.render import demo


def between(source: str, target: str) -> list[Probe]:
    return [p for p in wanted.probes(demo.network()) if (p.source.name, p.target_name) == (source, target)]


def passing(source: str, target: str) -> set[tuple[str, int]]:
    return {(p.protocol, p.port) for p in between(source, target) if p.passes}


def test_only_declared_flows_pass() -> None:
    assert passing("nishiki/honcho/mynumber", "service/juki") == {("tcp", 443)}
    assert passing("nishiki/honcho/lgwan", "service/juki") == set()
    assert passing("nishiki/honcho/lgwan", "service/zaimu-nishiki") == {("tcp", 443)}
    assert passing("nishiki/honcho/lgwan", "service/zaimu-tsuno") == set()
    assert passing("juki-ap1", "service/zaimu-tsuno") == {("tcp", 8443)}
    assert passing("juki-ap1", "juki-db1") == {("tcp", 5432)}
    assert passing("juki-db1", "juki-ap1") == set()
    assert passing("zaimu-nishiki-ap1", "zaimu-tsuno-ap1") == set()
    assert passing("zaimu-tsuno-ap1", "station of dc1") == {("udp", 123)}


def test_every_card_asks_every_address_of_the_others() -> None:
    network = demo.network()
    found = wanted.probes(network)
    cards = {(node.name, card.segment): card.address.ip for node in network.nodes for card in node.interfaces}
    for (name, segment), address in cards.items():
        if segment != network.management_segment("dc1").name and name.startswith("dc1-gw"):
            continue  # beyond its own segments a gateway is a next hop itself
        asked = {p.target for p in found if p.source.name == name and p.source.segment == segment}
        others = {ip for (other, _), ip in cards.items() if other != name}
        assert address not in asked
        assert others <= asked, (name, segment)


def test_machines_on_management_are_asked_by_their_own_mac_and_others_through_the_station() -> None:
    ways = {(p.target, p.via) for p in between("juki-ap1", "juki-db1") if p.source.segment == "dc1-management"}
    db = demo.network().node_by_name["juki-db1"]
    assert (db.management.address.ip, db.management.mac) in ways
    (inner,) = (card.address.ip for card in db.interfaces if card != db.management)
    assert (inner, str(demo.network().stations["dc1"].ip)) in ways


def test_silence_and_answers_are_judged() -> None:
    allowed = next(p for p in between("juki-ap1", "juki-db1") if p.passes)
    denied = next(p for p in between("juki-db1", "juki-ap1") if p.protocol == "tcp")
    datagram = next(p for p in between("juki-ap1", "station of dc1") if p.passes)
    assert not Tried(probe=allowed, outcome="open", answered_by="172.16.0.71").wrong
    assert "no answer" in Tried(probe=allowed, outcome="silent", answered_by="").wrong
    assert not Tried(probe=denied, outcome="silent", answered_by="").wrong
    assert "no flow lets it pass" in Tried(probe=denied, outcome="refused", answered_by="172.16.0.69").wrong
    assert not Tried(probe=datagram, outcome="silent", answered_by="").wrong
