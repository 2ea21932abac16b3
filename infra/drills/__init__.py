"""Drills: something is broken on purpose while a client works, and what it saw is written down.

`client` runs on a terminal of an office, `watching` starts it and reads what it saw, `holding` asks machines which of
them holds what only one may hold, `faults` breaks and repairs (`on_node` on the machines themselves), `judging`
compares with what was promised, `records` keeps the results, `repeats` sums them up. One module per kind: `gateway`
and `node` (both by `pair`), `line`, `sync`, `database` (which asks `replicas`), `host`, `site`.
"""
