"""Policies: what is expected of all packets between some endpoints, and whether a host meets it."""
