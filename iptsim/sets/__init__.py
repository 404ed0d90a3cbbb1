"""Sets of packets: all packets at once, as Boolean functions over the bits of a header.

`space.py` turns conditions into sets; `chains.py` summarises chains: what they accept, drop and let through.
"""
