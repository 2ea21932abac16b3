"""The declaration, format 1: one frozen record per object of a stack file.

The shape of every object stands here; rules that join several objects stand in :mod:`infra.declaration.checks`.
The docstring below a key is its description in the JSON Schema.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from infra.declaration.scalars import (
    Clock,
    Count,
    Country,
    Date,
    Format,
    Gibibytes,
    HostAddress,
    Id,
    LgCode,
    LibvirtUri,
    Port,
    Prefix,
    Text,
)
from network import zones

Zone = zones.Zone
SecurityModel = zones.SecurityModel
FlowKind = zones.FlowKind
Pattern = Literal["same_business", "per_municipality", "mixed", "multi_tenant"]
"""The four tenancy patterns ①–④."""
NodeRole = Literal["application", "database", "load_balancer", "witness"]


class Record(pydantic.BaseModel):
    """Base of all declared objects: frozen, unknown keys refused."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", populate_by_name=False, allow_inf_nan=False, use_attribute_docstrings=True
    )

    assumed: Annotated[bool, pydantic.Field(strict=True)] = False
    """True when no source states the values of this object; ``plan`` lists them."""


class PolicyBasis(Record):
    """The policy edition that the zone rules are taken from, such as soumu-guideline R7-03."""

    doc: Text
    """The document (典拠), such as soumu-guideline."""
    edition: Text
    """Era, year and month of the edition (版), such as R7-03."""


class Group(Record):
    """The group of bodies that shares the cloud (構成団体のグループ)."""

    name: Id
    """Short name of the group, such as "nishiki"."""
    title: Text
    """名称: how reports name the group."""
    policy_basis: PolicyBasis | None = None
    """準拠する指針とその版: the guideline that the members follow."""


class Office(Record):
    """An office (庁舎) with its separate LANs per zone."""

    id: Id
    """Short name, such as "honcho"."""
    zones: Annotated[
        dict[Zone, Annotated[tuple[Prefix, ...], pydantic.Field(min_length=1)]], pydantic.Field(min_length=1)
    ]
    """系ごとの庁内LAN: the IPv4 prefixes of each zone."""


class Member(Record):
    """One constituent body of the group (構成団体)."""

    id: Id
    """Short name, such as "nishiki"; part of the names of machines and segments."""
    name: Text
    """団体名, such as 錦町."""
    kind: Literal["municipality", "prefecture", "union"] = "municipality"
    """市区町村, 都道府県 or 一部事務組合・広域連合."""
    lg_code: LgCode | None = None
    """全国地方公共団体コード with its check digit, for example "435015"."""
    population: Annotated[int, pydantic.Field(strict=True, gt=0)] | None = None
    """人口: a key of cost shares and sizes."""
    joins: Date | None = None
    """参加日: first day in the group; default: always been a member."""
    leaves: Date | None = None
    """First day on which the member takes no part any more."""
    model: SecurityModel
    """三層の対策のモデル (α, α′, β, β′); declared by each body, never inferred."""
    offices: tuple[Office, ...] = ()
    """庁舎: those whose terminals use the services."""
    link_server: Id | None = None
    """中間サーバ: the service through whose nodes this member is linked with other bodies and outside systems (R16)."""


class Site(Record):
    """A place with machines: a data center, a second one, or an office that holds servers."""

    id: Id
    """Short name, such as "dc1"."""
    kind: Literal["data_center", "secondary", "backup", "office"] = "data_center"
    """データセンター, 第2データセンター, バックアップ拠点 or 庁舎."""
    country: Country
    """Residents' data stays in Japan (R48), so JP is the only country that passes."""
    prefecture: Text | None = None
    """都道府県."""
    title: Text | None = None
    """名称."""


class Slice(Record):
    """The part of a shared host that this stack may use."""

    vcpus: Count
    """Threads that this stack may use."""
    memory_gib: Gibibytes
    """Memory in GiB that this stack may use."""
    storage_gib: Count
    """Storage in GiB that this stack may use."""


