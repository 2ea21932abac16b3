"""Drills: something is broken on purpose while a client works, and what it saw is written down.

`client` runs on a terminal of an office, `watching` starts it and reads what it saw, `holding` asks machines which of
them holds a virtual address, `records` keeps the results. One module per fault: `line`, `gateway`, `sync`.
"""
