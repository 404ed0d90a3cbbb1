"""The contents of segments of a pasted text: rules, facts about the host, questions, evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from iptsim.addresses import Family
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.options import command_letter
from iptsim.dump.rule import Counters
from iptsim.dump.words import Word
from iptsim.extensions.hidden import Hidden
from iptsim.extensions.options import quote
from iptsim.host.logged_lines import LoggedLine
from iptsim.host.pasted import FailedCommand, FirewalldPolicy
from iptsim.languages import Text, message


def made_words(texts: Iterable[str]) -> tuple[Word, ...]:
    """Return words that do not occur in the text in this form, as a dump would print them."""
    return tuple(Word(quote(one), one, 0, 0) for one in texts)


def plain_words(texts: Iterable[str]) -> tuple[Word, ...]:
    """Return the same for words that need no quotes."""
    return tuple(Word(one, one, 0, 0) for one in texts)


class ChainItem(NamedTuple):
    """A chain: a listing's heading, `:CHAIN POLICY`, `-P CHAIN POLICY` or `-N CHAIN`.

    Attributes:
        policy: of a built-in chain, "" if it is not shown, else None.
        references: the number of rules that jump to it, if a listing shows it.
    """

    name: str
    policy: str | None
    counters: Counters | None
    line: int
    references: int | None = None


class RuleItem(NamedTuple):
    """A rule of a chain.

    Attributes:
        chain: its chain, or None if unknown.
        words: its options, as for iptables.
        position: its number, if a listing shows it.
        hidden: conditions that are not shown, or unreadable.
        text: the line, for messages.
    """

    chain: str | None
    words: tuple[Word, ...]
    line: int
    text: str
    counters: Counters | None = None
    position: int | None = None
    hidden: tuple[Hidden, ...] = ()


class GapItem(NamedTuple):
    """Rules may be missing here.

    Attributes:
        chain: the chain; None if no rule precedes.
        later: rules of later chains may be missing too, as a dump goes chain by chain.
    """

    chain: str | None
    line: int
    text: str
    later: bool = False


#: The rule with which firewalls let replies pass.
ACCEPT_REPLIES = ("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT")


class CommandItem(NamedTuple):
    """A command that changes rules: its words from the action on, and its unknown conditions."""

    words: tuple[Word, ...]
    line: int
    text: str
    counters: Counters | None = None
    hidden: tuple[Hidden, ...] = ()

    @property
    def texts(self) -> list[str]:
        """Its words without quotes."""
        return [word.text for word in self.words]

    @property
    def letter(self) -> str:
        """The letter of its action: "A" for -A and --append; "" if there is no such action."""
        return command_letter(self.words[0].text) if self.words else ""

    @property
    def chain(self) -> str | None:
        """The chain that it names; None for all chains of the table."""
        return self.words[1].text if len(self.words) > 1 else None


Item = ChainItem | RuleItem | GapItem | CommandItem


@dataclass(slots=True)
class Rules:
    """Rules of one table of one address family.

    Attributes:
        table: its name.
        family: 4 or 6, or None if unknown.
        items: its items, in order.
        whole: the table starts here and replaces an earlier one; otherwise the commands change the earlier one.
        named: it starts with a line `*TABLE`.
        fragment: the policies of the built-in chains are not shown, and rules may follow.
        backend: "nf_tables" or "legacy", or None if unknown.
        version: of iptables, or None if unknown.
        filtered: the filter through which the output was piped, so that any rule may be missing.
        of_all_tables: a command printed it that prints all tables.
        searched: the word of which it shows all lines of all tables, as `iptables-save | grep WORD` does.
        cut: the last table of a dump that was cut off; other tables may follow.
        unfinished: a table of a dump without its COMMIT; rules may follow.
        traced: the rules that TRACE shows: the packet matched no other ones between them.
        chain: the chain that the command names whose output it is, as `iptables -S CHAIN`; "" for none.
        status: made from the output of a firewall's own command (ufw, firewalld), without the rules of other programs.
        headless: a table of a dump without its beginning: rules may precede those that are shown.
        broken: it ends within a chain, at an unreadable line.
        printed: iptables printed it, which shows every built-in chain, so missing ones were cut out.
    """

    table: str
    family: Family | None
    items: list[Item] = field(default_factory=list)
    whole: bool = True
    named: bool = False
    fragment: bool = False
    backend: str | None = None
    version: str | None = None
    filtered: str = ""
    of_all_tables: bool = False
    searched: str = ""
    cut: bool = False
    unfinished: bool = False
    headless: bool = False
    broken: bool = False
    printed: bool = False
    traced: bool = False
    chain: str = ""
    status: bool = False

    @property
    def commands(self) -> bool:
        """Whether it consists only of commands that change existing rules."""
        return not self.whole and all(isinstance(item, CommandItem | GapItem) for item in self.items)

    @property
    def shown_chains(self) -> set[str]:
        """The chains that it shows: with `iptables -L CHAIN`, several pieces make a table."""
        chains = {item.name for item in self.items if isinstance(item, ChainItem)}
        return chains or {item.chain for item in self.items if isinstance(item, RuleItem) and item.chain}

    @property
    def adds_chains(self) -> bool:
        """Whether it is a file that a tool loads on top of others, as ufw's after.rules: without built-in chains."""
        chains = {item.name for item in self.items if isinstance(item, ChainItem)}
        chains |= {item.chain or "" for item in self.items if isinstance(item, RuleItem)}
        others = chains & {"", "DOCKER", *BUILTIN_CHAINS.get(self.table, ())}
        return self.named and not (self.filtered or self.cut or self.unfinished or others)

    @property
    def is_open(self) -> bool:
        """Whether rules, or the policy of a built-in chain (""), may be missing."""
        gaps = self.whole and any(isinstance(item, GapItem) for item in self.items)
        hides = any(isinstance(item, ChainItem) and item.policy == "" for item in self.items)
        return self.fragment or bool(self.filtered) or gaps or hides


