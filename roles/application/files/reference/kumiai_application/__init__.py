"""The reference business application: a visitors' book per member, small, but real from browser to database.

It stands where a vendor's package will stand, and answers what an operator wants to see: which node and which database
answered, for which member, and whether a numbered write was kept.
"""
