"""The redundant parts at a glance: who holds which address, which sessions stand, which line carries.

`model` says what of the plan is looked at and what is wrong with what was found, `look` asks the machines, `on_node` is
the program that answers there.
"""
