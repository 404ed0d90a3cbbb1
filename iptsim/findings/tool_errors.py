"""Commands of nft, ufw, firewall-cmd and ebtables in a pasted text that failed: what they change does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from iptsim.findings.finding import SHOWN, Finding, of_line
from iptsim.findings.scene import Scene
from iptsim.host.pasted import ToolError
from iptsim.languages import Message, message, message_many, message_sentences
from iptsim.passages import shell

#: Programs that filter what bridges forward, and ARP.
_BRIDGE_TOOLS = ("ebtables", "arptables")
#: At most this many remedies are given.
_REMEDIES = 2
#: What errors of nft are about (nftables, src/evaluate.c and the kernel's error numbers), the most specific first.
_NFT: tuple[tuple[re.Pattern[str], Message], ...] = (
    (
        re.compile(r"NAT is only supported|type \"?nat\"? .*not supported|Chain of type"),
        message(
            "Tables of family inet can translate addresses since Linux 5.2 and nft 0.9.1. Before, make a table ip (and"
            " another one ip6) for it: nft add table ip NAME."
        ),
    ),
    (
        re.compile(r"syntax error.*expecting .*number"),
        message(
            "nft before 0.9.1 knows priorities only as numbers: srcnat is 100, dstnat -100, filter 0, mangle -150,"
            " raw -300."
        ),
    ),
    (
        re.compile(r"syntax error|unexpected"),
        message(
            "nft does not know the word above the marks (^). In a shell, braces, semicolons and asterisks need quotes"
            " or a backslash; an older nft lacks newer words."
        ),
    ),
    (
        re.compile(r"transport protocol mapping"),
        message(
            "A translation to a port needs a match on the transport protocol before it, such as tcp dport, or meta"
            " l4proto udp before th dport."
        ),
    ),
    (
        re.compile(r"[Ii]nterface does not exist"),
        message(
            "iif and oif need an interface that exists when the rule is loaded. For one that comes later, such as a"
            " tunnel, use iifname and oifname."
        ),
    ),
    (
        re.compile(r"No such file or directory"),
        message(
            "The table, chain or set does not exist, or the kernel lacks the module for what the rule uses. List what"
            " exists: nft list tables; nft list ruleset."
        ),
    ),
    (
        re.compile(r"[Nn]ot supported"),  # by the kernel
        message(
            "The kernel lacks what the rule uses. Load the module (nf_tables, nft_nat, nft_masq and others), or reboot"
            " after an update of the kernel."
        ),
    ),
    (re.compile(r"not permitted"), message("Run nft as root; in a container it needs NET_ADMIN.")),
    (
        re.compile(r"resource busy"),
        message("Rules still lead to the chain or use the set. Delete these rules first."),
    ),
    (
        re.compile(r"File exists"),
        message("It exists already, perhaps with another type, hook or policy: delete it first, or use add."),
    ),
)


def refused(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, commands of nft, ufw, firewall-cmd and ebtables that failed."""
    errors = sorted(scene.pasted.tool_errors, key=lambda one: one.tool)
    for tool, found in groupby(errors, key=lambda one: one.tool):
        own = list(found)
        yield Finding(
            "refused-command",
            title_of_failed(own),
            tuple(
                of_line(
                    one.line,
                    message("{command} ({why})", command=one.text, why=one.why),
                )
                for one in own[:SHOWN]
            ),
            _effect(tool),
            _remedy(own),
            None,
            scene.families[0],
        )


def title_of_failed(errors: Sequence[ToolError]) -> Message:
    """Return which command of one tool failed, and why, in one sentence."""
    first = errors[0]
    if first.tool == "firewall-cmd":
        return message(
            "firewalld is not running, so the firewall-cmd command of line {line} changes nothing.",
            line=first.line,
        )
    if first.tool in _BRIDGE_TOOLS:
        return message(
            "{tool} failed: the kernel does not support its table {table}.",
            tool=first.tool,
            table=first.marked,
        )
    return message_many(
        "{tool} rejects the command of line {line}: {why}.",
        "{tool} rejects {count} commands, the first of them in line {line}: {why}.",
        len(errors),
        tool=first.tool,
        line=first.line,
        why=f"{first.why} ({first.marked})" if first.marked else first.why,
    )


