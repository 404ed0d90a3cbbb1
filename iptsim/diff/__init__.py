"""Compares two hosts: packets that are treated differently, and differences in rules that have no effect."""
