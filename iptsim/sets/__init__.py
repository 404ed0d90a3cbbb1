"""Sets of packets: all packets at once, as Boolean functions over the bits of a header.

`space.py` makes sets of conditions, `chains.py` summarises chains: what they accept, drop and let through.
"""
