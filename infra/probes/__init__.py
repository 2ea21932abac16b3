"""Bounded probes of a running lab: what must pass passes, and everything else that was tried does not.

`wanted` says from the plan alone what is tried and what must come of it, `frames` is the program that tries it from a
terminal or a machine, `run` starts it everywhere.
"""
