"""Rules of nftables as the kernel holds them: read from ``nft -n -j list ruleset``, and judged.

Nothing here knows how Kumiai writes rules; any rule set can be read.
"""
