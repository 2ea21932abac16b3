"""What runs on the machines of a stack, read without changing anything, and compared with the plan.

`on_node` is the program that reads on a machine, `fetch` starts it everywhere, `judge` compares. The rules themselves
are the audit's to judge.
"""
