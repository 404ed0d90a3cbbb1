"""The options that every rule line may have, and the look-up of options as getopt_long(3) does it."""

from __future__ import annotations

from collections.abc import Iterable

from iptsim.extensions.base import Extension
from iptsim.extensions.options import Option
from iptsim.extensions.parameters import Parameters

#: Long names of the options that need no extension -> their letters (xtables' original_opts).
LONG = {
    "append": "A", "delete": "D", "check": "C", "insert": "I", "replace": "R", "list": "L", "list-rules": "S",
    "flush": "F", "zero": "Z", "new-chain": "N", "delete-chain": "X", "rename-chain": "E", "policy": "P",
    "source": "s", "src": "s", "destination": "d", "dst": "d", "protocol": "p", "in-interface": "i",
    "out-interface": "o", "fragments": "f", "jump": "j", "goto": "g", "match": "m", "table": "t",
    "set-counters": "c", "ipv4": "4", "ipv6": "6", "wait": "w", "wait-interval": "W", "verbose": "v",
    "numeric": "n", "exact": "x", "line-numbers": "0", "modprobe": "M", "help": "h", "version": "V",
}  # fmt: skip
#: Letters that take an argument. Those in LISTED take the next word if it does not look like an option.
WITH_ARGUMENT = frozenset("ADCIREPNsdpiojgmtcM")
LISTED = frozenset("LSFZX")
WITHOUT_ARGUMENT = frozenset("f46wWvnx0hV")
COMMANDS = frozenset("ADCIRLSFZNXEP")


def command_letter(action: str) -> str:
    """Return the letter of a command: "A" for -A, --append and its abbreviations; "" if there is no such command."""
    if not action.startswith("--"):
        return action[1:2] if action.startswith("-") else ""
    try:
        found = find_long(action[2:], ())
    except Ambiguous:
        return ""
    return found[1] if found is not None and isinstance(found[1], str) else ""


#: The letters that set a field of Parameters.
PARAMETERS: dict[str, Option] = {option.flag[1:]: option for option in Parameters.options}


def long_options(extension: type[Extension]) -> dict[str, Option]:
    """Return an extension's options by their names without dashes, including aliases."""
    return {
        spelling.lstrip("-"): option
        for option in extension.options
        for spelling in (option.flag, *option.aliases)
    }


class Ambiguous(Exception):
    """An abbreviation that matches several options."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = sorted(names)


Found = tuple[type[Extension] | None, Option | str]


def find_long(name: str, loaded: Iterable[type[Extension]]) -> Found | None:
    """Find a long option: among the common ones, then in extensions, the latest loaded first.

    Args:
        name: without dashes; a unique prefix of an option is enough.
        loaded: the extensions, latest first.

    Returns:
        (None, letter) for a common option, else (extension, row); None if there is no such option.

    Raises:
        Ambiguous: several options have this prefix.
    """
    if name in LONG:
        return None, LONG[name]
    extensions = list(loaded)
    for extension in extensions:
        option = long_options(extension).get(name)
        if option is not None:
            return extension, option
    found: dict[str, Found] = {full: (None, letter) for full, letter in LONG.items() if full.startswith(name)}
    for extension in extensions:
        for full, option in long_options(extension).items():
            if full.startswith(name):
                found.setdefault(full, (extension, option))
    if not found:
        return None
    if len({id(target) if isinstance(target, Option) else target for _, target in found.values()}) > 1:
        raise Ambiguous(found)
    return next(iter(found.values()))