def _effect(tool: str) -> Message:
    if tool == "firewall-cmd":
        return message(
            "firewall-cmd asks the service firewalld to change the rules, and fails without it. wg-quick stops at a"
            " command of PostUp that fails, and takes the interface down again."
        )
    if tool == "ufw":
        return message("The command fails with an error, so its rule does not exist.")
    if tool in _BRIDGE_TOOLS:
        return message(
            "Programs that filter bridges with it, such as pve-firewall and libvirt, report an error and may write none"
            " of their rules."
        )
    return message(
        "What the command was to add does not exist. nft -f loads nothing of a file with an error; wg-quick stops at a"
        " command of PostUp that fails, and takes the interface down again."
    )


def _remedy(errors: Sequence[ToolError]) -> Message:
    if errors[0].tool == "firewall-cmd":
        return message(
            "Start it: systemctl enable --now firewalld. Or write the rules with the firewall that the host uses, such"
            " as iptables or nft."
        )
    advice = dict.fromkeys(filter(None, map(_advice, errors)))
    if not advice:
        return message("Correct the command.")
    return message_sentences(*list(advice)[:_REMEDIES])


#: The modules of statements that not every kernel has (net/netfilter/Makefile).
_MODULES = {
    "queue": "nft_queue", "masquerade": "nft_masq", "dnat": "nft_nat", "snat": "nft_nat", "redirect": "nft_redir",
    "tproxy": "nft_tproxy", "log": "nft_log", "limit": "nft_limit", "reject": "nft_reject", "fib": "nft_fib",
    "numgen": "nft_numgen", "quota": "nft_quota", "ct": "nft_ct", "socket": "nft_socket", "synproxy": "nft_synproxy",
    "flow": "nft_flow_offload", "osf": "nft_osf", "dup": "nft_dup_ipv4", "fwd": "nft_fwd_netdev",
    "jhash": "nft_hash", "symhash": "nft_hash",
}  # fmt: skip
_RANGE = re.compile(r"Bad port '?(\d+)-(\d+)")


def _advice(error: ToolError) -> Message | None:
    if error.tool == "ufw":
        return _advice_on_ufw(error.why)
    if error.tool in _BRIDGE_TOOLS:
        return message(
            "Load the module, for a container on its host: {load}. Or use the variant for nf_tables: {use}",
            load=shell(f"modprobe {error.tool.removesuffix('s')}_{error.marked}"),
            use=shell(f"update-alternatives --set {error.tool} /usr/sbin/{error.tool}-nft"),
        )
    module = _MODULES.get(error.marked.partition(" ")[0])
    if module is not None and re.search(r"No such file|[Nn]ot supported", error.why):
        return message(
            "The kernel lacks the module for {statement}. Load it: {command}. Or install the package with it (on"
            " OpenWrt kmod-nft-*).",
            statement=error.marked.partition(" ")[0],
            command=shell(f"modprobe {module}"),
        )
    return next((advice for words, advice in _NFT if words.search(error.why)), None)


def _advice_on_ufw(why: str) -> Message | None:
    if (found := _RANGE.match(why)) is not None:
        return message(
            "ufw writes a range of ports with a colon: {ports}.", ports=f"{found[1]}:{found[2]}/tcp"
        )
    if why.startswith("Must specify"):
        return message("For a range or a list of ports, name the protocol: 6000:6007/tcp, or proto tcp.")
    if why.startswith("Could not find a profile"):
        return message("ufw app list shows the names of the profiles; for a port, give its number.")
    return None
