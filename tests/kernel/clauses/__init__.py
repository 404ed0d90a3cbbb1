"""Makers of rule clauses, one function an option, grouped as the matches are."""

from tests.kernel.clauses import addresses, connection, headers, ipv6, rare, surroundings
from tests.kernel.clauses.base import MAKERS, Changes, Clause, Maker

__all__ = [
    "MAKERS",
    "Changes",
    "Clause",
    "Maker",
    "addresses",
    "connection",
    "headers",
    "ipv6",
    "rare",
    "surroundings",
]
