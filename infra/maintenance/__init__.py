"""Planned work: machines are taken out without losing a write, and put back whole, never both halves of a pair at once.

`groups` says what may go together and what would stop, `steps` what is done before machines stop (both pure), `record`
keeps what is out, `crew` does it. `host` takes a host out and back; `reimage` rolls a guest image through.
"""