class Host(Record):
    """A libvirt host (hypervisor)."""

    id: Id
    """Short name, such as "kvm01"."""
    site: Id
    """Id of the site where it stands."""
    libvirt: LibvirtUri
    """Connection URI such as qemu+ssh://root@kvm01.example/system, or ``lab`` for a simulated host."""
    vcpus: Count
    """Threads of its processors."""
    memory_gib: Gibibytes
    """Memory in GiB."""
    storage_gib: Count
    """Storage in GiB."""
    chassis: Text | None = None
    """筐体: hosts that fail together; replicas never share one. Named for all hosts of a site or for none."""
    vcpu_overcommit: Annotated[float, pydantic.Field(strict=True, ge=1, le=16)] = 1.0
    """Virtual CPUs per thread of the host that the operator accepts."""
    underlay: HostAddress | None = None
    """Address that carries the segments between hosts; default: the host part of the libvirt URI."""
    slice: Slice | None = None
    """What this stack may use of a host that it shares with others; default: the whole host."""


class Hop(Record):
    """One section of a closed network's path with its narrowest bandwidth."""

    hop: Text
    """区間, such as 県NOC-県NOC."""
    mbps: Count
    """帯域 in Mbit/s."""


class ClosedNetwork(Record):
    """A logical closed network (閉域網)."""

    id: Id
    """Short name, such as "lgwan"."""
    kind: Literal["lgwan", "ip_vpn", "wide_ethernet", "prefectural", "internet_vpn"]
    """LGWAN, IP-VPN, 広域イーサネット, 県域ネットワーク or インターネットVPN."""
    assigned_prefix: Prefix | None = None
    """Given by the operator of the network (for LGWAN by J-LIS); never generated."""
    reaches: dict[Text, Annotated[tuple[Prefix, ...], pydantic.Field(min_length=1)]] = {}
    """外部の接続先: the addresses of external systems that its lines lead to, by the NAME of external:NAME."""
    path: tuple[Hop, ...] = ()
    """経路上の区間: compared with the bandwidth that services require."""


class Handoff(Record):
    """The carrier's values of one hand-off: input, never generated outside the lab."""

    prefix: Prefix
    """引渡し区間のネットワーク; at least a /29."""
    peer: HostAddress
    """網側ルータ (PE): the carrier's address."""
    local: Annotated[tuple[HostAddress, ...], pydantic.Field(min_length=2, max_length=2)]
    """Addresses of the two gateways."""
    vip: HostAddress
    """Virtual address of the gateway pair, the next hop of the carrier."""
    routing: Literal["bgp", "static", "tunnel"]
    """経路制御: BGP, 静的 or トンネル (IPsec, BGP inside); an internet_vpn needs the tunnel."""
    peer_as: Annotated[int, pydantic.Field(strict=True, ge=1, le=4294967295)] | None = None
    """AS number of the carrier."""
    local_as: Annotated[int, pydantic.Field(strict=True, ge=1, le=4294967295)] | None = None
    """AS number of the gateways."""
    hold_s: Annotated[int, pydantic.Field(strict=True, ge=3, le=65535)] | None = None
    """BGP hold time in seconds: without BFD, a cut is noticed after it."""
    bfd: Annotated[bool, pydantic.Field(strict=True)] = False
    """Bidirectional forwarding detection: a cut is noticed in under a second."""
    md5: Id | None = None
    """Name of the secret that holds the session password; never the password itself."""
    tunnel_peer: HostAddress | None = None
    """Outer address of the far end when ``routing`` is ``tunnel``; default: ``peer``."""


class Line(Record):
    """A physical line (回線): one path of one member into one site."""

    id: Id
    """Short name, such as "nishiki-main"."""
    member: Id
    """Id of the member whose offices it joins."""
    site: Id
    """Id of the site where it ends."""
    closed_network: Id
    """Id of the closed network that it is a part of."""
    role: Literal["main", "backup"]
    """主回線 or 副回線; a backup line carries traffic only while the main line is down."""
    class_: Annotated[Literal["guaranteed", "reserved", "best_effort"], pydantic.Field(alias="class")]
    """帯域保証, 帯域確保 or ベストエフォート."""
    mbps: Count
    """契約帯域 in Mbit/s."""
    zones: Annotated[tuple[Zone, ...], pydantic.Field(min_length=1)]
    """系 that it carries."""
    separation: Literal["segment", "prefix"] = "segment"
    """segment: a hand-off of its own per zone; prefix: one hand-off `all`, told apart by source prefix."""
    separation_reason: Text | None = None
    """Why the weaker `separation: prefix` is accepted."""
    handoff: dict[Literal["mynumber", "lgwan", "internet", "all"], Handoff] | None = None
    """事業者が示す引渡しの値, per zone or `all`; may be left out where all hosts of the site are simulated."""