@dataclass(slots=True)
class Facts:
    """Files of a capture, by their names (:data:`iptsim.host.files.FILES`), in the form that the readers expect.

    Attributes:
        files: the contents of the files.
        told: a warning tells it, so anything that shows it counts instead, wherever it stands.
    """

    files: Mapping[str, bytes]
    told: bool = False


@dataclass(slots=True)
class Ask:
    """A packet that the text describes: fields of a batch line (:class:`iptsim.question.model.Question`).

    Attributes:
        fields: the fields.
        line: its line.
        container: the name or ID of the container that sends it; "" for one that is not named, None for none; or
            another machine (:data:`iptsim.paste.where_typed.ELSEWHERE`).
        error: how the connection failed: "refused", "timeout", "unreachable"; "" if that is not shown.
        composed: Compose names the container by its service: it is on a network of its project.
        seen_on: the interface on which it was seen, coming in or going out; "" if that is not shown.
    """

    fields: dict[str, Any]
    line: int
    container: str | None = None
    error: str = ""
    composed: bool = False
    seen_on: str = ""


@dataclass(slots=True)
class Settings:
    """Settings of Docker, from which a host can be made.

    Attributes:
        daemon: the settings from daemon.json, or from the daemon's command line.
        services / networks: those of a Compose file; `docker run` and `docker network create` make some, too.
        line: where they begin.
        in_order: commands made them, in this order.
        is_file: they are a Compose file with `services:`, not a part of one.
        text: of such a file, its lines.
    """

    line: int
    daemon: dict[str, Any] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, Any] = field(default_factory=dict)
    in_order: bool = False
    is_file: bool = False
    text: str = ""


@dataclass(slots=True)
class Listed:
    """A container in a list of its name and published ports.

    Attributes:
        image / id: as listed; "" if not listed.
        ports: address on the host ("" for all), port on the host, the container's port, protocol.
        exposed: ports of the container that are listed without a port of the host, with their protocols.
        stopped: its status, if it does not run: "Exited (1) 2 hours ago", "Exit 1".
        networks: the networks that it is on; () if not listed.
        address: its IP address, which is its name, too, if that is not listed; "" if not listed.
    """

    name: str
    image: str
    id: str
    ports: tuple[tuple[str, int, int, str], ...]
    exposed: tuple[tuple[int, str], ...] = ()
    stopped: str = ""
    networks: tuple[str, ...] = ()
    address: str = ""


@dataclass(slots=True)
class Zone:
    """A zone of firewalld, as listed; a list of active zones shows only its interfaces and sources.

    Attributes:
        default: it is the zone of all other packets.
        fields: each field's words, or its lines.
        unread: commands below the list that change it in ways that are not known.
    """

    name: str
    default: bool
    line: int
    fields: dict[str, list[str]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Resolver:
    """A resolv.conf of the host, or of a container.

    Attributes:
        text: its contents.
        container: the container's name, "" for the host.
    """

    text: str
    container: str = ""


@dataclass(slots=True)
class Sockets:
    """Listening sockets of the host, or of the container in which they were listed.

    Attributes:
        text: the sockets, as `ss -H -lntup` prints them.
        listed: the protocols of which it has all listening sockets: 6, 17.
    """

    text: str
    listed: frozenset[int]


@dataclass(slots=True)
class Warned:
    """Something unusual in the text, to pass on as a warning."""

    text: Text
    line: int


def not_applied(program: str, line: int) -> Warned:
    """Return the warning that commands below the rules of a text do not change these."""
    return Warned(
        message(
            "the commands of {program} from here on, below the rules, are not applied to them; "
            "show the rules that they lead to",
            program=program,
        ),
        line,
    )


Piece = (
    Rules
    | Facts
    | Ask
    | LoggedLine
    | Settings
    | Listed
    | Zone
    | FirewalldPolicy
    | Resolver
    | Sockets
    | FailedCommand
    | Warned
)


@dataclass(slots=True)
class Segment:
    """Lines of a text that have one form.

    Attributes:
        form: its name: "iptables -L", "iptables-save", "ip addr" ...
        title: the form with details: "iptables -L -n -v (filter)".
        first / last: indexes of its lines, from 0.
        pieces: its contents.
        unread: indexes of its unread lines.
        table: the table of its rules.
        place: the container in which it was printed; "" if unknown, None for the host, or if no command is shown.
    """

    form: str
    title: str
    first: int
    last: int
    pieces: list[Piece] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    table: str | None = None
    place: str | None = None
