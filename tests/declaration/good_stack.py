"""A stack file without errors, small edits of which make the wrong ones."""

from __future__ import annotations

GOOD = """\
kumiai: 1
group: {name: nishiki, title: 錦町・都農町 総合行政システム}
members:
  - id: nishiki
    name: 錦町
    lg_code: "435015"
    population: 10600
    joins: 2011-10-01
    model: alpha
    offices:
      - {id: honcho, zones: {mynumber: [10.1.0.0/18], lgwan: [10.1.64.0/18]}}
  - id: tsuno
    name: 都農町
    lg_code: "454061"
    population: 10000
    joins: 2011-10-08
    model: alpha_prime
    offices:
      - id: honcho
        zones:
          mynumber: [10.2.0.0/18]
          lgwan: [10.2.64.0/18]
sites:
  - {id: dc1, kind: data_center, country: JP, prefecture: 宮崎県}
hosts:
  - {id: kvm01, site: dc1, libvirt: "qemu+ssh://root@kvm01/system", vcpus: 32, memory_gib: 256, storage_gib: 4000}
  - {id: kvm02, site: dc1, libvirt: "qemu+ssh://root@kvm02/system", vcpus: 32, memory_gib: 256, storage_gib: 4000}
  - {id: kvm03, site: dc1, libvirt: "qemu+ssh://root@kvm03/system", vcpus: 32, memory_gib: 256, storage_gib: 4000}
closed_networks:
  - {id: lgwan, kind: lgwan, assigned_prefix: 198.18.0.0/20, path: [{hop: 県NOC-県NOC, mbps: 100}]}
  - {id: vpn-a, kind: ip_vpn}
lines:
  - id: nishiki-main
    member: nishiki
    site: dc1
    closed_network: lgwan
    role: main
    class: guaranteed
    mbps: 100
    zones: [mynumber, lgwan]
    separation: segment
    handoff:
      mynumber: {prefix: 198.51.100.0/29, peer: 198.51.100.1, local: [198.51.100.2, 198.51.100.3], vip: 198.51.100.4,
                 routing: bgp, peer_as: 64600, local_as: 65010, hold_s: 9, bfd: true}
      lgwan: {prefix: 198.51.100.8/29, peer: 198.51.100.9, local: [198.51.100.10, 198.51.100.11], vip: 198.51.100.12,
              routing: bgp, peer_as: 64600, local_as: 65010, hold_s: 9, bfd: true}
  - id: nishiki-backup
    member: nishiki
    site: dc1
    closed_network: vpn-a
    role: backup
    class: best_effort
    mbps: 50
    zones: [mynumber, lgwan]
    separation: prefix
    separation_reason: 事業者の引渡しが一つ
    handoff:
      all: {prefix: 198.51.100.16/29, peer: 198.51.100.17, local: [198.51.100.18, 198.51.100.19], vip: 198.51.100.20,
            routing: static}
  - id: tsuno-main
    member: tsuno
    site: dc1
    closed_network: lgwan
    role: main
    class: reserved
    mbps: 100
    zones: [mynumber, lgwan]
    handoff:
      mynumber: {prefix: 198.51.100.24/29, peer: 198.51.100.25, local: [198.51.100.26, 198.51.100.27],
                 vip: 198.51.100.28, routing: static}
      lgwan: {prefix: 198.51.100.32/29, peer: 198.51.100.33, local: [198.51.100.34, 198.51.100.35],
              vip: 198.51.100.36, routing: static}
services:
  - id: juki
    title: 住民情報
    zone: mynumber
    pattern: multi_tenant
    pattern_reason: 費用と仕様統一
    participants: [nishiki, {member: tsuno, from: 2011-10-08}]
    listen: [tcp/443]
    required_mbps: 20
    nodes:
      application: {count: 2, vcpus: 2, memory_gib: 4, disk_gib: 40}
      database: {count: 2, vcpus: 2, memory_gib: 8, disk_gib: 100}
  - id: zaimu
    title: 財務会計
    zone: lgwan
    pattern: mixed
    pattern_reason: 各町の機種更新時期
    listen: [tcp/443]
    nodes:
      application: {count: 2, vcpus: 2, memory_gib: 4, disk_gib: 40}
  - id: kyuyo
    title: 人事給与
    zone: lgwan
    pattern: mixed
    pattern_reason: 財務会計と同じ機器
    listen: [tcp/443]
    runs_on: zaimu
flows:
  - {from: "service:juki@each_member", to: "service:zaimu", allow: [tcp/8443], kind: specific,
     reason: 住民税の収納連携, approved_by: 情報政策課, expires: 2030-03-31}
availability:
  spare_hosts: 1
  gateway: shared
  zone_separation: {hosts: separate, gateways: separate}
addressing: {supernet: 172.16.0.0/12}
sla: {availability_percent: 99.5, base: service_hours, calendar: {days: weekdays, from: "08:30", to: "17:30"},
      recovery_hours: 24}
"""