class Participation(Record):
    """One member's use of a service, from the first day to the day it ends."""

    member: Id
    """Id of the member."""
    from_: Annotated[Date | None, pydantic.Field(alias="from")] = None
    """First day; default: the day it joins the group."""
    until: Date | None = None
    """First day on which the member does not use the service any more."""


class NodeSpec(Record):
    """How many machines of one role, and how large each is."""

    count: Annotated[int, pydantic.Field(strict=True, gt=0, le=64)]
    """Number of machines."""
    vcpus: Count
    """Virtual processors of each."""
    memory_gib: Gibibytes
    """Memory of each in GiB."""
    disk_gib: Annotated[int, pydantic.Field(strict=True, ge=0)] = 0
    """The data volume; the root disk comes with the image."""


def _participation_from(value: object) -> object:
    return {"member": value} if isinstance(value, str) else value


class Service(Record):
    """A business system (業務) that the group runs."""

    id: Id
    """Short name, such as "juki"; part of the names of machines."""
    title: Text
    """業務名, such as 住民情報."""
    zone: Zone
    """系: in which of the three zones it runs."""
    pattern: Pattern
    """①同一業務統合型, ②地方公共団体内業務統合型, ③多種業務統合型 or ④マルチテナント方式."""
    pattern_reason: Text
    """Why this pattern: the choice among the four is declared with its reason (R33)."""
    site: Id | None = None
    """Where it runs; default: the only site of kind data_center."""
    participants: (
        Annotated[
            tuple[
                Annotated[
                    Participation,
                    pydantic.BeforeValidator(_participation_from, json_schema_input_type=Id | Participation),
                ],
                ...,
            ],
            pydantic.Field(min_length=1),
        ]
        | None
    ) = None
    """Default: every member of the group."""
    listen: Annotated[tuple[Port, ...], pydantic.Field(min_length=1)]
    """Ports on which its users reach it."""
    required_mbps: Annotated[float, pydantic.Field(strict=True, gt=0)] | None = None
    """Mbit/s that each member's users need; summed per line and compared with the line and every hop of its path."""
    data: Literal["per_member", "common"] = "per_member"
    """Pattern ④ only: ``common`` is one data area in which the package tells members apart."""
    hosts: Annotated[tuple[Id, ...], pydantic.Field(min_length=1)] | None = None
    """Pattern ④ only: the hosts that its nodes may use; default: any host without a key."""
    runs_on: Id | None = None
    """Another service whose nodes also run this one."""
    nodes: dict[NodeRole, NodeSpec] = {}
    """Machines by role: application, database, load_balancer, witness (third voter beside two databases)."""


class Flow(Record):
    """A declared exception to default deny."""

    from_: Annotated[Text, pydantic.Field(alias="from")]
    """Where connections are opened from: office:MEMBER/ZONE, service:ID, service:ID@MEMBER and so on."""
    to: Text
    """Where they are opened to, in the same form."""
    allow: Annotated[tuple[Port, ...], pydantic.Field(min_length=1)]
    """Ports, such as tcp/8443."""
    kind: FlowKind
    """The condition of the zone matrix that allows it (特定通信, 無害化通信 and so on)."""
    reason: Text
    """理由: which work needs it."""
    approved_by: Text
    """承認者."""
    expires: Date
    """Last day on which it is let through."""
    method: Literal["mail_to_text", "attachment_removal", "screen_transfer", "file_sanitising"] | None = None
    """How ``sanitized`` traffic is made harmless (無害化の方式)."""
    via: Text | None = None
    """The device in the path: the sanitiser of ``sanitized``, the gateway of ``via_security_cloud``."""
    system: Text | None = None
    """The system of ``national_backend`` or ``direct_link``, such as 住基ネット."""


class Translation(Record):
    """Address translation, address by address, which the gateways do on the lines of a closed network."""

    closed_network: Id
    """Id of the closed network at whose edge it happens."""
    inside: Prefix
    """What is translated: office LANs with `source`, the services' addresses on our side with `destination`."""
    outside: Prefix
    """What it appears as, and as long: to our services with `source`, to the closed network with `destination`."""
    direction: Literal["source", "destination"]
    """送信元 (offices whose LANs have addresses of others) or 宛先 (at which addresses the services are reached)."""
    member: Id | None = None
    """Id of the member whose addresses it translates; default: of all."""


