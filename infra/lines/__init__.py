"""The test of lines that a group does before going live: route, carrying line, response and bandwidth of every office.

`model` holds the records, `evaluate` compares what was measured with the plan (both pure), `measure` measures in the
lab, and `office_probe` is the program that runs on an office's terminal.
"""
