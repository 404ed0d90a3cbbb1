"""The program that owns a chain, inferred from its name and the names of the other chains."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache

from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Jump, Rule
from iptsim.dump.ruleset import Ruleset
from iptsim.host.model import Host
from iptsim.owners.maker import Identity, Maker, Scope

BUILTIN = frozenset(name for names in BUILTIN_CHAINS.values() for name in names)


def all_makers() -> tuple[Maker, ...]:
    """Return the programs; they are loaded for the first rule that is not Docker's."""
    from iptsim.owners.makers import MAKERS

    return MAKERS


@cache
def _names() -> re.Pattern[str]:
    """Return a pattern whose groups are named after the makers of such chains."""
    return re.compile("|".join(f"(?P<{maker.name}>{maker.chains})" for maker in all_makers() if maker.chains))


def chain_owners(ruleset: Ruleset) -> ChainOwners:
    """Return the owners of a ruleset's chains."""
    return owners_of(scope_of(ruleset, None).chains)


@lru_cache(maxsize=8)
def owners_of(names: frozenset[str]) -> ChainOwners:
    """Return the owners of a ruleset's chains, by the names of all its chains."""
    return ChainOwners(names)


def scope_of(ruleset: Ruleset | None, host: Host | None) -> Scope:
    """Return the surroundings of a ruleset's rules; the last few are cached."""
    return _scope(Identity(ruleset), Identity(host))


@lru_cache(maxsize=8)
def _scope(ruleset: Identity, host: Identity) -> Scope:
    return Scope(ruleset.it, host.it)


class ChainOwners:
    """The owners of a ruleset's chains."""

    def __init__(self, names: Iterable[str]) -> None:
        self._all = frozenset(names)
        self._known: dict[str, str] = {}

    def chain(self, name: str) -> str:
        """Return who made a chain: "kernel" for a built-in one, "user" where no known program did.

        The rules in DOCKER-USER are the user's, but the chain is Docker's.

        >>> owners = ChainOwners(["DOCKER-USER", "ufw-user-input", "MY-RULES"])
        >>> owners.chain("DOCKER-USER"), owners.chain("ufw-user-input"), owners.chain("MY-RULES")
        ('docker', 'ufw', 'user')
        """
        if name not in self._known:
            self._known[name] = self._owner(name)
        return self._known[name]

    def _owner(self, name: str) -> str:
        if name in BUILTIN:
            return "kernel"
        found = _names().fullmatch(name)
        if found is not None:
            return found.lastgroup or "user"
        claiming = (maker.name for maker in all_makers() if maker.claims and maker.claims(name, self._all))
        return next(claiming, "user")

    def rule(self, rule: Rule) -> str:
        """Return who wrote a rule, as far as names show: the owner of its chain, else of the chain it jumps to."""
        if rule.chain == "DOCKER-USER":
            return "user"
        owner = self.chain(rule.chain)
        if owner == "kernel":
            owner = self.chain(rule.target.chain) if isinstance(rule.target, Jump) else "user"
        return owner
