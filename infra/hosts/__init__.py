"""The hypervisors: how they are reached, what the plan puts on them, and whether they are as planned."""
