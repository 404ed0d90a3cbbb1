"""What a pasted text says besides rules and its host: packets, connections that failed, errors, services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from iptsim.addresses import Family
from iptsim.host.logged_lines import LoggedLine
from iptsim.host.pasted_services import (
    ConfiguredPort,
    ListedPort,
    LoopbackListener,
    NarrowLink,
    OwnLoopback,
    StoppedContainer,
    UnpublishedPort,
    UnresolvedName,
)
from iptsim.languages import Text, message, message_if

#: The forms of texts that list routes.
ROUTES: dict[Family, tuple[str, ...]] = {4: ("ip route", "route"), 6: ("ip -6 route",)}
#: The name of the form of a list of processes of docker-proxy.
PROXIES = "docker-proxy processes"
#: The error of a connection that does not fail, although it should.
STILL_OPEN = "open"
#: This many places that were left out are named if there are at least two more.
_LISTED = 10


class Lines(NamedTuple):
    """Consecutive lines of a pasted text that have the same form, or no known form.

    Attributes:
        file: the text's name.
        first / last: numbers of the lines, from 1.
        form: what they are: "iptables -L -n -v (filter)"; empty for lines that were left out.
        table: the table of their rules, if they have only one.
        continues: they belong to the lines of this form before them; those between were left out.
    """

    file: str
    first: int
    last: int
    form: str = ""
    table: str | None = None
    continues: bool = False


class Complaint(NamedTuple):
    """What a pasted text complains of.

    Attributes:
        fails: something does not work, such as a connection that the text shows.
        allowed: something is allowed that should not be, or the author wants to forbid something.
        forwarded: it mentions machines behind the host, or others whose packets it may forward.
        senders: who tries to connect, as far as it says: any of `host`, `containers`, `guests` (machines behind the
            host, clients of a VPN) and `outside`; of some words more than one.
        between: containers do not reach each other.
        ports: the ports that it names.
    """

    fails: bool
    allowed: bool
    forwarded: bool
    senders: frozenset[str] = frozenset()
    between: bool = False
    ports: frozenset[int] = frozenset()


NO_COMPLAINT = Complaint(fails=False, allowed=False, forwarded=False)


class Reload(NamedTuple):
    """A command in a pasted text that loads other rules in place of all, or removes all of a table.

    Attributes:
        line: its number.
        command: "systemctl restart iptables".
    """

    line: int
    command: str


class FailedCommand(NamedTuple):
    """A command of iptables that a pasted log says has failed.

    Attributes:
        program: "iptables" or "ip6tables".
        words: its arguments.
        why: what the program printed.
        caller: the program that ran it, if it is not Docker or firewalld.
    """

    line: int
    program: str
    words: tuple[str, ...]
    why: str
    caller: str = ""

    @property
    def shown(self) -> str:
        """The command and what it printed; arguments with blanks are in quotation marks."""
        words = (f'"{word}"' if not word or " " in word else word for word in self.words)
        return f"{self.program} {' '.join(words)}: {self.why}"


class RefusedCommand(NamedTuple):
    """A command of iptables, or a line of a rules file, that iptables refuses in a pasted text.

    Attributes:
        line: its number.
        text: the command.
        why: the reason, as a clause; or what iptables printed.
        mended: the command that was probably meant; "" if unknown.
        printed: the text shows the error of iptables.
    """

    line: int
    family: Family
    text: str
    why: Text
    mended: str = ""
    printed: bool = False


class UncreatedChain(NamedTuple):
    """A chain that commands of a text add rules to, but do not create, unlike others.

    Attributes:
        name: the chain.
        table: its table.
        line: the line of the first such command.
        text: that command.
    """

    name: str
    table: str
    line: int
    text: str


class MisspeltVariable(NamedTuple):
    """A variable that a script uses but never sets, beside a similar one that it sets but never uses.

    Attributes:
        line: the number of a line with a command that uses it.
        text: that line.
        name: of the variable.
        meant: the similar one.
    """

    line: int
    text: str
    name: str
    meant: str


class QuotedCommand(NamedTuple):
    """A command in the environment of a Compose file whose quotation marks belong to the value.

    Attributes:
        line: its number.
        name: of the variable.
        text: the item of the list.
        mended: the item that was probably meant.
    """

    line: int
    name: str
    text: str
    mended: str


class EngineError(NamedTuple):
    """An error of Docker or Podman in a pasted text that no rule causes.

    Attributes:
        line: the number of the line that shows it.
        text: that line.
        kind: the code of the finding: "port-taken", "privileged-port", "address-pool-full", "subnet-taken",
            "name-server-silent", "name-server-refuses".
        port: the port of the host; 0 if it is not about one.
        sender / server: the address from which Docker's resolver asked a name server, and that of the server; "" for
            other errors.
    """

    line: int
    text: str
    kind: str
    port: int = 0
    sender: str = ""
    server: str = ""


class ToolError(NamedTuple):
    """A command of nft, ufw or firewall-cmd in a pasted text that failed, according to its error.

    Attributes:
        line: the number of the line with the command.
        text: the command.
        tool: "nft", "ufw" or "firewall-cmd".
        why: what it printed.
        marked: the words that nft marked, unless it marked all.
    """

    line: int
    text: str
    tool: str
    why: str
    marked: str = ""


class Grown(NamedTuple):
    """A counter that grew between two listings of the same chain in a pasted text.

    Attributes:
        position: the number of the rule; 0 for the chain's policy.
        packets: by how many packets it grew.
    """

    family: Family
    table: str
    chain: str
    position: int
    packets: int


class Lost(NamedTuple):
    """A rule that the first of two listings of a table in a pasted text has, but not the last one.

    Attributes:
        text: the rule, as in a dump.
        line: where the first listing has it.
    """

    family: Family
    table: str
    text: str
    line: int


class FirewalldZone(NamedTuple):
    """A zone of firewalld that a pasted text lists in full.

    Attributes:
        line: where its name is.
        target: "default", "ACCEPT", "DROP" or "%%REJECT%%".
    """

    line: int
    name: str
    interfaces: tuple[str, ...]
    target: str
    masquerades: bool


class FirewalldPolicy(NamedTuple):
    """A policy of firewalld that a pasted text lists.

    Attributes:
        line: where its name is.
        ingress / egress: the zones from which and to which packets pass; also ANY and HOST.
        target: "ACCEPT", "CONTINUE", "DROP" or "REJECT"; "" if not listed.
        forward_ports: the ports that it forwards, as listed.
    """

    line: int
    name: str
    ingress: tuple[str, ...]
    egress: tuple[str, ...]
    target: str
    forward_ports: tuple[str, ...]

    def allows(self, ingress: str, egress: str) -> bool:
        """Return whether all packets may pass from one zone to another."""
        return (
            self.target == "ACCEPT"
            and not {"ANY", ingress}.isdisjoint(self.ingress)
            and not {"ANY", egress}.isdisjoint(self.egress)
        )


@dataclass(frozen=True)
class Pasted:
    """How a pasted text was read.

    Attributes:
        segments: the lines that were read.
        left_out: the lines that were not.
        asked: the packets that the text describes, as fields of a batch line.
        logged: the lines in which the kernel logged a packet.
        with_rules: it shows rules, not only those that logged lines prove.
        listed_twice: it shows a table twice, with counters.
        grown: the counters that grew in between.
        lost: the rules that only the first one has.
        failed: commands that a log says have failed.
        searched: words of which it shows all lines of all tables: "DOCKER" of `iptables-save | grep DOCKER`.
        tried: those of the packets asked about that began a connection which failed.
        errors: how such a connection failed, where that is shown: "refused", "timeout", "unreachable"; or
            :data:`STILL_OPEN`.
        reloads: the commands that replaced or removed all rules, and after which Docker was not restarted.
        cut_off: a dump in it is cut off, so rules or tables are missing.
        published: ports of the host that listed containers publish.
        refused: the commands that iptables refuses.
        own_loopbacks: connections of containers to themselves that are meant for others.
        loopback_listeners: programs that listen on 127.0.0.1 only.
        narrow_link: a link that carries less than the packets of Docker's networks.
        unpublished: ports that failed connections are for, but that no container publishes.
        stopped: containers that do not run, and that failed connections are for.
        firewalld_reloads: the commands that made firewalld write its rules again.
        not_loaded: commands that changed only the permanent configuration of firewalld, which nothing below them loads.
        rejected_by: addresses that ping could not reach, and who sent the ICMP error of a rule that rejected it.
        engine_errors: errors of Docker and Podman that no rule causes.
        tool_errors: commands of nft, ufw and firewall-cmd that failed.
        engines: the engines of containers that it mentions: "docker", "podman", "kubernetes", "swarm".
        appended: commands that append rules to DOCKER-USER, of which the text shows no listing: their lines and texts.
        zones: the zones of firewalld that it lists.
        names_client: it mentions localhost, or a program such as curl that connects to a service.
        unresolved: names that could not be resolved.
        complaint: what it complains of.
        variables: those of scripts that are probably misspelt.
        uncreated: chains that commands add rules to, but do not create, unlike others.
        sshd_ports: the ports that settings of sshd name.
        says_refused: the lines that say that a connection was refused, with their texts.
        groups: the multicast groups to which INPUT has logged packets, so the host has joined them.
        patched: it has a change of rules, as diff prints it.
        interfaces: those whose addresses it shows.
        policies: the policies of firewalld that it lists.
        quoted: commands in a Compose file that fail because of their quotation marks.
        versions: the lines in which iptables printed its version and variant.
        kernel: the first two numbers of the version of Linux that it shows or names.
    """

    segments: tuple[Lines, ...] = ()
    left_out: tuple[Lines, ...] = ()
    asked: tuple[dict[str, Any], ...] = ()
    logged: tuple[LoggedLine, ...] = ()
    with_rules: bool = False
    listed_twice: bool = False
    grown: tuple[Grown, ...] = ()
    lost: tuple[Lost, ...] = ()
    failed: tuple[FailedCommand, ...] = ()
    searched: frozenset[str] = frozenset()
    tried: tuple[dict[str, Any], ...] = ()
    errors: tuple[tuple[dict[str, Any], str], ...] = ()
    reloads: tuple[Reload, ...] = ()
    cut_off: bool = False
    published: tuple[ListedPort, ...] = ()
    refused: tuple[RefusedCommand, ...] = ()
    own_loopbacks: tuple[OwnLoopback, ...] = ()
    loopback_listeners: tuple[LoopbackListener, ...] = ()
    narrow_link: NarrowLink | None = None
    unpublished: tuple[UnpublishedPort, ...] = ()
    stopped: tuple[StoppedContainer, ...] = ()
    firewalld_reloads: tuple[Reload, ...] = ()
    not_loaded: tuple[Reload, ...] = ()
    rejected_by: tuple[tuple[str, str], ...] = ()
    engine_errors: tuple[EngineError, ...] = ()
    tool_errors: tuple[ToolError, ...] = ()
    appended: tuple[tuple[int, str], ...] = ()
    complaint: Complaint = NO_COMPLAINT
    engines: tuple[str, ...] = ()
    names_client: bool = False
    zones: tuple[FirewalldZone, ...] = ()
    unresolved: tuple[UnresolvedName, ...] = ()
    groups: frozenset[int] = frozenset()
    patched: bool = False
    interfaces: frozenset[str] = frozenset()
    policies: tuple[FirewalldPolicy, ...] = ()
    quoted: tuple[QuotedCommand, ...] = ()
    versions: tuple[tuple[int, str], ...] = ()
    kernel: tuple[int, int] | None = None
    variables: tuple[MisspeltVariable, ...] = ()
    uncreated: tuple[UncreatedChain, ...] = ()
    sshd_ports: tuple[ConfiguredPort, ...] = ()
    says_refused: tuple[tuple[int, str], ...] = ()

    @property
    def shows_proxies(self) -> bool:
        """Whether it shows processes of docker-proxy."""
        return any(one.form == PROXIES for one in self.segments)

    def error_of(self, fields: Mapping[str, Any]) -> str:
        """Return how a connection failed; "" if that is not shown."""
        return next((kind for tried, kind in self.errors if tried == fields), "")

    def shows_routes(self, family: Family) -> bool:
        """Return whether it lists routes of a family; those of a host whose text lists none are inferred."""
        return any(one.form in ROUTES[family] for one in self.segments)

    def summary(self) -> str:
        """Return which lines were read and which were not: "read: lines 3-41 iptables -L (filter); left out: 1-2"."""
        files = {one.file for one in (*self.segments, *self.left_out)}

        def lines(one: Lines) -> str:
            numbers = str(one.first) if one.first == one.last else f"{one.first}-{one.last}"
            return f"{one.file} {numbers}" if len(files) > 1 else numbers

        followed = [one.continues for one in self.segments[1:]] + [False]
        read = ", ".join(
            lines(one) if goes_on else f"{lines(one)} {one.form}"
            for one, goes_on in zip(self.segments, followed, strict=True)
        )
        named = self.left_out if len(self.left_out) <= _LISTED + 1 else self.left_out[:_LISTED]
        left: Text = ", ".join(map(lines, named))
        if more := len(self.left_out) - len(named):
            left = message("{places} and {count} more places", places=left, count=more)
        alone = len(self.segments) == 1 and self.segments[0].first == self.segments[0].last
        shown = message_if(alone, "line {places}", "lines {places}", places=read)
        return str(message_if(left, "read: {read}; left out: {left}", "read: {read}", read=shown, left=left))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, as in the JSON output."""
        return {
            "segments": [
                {
                    "file": one.file,
                    "form": one.form,
                    "lines": [one.first, one.last],
                    **({"table": one.table} if one.table else {}),
                }
                for one in self.segments
            ],
            "left_out": [{"file": one.file, "lines": [one.first, one.last]} for one in self.left_out],
        }
