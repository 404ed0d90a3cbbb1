"""Reading a capture or a bare dump into a :class:`Host`.

The reader of captures is only loaded for a source that is one: its models take a twentieth of a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from iptsim.addresses import Family
from iptsim.dump.ruleset import Ruleset
from iptsim.errors import CaptureError
from iptsim.host import infer
from iptsim.host.dumps import on_top, read_dump
from iptsim.host.files import Source, read_source
from iptsim.host.model import Host
from iptsim.host.namespace import InterfaceAddress, Namespace
from iptsim.host.nft_hints import hinted
from iptsim.languages import message
from iptsim.reading import read_file


def load_host(
    path: str | Path,
    *,
    lenient: bool = False,
    docker_inspect: str | Path | None = None,
    noflush: str | Path | None = None,
) -> Host:
    """Read a host from a capture or a dump.

    A capture is a directory, or a .tar.gz, .tar or .zip of one; "-" means standard input. For a bare
    dump, and for missing files of a capture, the host is inferred from the rules; every assumption is
    a sentence in :attr:`Host.assumptions`.

    Args:
        path: the path of the capture or dump.
        lenient: skip lines that do not belong in a dump, with a warning instead of an error.
        docker_inspect: a file with the output of `docker inspect`, for a source without one.
        noflush: a file with rules to add to those of the source, as `iptables-restore --noflush` does.

    Raises:
        CaptureError: something is missing or damaged; the message names the file and the position in it.
        DumpSyntaxError: iptables-restore would reject a line of the dump.
        DumpErrors: it would reject several lines.
    """
    return read_host(read_source(path), lenient=lenient, docker_inspect=docker_inspect, noflush=noflush)


def read_host(
    source: Source,
    *,
    lenient: bool = False,
    docker_inspect: str | Path | None = None,
    noflush: str | Path | None = None,
    tolerant: bool = False,
) -> Host:
    """Read a host from the files found at a path, as :func:`load_host` does.

    With `tolerant`, redacted Ethernet addresses are unknown conditions, and reading a dump stops at the first line that
    iptables-restore would reject for another reason: the text will be read as pasted text.
    """
    if docker_inspect is not None:
        source = _with_containers(source, Path(docker_inspect))
    if source.dump is None:
        from iptsim.host.capture_files import CaptureFiles

        return CaptureFiles(source, lenient, noflush, tolerant=tolerant).read()
    ruleset = read_dump(source.dump, source.name, None, lenient, tolerant=tolerant)
    if not ruleset.tables:
        raise CaptureError(
            message(
                "{name}: the file has no table; save it again as root: iptables-save -c > {name}",
                name=source.name,
            )
        )
    if noflush is not None:
        ruleset = on_top({ruleset.family: ruleset}, noflush, lenient)
    host = Host(rulesets={ruleset.family: ruleset}, inferred=True, source=source.name)
    infer.complete(host, ())
    host.namespace.nftables = hinted([ruleset], None)
    return host


def host_of(
    source: Source,
    rulesets: Mapping[Family, Ruleset],
    own: Mapping[str, Sequence[InterfaceAddress]] = MappingProxyType({}),
) -> Host:
    """Return the host of rules that have been read, and of the other files of a capture.

    Args:
        source: the files.
        rulesets: the rules.
        own: addresses that must be the host's, by the interface on which packets to them arrive.
    """
    from iptsim.host.capture_files import CaptureFiles

    host = CaptureFiles(source, lenient=False, rulesets=rulesets, own=own).read()
    host.inferred = host.inferred or not {"ip-addr.json", "ip-link.json"} & set(source.files)
    return host


def namespace_of(source: Source) -> Namespace:
    """Return the interfaces, routes and kernel parameters that files of a capture show, and nothing inferred.

    Raises:
        CaptureError: a file is damaged; the message names it.
    """
    from iptsim.host.capture_files import CaptureFiles

    return CaptureFiles(source, lenient=False).namespace()


def _with_containers(source: Source, path: Path) -> Source:
    """Add the output of `docker inspect` to a source; a dump becomes a capture."""
    from iptsim.dump.header import guess_family
    from iptsim.dump.text import decode

    files = {**source.files, "docker-inspect.json": read_file(path)}
    if source.dump is not None:
        family = guess_family(decode(source.dump, source.name, lenient=True))
        files["iptables-save.txt" if family == 4 else "ip6tables-save.txt"] = source.dump
    return source._replace(files=files, dump=None)
