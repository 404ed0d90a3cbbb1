"""Reads every kind of source: dumps and captures directly, and any other text as pasted text.

The reader of pasted texts is only loaded where a source is no plain dump or capture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.header import families_named
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import CaptureError, DumpErrors, DumpSyntaxError
from iptsim.host.capture import read_host
from iptsim.host.files import DUMPS, LISTINGS, Source, read_source, text_source
from iptsim.host.model import Host
from iptsim.languages import message_if
from iptsim.reading import read_file

_TABLE = re.compile(r"^[ \t]*\*", re.MULTILINE)
#: Root's prompt, or a comment, with the name of a program of iptables.
_PROMPTED = re.compile(r"^[ \t]*#.*tables.*", re.MULTILINE)


def load_host(
    path: str | Path,
    *,
    strict: bool = False,
    extra: Sequence[str | Path] = (),
    docker_inspect: str | Path | None = None,
    noflush: str | Path | None = None,
    logged: Callable[[], Mapping[str, str]] | None = None,
) -> Host:
    """Read a host from a dump, a capture, or any pasted text.

    A capture is a directory, or a .tar.gz, .tar or .zip of one; "-" represents standard input. From any other text,
    everything in a known format is read: listings of `iptables -L` and -S, dumps and parts of them, the output of other
    tools. :attr:`Host.pasted` says what was read and what was not. What the text does not show is unknown; each
    assumption is a sentence in :attr:`Host.assumptions`.

    Args:
        path: the path of the source.
        strict: reject texts that iptables-restore would reject and that are not captures.
        extra: further texts about the same host.
        docker_inspect: a file with the output of `docker inspect`, for a source without one.
        noflush: a file with rules that are added to those of the source, as `iptables-restore --noflush` does; the
            source is then read strictly.
        logged: returns lines that the host's kernel logged, by the name of their text; it is called only if the source
            does not show the host's addresses.

    Raises:
        CaptureError: something is missing or damaged, or nothing has a known format.
        DumpSyntaxError: with `strict`, iptables-restore would reject a line of the dump.
        DumpErrors: likewise, several of them.
    """
    # rules can be added to a dump, but not to a part of one
    strict = strict or noflush is not None
    source = read_source(path, any_text=not strict)
    host = _host_of(source, strict, extra, docker_inspect, noflush)
    if logged is None or strict or not host.inferred or not (lines := logged()):
        return host
    return _pasted(source, extra, docker_inspect, {name: text.encode() for name, text in lines.items()})


def loads_host(text: str, *, strict: bool = False) -> Host:
    """Read a host from a text, such as one pasted into a notebook; see :func:`load_host`.

    Args:
        text: a dump, or any text with rules in it.
        strict: as for :func:`load_host`.

    Raises:
        CaptureError: nothing in it has a known format.
        DumpSyntaxError: as for :func:`load_host`.
        DumpErrors: likewise.
    """
    return _host_of(text_source("<text>", text), strict)


def _host_of(
    source: Source,
    strict: bool,
    extra: Sequence[str | Path] = (),
    docker_inspect: str | Path | None = None,
    noflush: str | Path | None = None,
) -> Host:
    if strict or (_is_plain(source) and not extra):
        try:
            # a text with an error is read again, tolerantly
            host = read_host(source, docker_inspect=docker_inspect, noflush=noflush, tolerant=not strict)
            if strict or noflush is not None or not any(map(_lacks_chains, host.rulesets.values())):
                return host
        except (DumpSyntaxError, DumpErrors, CaptureError):
            if strict or not _may_be_pasted(source):
                raise
    return _pasted(source, extra, docker_inspect)


def _pasted(
    source: Source,
    extra: Sequence[str | Path],
    docker_inspect: str | Path | None,
    more: Mapping[str, bytes] = MappingProxyType({}),
) -> Host:
    from iptsim.paste.assembly import host_of_source

    texts = dict[str, bytes]()
    for file in extra:
        found = read_source(file, any_text=True)
        rules = {name: found.files.pop(name) for name in (*DUMPS, *LISTINGS) if name in found.files}
        texts |= {str(file): found.dump} if found.dump is not None else {}
        texts |= {f"{file}/{name}": data for name, data in {**rules, **found.texts}.items()}
        for name, data in found.files.items():
            source.files.setdefault(name, data)
    if docker_inspect is not None:
        source.files.setdefault("docker-inspect.json", read_file(docker_inspect))
    return host_of_source(source, {**texts, **more})


def load(path: str | Path, *, strict: bool = False, family: Family | None = None) -> Ruleset:
    """Read the rules of one address family from a dump, a capture, or any pasted text.

    Args:
        path: the path of the source.
        strict: as for :func:`load_host`.
        family: 4 or 6; without it, the first that there is.

    Raises:
        CaptureError: there are none, or none of that family.
        DumpSyntaxError: as for :func:`load_host`.
        DumpErrors: likewise.
    """
    rulesets = load_host(path, strict=strict).rulesets
    found = rulesets.get(family) if family else next(iter(rulesets.values()), None)
    if found is None:
        raise CaptureError(
            message_if(
                family,
                "{path}: no IPv{family} rules",
                "{path}: no rules{family}",
                path=str(path),
                family=family or "",
            )
        )
    return found


def _is_plain(source: Source) -> bool:
    """Return whether a source may be a dump of one address family, or a capture with one."""
    if source.dump is not None:
        text = source.dump.decode("utf-8", "replace")
        return len(families_named(text)) < 2 and not _was_typed(text)
    return not (source.texts or any(name in source.files for name in LISTINGS))


def _was_typed(text: str) -> bool:
    """Return whether a line above the rules, which could be a comment, is the command that printed a part of them.

    `#` is the prompt of root. The command tells through which filter the rules went, and the table of a listing.
    """
    table = _TABLE.search(text)
    found = _PROMPTED.findall(text[: table.start()] if table else text)
    typed = [line.replace("#", "# ", 1) for line in found]  # the blank may be missing
    if not typed:
        return False
    from iptsim.paste.prompts import command_of

    commands = (command for command in map(command_of, typed) if command is not None and command.prints_rules)
    return any(command.filtered or table is None for command in commands)


def _lacks_chains(ruleset: Ruleset) -> bool:
    """Return whether built-in chains are missing that iptables would have shown, or rules at the end.

    A listing shows all those of table filter, with their policies. A table with other chains alone is for
    iptables-restore --noflush: it comes on top of rules that are not shown.
    """
    for one in ruleset.tables.values():
        if one.chains and not any(chain.builtin for chain in one.chains.values()):
            return True
    table = ruleset.tables.get("filter")
    if not ruleset.listed or table is None:
        return False
    if table.lacks_rules:
        return True
    return not set(BUILTIN_CHAINS["filter"]) <= {
        chain.name for chain in table.chains.values() if chain.declared
    }


def _may_be_pasted(source: Source) -> bool:
    """Return whether what could not be read as a dump may be another text."""
    return source.dump is not None or any(name.endswith("tables-save.txt") for name in source.files)
