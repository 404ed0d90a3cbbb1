"""What the segments of a pasted text hold: rules, facts about the host, questions, evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from iptsim.dump.ruleset import Counters
from iptsim.dump.words import Word
from iptsim.extensions.hidden import Hidden
from iptsim.languages import Text
from iptsim.packet import Family


class ChainItem(NamedTuple):
    """A chain: a listing's heading, `:CHAIN POLICY`, `-P CHAIN POLICY` or `-N CHAIN`.

    Attributes:
        policy: of a built-in chain, else None.
        references: how many rules lead to it, where a listing says so.
    """

    name: str
    policy: str | None
    counters: Counters | None
    line: int
    references: int | None = None


class RuleItem(NamedTuple):
    """A rule of a chain.

    Attributes:
        chain: where it stands, None where nothing says so.
        words: its options, as iptables takes them.
        position: its number, where a listing shows it.
        hidden: conditions that the listing does not show, or that can't be read.
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
        chain: of this chain; None where no rule precedes.
        later: and of the chains behind it that have no rule yet, as a dump goes chain by chain.
    """

    chain: str | None
    line: int
    text: str
    later: bool = False


class CommandItem(NamedTuple):
    """A command that changes rules: its words from the option on that names it, and what of it is not known."""

    words: tuple[Word, ...]
    line: int
    text: str
    counters: Counters | None = None
    hidden: tuple[Hidden, ...] = ()


Item = ChainItem | RuleItem | GapItem | CommandItem


@dataclass(slots=True)
class Rules:
    """Rules of one table of one address family.

    Attributes:
        table: its name.
        family: 4 or 6, None where nothing tells.
        items: what the text says, in order.
        whole: the table begins anew here: what was said of it before is replaced. A command changes what is there.
        named: a line `*TABLE` begins it.
        fragment: the policies of the built-in chains are not shown, and rules may follow.
        backend: "nf_tables" or "legacy", None where nothing tells.
        version: of iptables, None where nothing tells.
        filtered: what the output was piped through; then any rule may be missing.
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


@dataclass(slots=True)
class Facts:
    """Files of a capture, by their names there (:data:`iptsim.host.files.FILES`), as its readers take them."""

    files: Mapping[str, bytes]


@dataclass(slots=True)
class Ask:
    """A packet that the text tells of: fields of a batch line (:class:`iptsim.question.model.Question`).

    Attributes:
        fields: they.
        line: where it stands.
    """

    fields: dict[str, Any]
    line: int


class Visit(NamedTuple):
    """What a TRACE line says: a packet matched a rule, or came to the end of a chain.

    Attributes:
        kind: "rule", "policy" or "return".
        number: of the rule; of the others, one more than there are rules.
    """

    table: str
    chain: str
    kind: str
    number: int


@dataclass(slots=True)
class Logged:
    """A packet that a rule logged.

    Attributes:
        family: 4 or 6.
        hook: where, as its interfaces show.
        prefix: what the rule writes before it.
        verdict: what the prefix says that becomes of it, None where it says nothing.
        fields: the packet, as fields of a batch line.
        line: where it stands.
        visit: the rule, of a TRACE line.
        conditions: options of a rule that only such packets match.
    """

    family: Family
    hook: str
    prefix: str
    verdict: str | None
    fields: dict[str, Any]
    line: int
    visit: Visit | None = None
    conditions: tuple[str, ...] = ()


@dataclass(slots=True)
class Settings:
    """Settings of Docker, of which a host can be made.

    Attributes:
        daemon: the contents of daemon.json, or of the daemon's command line.
        services / networks: those of a Compose file; `docker run` and `docker network create` make some, too.
        line: where they begin.
    """

    line: int
    daemon: dict[str, Any] = field(default_factory=dict)
    services: dict[str, Any] = field(default_factory=dict)
    networks: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Warned:
    """Something odd that the text says, as a warning to pass on."""

    text: Text
    line: int


Piece = Rules | Facts | Ask | Logged | Settings | Warned


@dataclass(slots=True)
class Segment:
    """Lines of a text that have one form.

    Attributes:
        form: its name: "iptables -L", "iptables-save", "ip addr" ...
        title: the form with what was found out: "iptables -L -n -v (filter)".
        first / last: indexes of its lines, from 0.
        pieces: what it holds.
        unread: indexes of lines among them that were left out.
        table: of rules.
    """

    form: str
    title: str
    first: int
    last: int
    pieces: list[Piece] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)
    table: str | None = None