class ZoneSeparation(Record):
    """Whether the internet zone has hosts and gateways of its own."""

    hosts: Literal["separate", "shared"] = "separate"
    """separate: no host carries mynumber and internet machines together."""
    gateways: Literal["separate", "shared"] = "separate"
    """separate: the internet zone has gateways of its own."""
    reason: Text | None = None
    """Why something is shared."""
    approved_by: Text | None = None
    """承認者."""


class GatewaySize(Record):
    """The size of one gateway machine."""

    vcpus: Count = 1
    """Virtual processors."""
    memory_gib: Gibibytes = 1.0
    """Memory in GiB."""


class Availability(Record):
    """What the stack survives."""

    spare_hosts: Annotated[int, pydantic.Field(strict=True, ge=0, le=2)] = 1
    """予備ホスト: as many hosts may be lost at once and everything still has room."""
    gateway: Literal["shared", "dedicated"] = "shared"
    """shared: one pair for several members; dedicated: a pair per member."""
    gateway_size: GatewaySize = GatewaySize()
    """Size of each gateway machine."""
    timers: Literal["standard", "emulated"] = "standard"
    """切替の時間設定: emulated is for simulated hosts without KVM, whose guests stand still now and then."""
    after_loss: Literal["strict", "relaxed"] = "strict"
    """strict: the same rules after a loss; relaxed: replicas may share a host until the repair."""
    zone_separation: ZoneSeparation = ZoneSeparation()
    """系の分離: what the internet zone shares with the others."""


class Addressing(Record):
    """The address space that the stack may use inside."""

    supernet: Prefix
    """Prefix from which every address inside is taken, such as 172.16.0.0/12."""


class Calendar(Record):
    """The hours of service."""

    days: Literal["weekdays", "every_day"] = "weekdays"
    """開庁日 or 毎日."""
    from_: Annotated[Clock, pydantic.Field(alias="from")]
    """Time of day when service begins, in quotes."""
    to: Clock
    """Time of day when it ends, in quotes."""


class LogRetention(Record):
    """How long logs are kept (C22: 3 months and 5 years; requirements R109, R110)."""

    activity_months: Count = 3
    """利用者の操作記録 in months."""
    security_years: Count = 5
    """例外・セキュリティ事象の記録 in years."""


class Sla(Record):
    """The service level agreement of the stack (サービスレベル合意書)."""

    availability_percent: Annotated[float, pydantic.Field(strict=True, gt=0, lt=100)]
    """稼働率 in percent, over the hours of `base`."""
    base: Literal["service_hours", "always"]
    """service_hours: counted over the calendar (サービス稼働時間); always: around the clock."""
    calendar: Calendar | None = None
    """The hours that count; needed with `base: service_hours`."""
    recovery_hours: Annotated[float, pydantic.Field(strict=True, gt=0)]
    """目標復旧時間 in hours."""
    logs: LogRetention = LogRetention()
    """ログの保存期間."""


class Declaration(Record):
    """A whole stack file."""

    kumiai: Format
    """The format of the file."""
    group: Group
    """The group as a whole."""
    members: Annotated[tuple[Member, ...], pydantic.Field(min_length=1)]
    """構成団体."""
    sites: Annotated[tuple[Site, ...], pydantic.Field(min_length=1)]
    """拠点: data centers and other places with machines."""
    hosts: tuple[Host, ...]
    """ホスト: the hypervisors of this stack."""
    closed_networks: tuple[ClosedNetwork, ...] = ()
    """閉域網."""
    lines: tuple[Line, ...] = ()
    """回線."""
    services: Annotated[tuple[Service, ...], pydantic.Field(min_length=1)]
    """業務."""
    flows: tuple[Flow, ...] = ()
    """既定拒否の例外: what may pass between zones and systems beside the implied flows."""
    translations: tuple[Translation, ...] = ()
    """アドレス変換."""
    availability: Availability = Availability()
    """可用性."""
    addressing: Addressing
    """アドレス空間."""
    sla: Sla | None = None
    """サービスレベル合意."""
