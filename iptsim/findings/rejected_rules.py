"""Rules that do not exist: iptables refuses the command, or the kernel rejects what iptables accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from iptsim.addresses import Family
from iptsim.dump import loads
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.extension_names import target_names
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.errors import IptsimError
from iptsim.explanation.places import place_of
from iptsim.extensions.registry import find_target
from iptsim.extensions.unknown import UnknownTarget
from iptsim.extensions.values import any_of
from iptsim.findings.failed_commands import chain_missing
from iptsim.findings.finding import SHOWN, Evidence, Finding, of_line, of_rule
from iptsim.findings.scene import Scene
from iptsim.host.pasted import RefusedCommand
from iptsim.languages import Message, Text, message, message_joined, message_many, message_sentences
from iptsim.passages import shell
from iptsim.suggestions import is_slip, nearest

#: Options of commands that list rules, and of those that change some.
_LISTS = re.compile(r"\s-[a-z]*[LS][a-z]*(?=\s|$)|\s--list(?:-rules)?(?=\s|$)")
_CHANGES = re.compile(r"\s-[AIDRPFXNEZ](?=\s|$)")
#: What iptables-nft warns of before its error.
_LACKED = re.compile(r"Extension (\w+) revision \d+ not supported, missing kernel module")
#: The set of bridges in the rules of dockerd 28.0.0 (moby/moby#49530 replaced it in 28.0.1).
_DOCKERS_SET = "docker-ext-bridges"
_DOES_NOT_EXIST = message(
    "iptables fails with an error, and the rule does not exist. If it is in a file, iptables-restore loads nothing of"
    " its table."
)
_NO_CHAIN = re.compile(r"Chain '([A-Z]+)' does not exist")


def rejected(scene: Scene) -> Iterator[Finding]:
    """Find rules of a file or of commands that the kernel rejects, so that they do not exist."""
    for family in scene.families:
        known = {one.line for one in scene.pasted.refused}
        rules = [
            rule for rule in scene.host.rulesets[family].rules() if rule.refused and rule.line not in known
        ]
        if not rules:
            continue
        yield Finding(
            "rejected-rule",
            message_many(
                "The kernel rejects {place}: {why}.",
                "The kernel rejects {count} rules, the first of them {place}: {why}.",
                len(rules),
                place=place_of(rules[0]),
                why=rules[0].refused,
            ),
            tuple(map(of_rule, rules[:SHOWN])),
            _DOES_NOT_EXIST,
            _remedy(scene, family, rules[0]),
            None,
            family,
        )


def misspelt_targets(scene: Scene) -> Iterator[Finding]:
    """Find rules of a file whose target is a misspelt one, so that iptables-restore loads nothing of the file."""
    for family in scene.families:
        rules = [
            (rule, near)
            for rule in scene.host.rulesets[family].rules()
            if isinstance(rule.target, UnknownTarget)
            for near in [nearest(rule.target_name, target_names(), 0.8)]
            if near and is_slip(rule.target_name or "", near)
        ]
        for rule, near in rules[:1]:
            yield Finding(
                "rejected-rule",
                message(
                    "iptables rejects {place}: there is no target {name}.",
                    place=place_of(rule),
                    name=rule.target_name,
                ),
                tuple(of_rule(one) for one, _ in rules[:SHOWN]),
                _DOES_NOT_EXIST,
                message("Probably meant: {commands}", commands=shell(f"-j {near}")),
                None,
                family,
            )


def refused_commands(scene: Scene) -> list[RefusedCommand]:
    """Return the commands of a pasted text that iptables refuses, and the errors that it printed, by line."""
    found: dict[int, RefusedCommand] = {}
    # in logs of programs that retry; for chains of Docker, docker-rules-flushed reports it
    reported = {one.line for one in scene.pasted.failed if chain_missing(one)}
    for one in scene.pasted.refused:
        if one.line not in reported:
            # the reason comes first: the words of iptables are about how it reads its arguments
            rule = _rejected_at(scene, one)
            found.setdefault(one.line, one if rule is None else one._replace(why=rule.refused))
    return sorted(found.values(), key=lambda one: one.line)


def _rejected_at(scene: Scene, one: RefusedCommand) -> Rule | None:
    """Return the rule of a command that the kernel rejected, if the reason is known: iptables prints none."""
    if not one.printed or "RULE_" not in str(one.why):
        return None
    rules = scene.host.rulesets[one.family].rules() if one.family in scene.host.rulesets else ()
    return next((rule for rule in rules if rule.refused and rule.line == one.line), None)


def title_of_refused(commands: list[RefusedCommand]) -> Message:
    """Return which command iptables refuses, and why, in one sentence."""
    if len(commands) == 1 and _is_alone(commands[0]):
        return message("iptables reports an error: {why}. The command is not shown.", why=commands[0].why)
    return message_many(
        "iptables rejects the command of line {line}: {why}.",
        "iptables rejects {count} commands, the first of them in line {line}: {why}.",
        len(commands),
        line=commands[0].line,
        why=_reason(commands[0]),
    )


def _reason(one: RefusedCommand) -> Text:
    lacked = _LACKED.search(f"{one.text} {one.why}")
    return message("the kernel has no extension {name}", name=lacked[1]) if lacked else one.why


def _title_tells(commands: list[RefusedCommand]) -> bool:
    """Return whether the title says why iptables refuses the command."""
    return len(commands) == 1 and _reason(commands[0]) is commands[0].why


def _is_alone(error: RefusedCommand) -> bool:
    """Return whether an error stands without the command that failed, which may have added no rule."""
    whole = error.printed and error.text.rstrip(" .").endswith(str(error.why)) and " -" not in error.text
    return whole and str(error.why).startswith(("No chain/target/match", "Could not fetch rule set"))


def only_lists(error: RefusedCommand) -> bool:
    """Return whether a command that failed changes nothing."""
    return _LISTS.search(error.text) is not None and _CHANGES.search(error.text) is None


def by_iptables(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, commands that iptables itself refuses, and the errors that it printed."""
    commands = refused_commands(scene)
    if not commands:
        return
    first, mended = commands[0], [one.mended for one in commands if one.mended]
    raw = next((one for one in scene.pasted.refused if one.line == first.line), first)
    rule = _rejected_at(scene, raw)
    yield Finding(
        "refused-command",
        title_of_refused(commands),
        tuple(
            of_line(
                one.line,
                one.text
                if _is_alone(one) or _title_tells(commands)
                else message("{command} ({why})", command=one.text, why=one.why),
            )
            for one in commands[:SHOWN]
        )
        + (tuple(_perhaps(scene)) if all(map(_is_alone, commands)) else ()),
        message("If the command was to add a rule, the rule does not exist.")
        if all(map(_is_alone, commands))
        else message("Commands that list rules change nothing; those that change rules fail likewise.")
        if all(map(only_lists, commands))
        else message(
            "The command fails with an error, so its rule does not exist. A script goes on without it; iptables-restore"
            " loads nothing of the file, and wg-quick takes the interface down again."
        ),
        message("Probably meant: {commands}", commands=shell(*dict.fromkeys(mended[:SHOWN])))
        if mended
        else _remedy(scene, first.family, rule)
        if rule is not None
        else _of_error(first),
        None,
        first.family,
    )


#: Extensions that every kernel with iptables has.
_USUAL = frozenset(
    {"tcp", "udp", "icmp", "state", "conntrack", "comment", "multiport", "limit", "mark", "addrtype"}
)


def _perhaps(scene: Scene) -> Iterator[Evidence]:
    """Yield the rules of a text that need less usual modules of the kernel: an error may be about one of them."""
    rules = [rule for family in scene.families for rule in scene.host.rulesets[family].rules()]
    unusual = [
        rule
        for rule in rules
        if rule.position and any(one.name and one.name not in _USUAL for one in rule.matches)
    ]
    for rule in unusual[:SHOWN]:
        names = [one.name for one in rule.matches if one.name and one.name not in _USUAL]
        yield Evidence(
            place_of(rule),
            message("needs {names}, which not every kernel has", names=message_joined(", ", names)),
        )


_USE_LEGACY = shell("update-alternatives --set iptables /usr/sbin/iptables-legacy")
#: What to do if no command of iptables-nft works.
_NO_NFT = message(
    "The kernel may lack nf_tables or a module that this iptables needs: {load}. Or it runs rules of iptables-legacy:"
    " {legacy}. If the kernel was updated, reboot first: the running kernel cannot load the modules of the new one.",
    load=shell("modprobe -a nf_tables nft_compat"),
    legacy=_USE_LEGACY,
)

#: What errors of iptables are about that say nothing about the command itself.
_ERRORS: tuple[tuple[str, Message], ...] = (
    (
        "Permission denied",
        message("Run it as root. A container needs NET_ADMIN, too: --cap-add NET_ADMIN"),
    ),
    *((start, _NO_NFT) for start in ("Could not fetch rule set", "Failed to initialize nft")),
    (
        " initialize ",
        message(
            "The kernel lacks this table, or the command runs without root or NET_ADMIN. Load its module (modprobe"
            " iptable_nat, iptable_raw or iptable_mangle; ip_tables), or reboot after an update of the kernel."
        ),
    ),
    (
        "Bad argument `*",
        message(
            "A table begins here while the one before it is still open: end each table of the file with a line COMMIT."
        ),
    ),
    (
        "No chain/target/match",
        message(
            "The chain does not exist (Docker's chains exist only after it has started), or the kernel lacks the module"
            " of a match or target. List the chains of the table: {command}",
            command=shell("iptables -t TABLE -S"),
        ),
    ),
    (
        "doesn't exist",
        message(
            "Create the set before the rules that name it are loaded, also after a reboot: ipset create NAME hash:net,"
            " or ipset restore with a file that ipset save wrote."
        ),
    ),
    (
        "does not exist",
        message(
            "Create the chain first (iptables -N CHAIN), or correct its name: names of chains are case-sensitive."
        ),
    ),
    (
        "unknown option",
        message(
            "iptables knows the option only after the -m, -p or -j that it belongs to. If that is there, iptables does"
            " not find its own extension (libxt_tcp.so): reinstall iptables; or the kernel lacks the module, if a"
            " warning about a missing module precedes the error."
        ),
    ),
    (
        "host/network",
        message("Give an address instead: iptables resolves a name once, when the command runs, by DNS."),
    ),
    (
        "is incompatible",
        message(
            "Another program has created this table with nft, in a form that iptables cannot change. Write the rule"
            " with nft, or delete the table if nothing needs it (nft list tables, nft delete table)."
        ),
    ),
    (
        "_ADD failed",
        message(
            "The kernel lacks nf_tables for this chain, or its modules do not fit the running kernel. Reboot after an"
            " update of the kernel, or use the other backend: {command}. Then restart the program that writes the"
            " rule.",
            command=_USE_LEGACY,
        ),
    ),
    (
        "RULE_",
        message(
            "The kernel lacks a module that the rule needs (nf_tables, xt_ of a match or target, nft_compat). Load it,"
            " reboot after an update of the kernel, or use the other backend: {command}",
            command=_USE_LEGACY,
        ),
    ),
    (
        "returned ",
        message(
            "fail2ban could not set the jail up, so its bans have no effect. Run the command by hand to see the error."
            " If it works then, two jails changed the rules at the same time: upgrade fail2ban, which then waits"
            " (iptables -w)."
        ),
    ),
    ("Couldn't load", message("Correct the name, or load the kernel module of this match or target.")),
)


#: A word that iptables quotes in an error, with several words in it of which one is an option.
_SEVERAL = r"(?:[\s-][^`'\"]*\s|[^`'\"]*\s-)[^`'\"]*"
_ONE_WORD = re.compile(rf"`{_SEVERAL}'|\"{_SEVERAL}\"")


def _of_error(one: RefusedCommand) -> Message:
    """Return what to do about an error that iptables printed."""
    text = str(one.why)
    if (words := _ONE_WORD.search(text)) is not None:
        return message(
            "iptables got {words} as one word: in quotation marks, or from a variable in quotation marks, options and"
            " their values are not separated. Remove the quotation marks; in a script, use an array.",
            words=words.group(),
        )
    if (missing := _NO_CHAIN.match(text)) and find_target(missing[1], one.family) is not None:
        text = "RULE_"  # iptables takes a target for a chain if the kernel does not have it
    if (lacked := _LACKED.search(f"{one.text} {text}")) is not None:
        return _of_lacked(lacked[1], one.text)
    if "dmesg" in text:
        return message(
            "The kernel rejects what iptables itself accepts: it lacks the module for {names}, as kernels of routers"
            " often do, or an option is not allowed there. The last lines of dmesg say which.",
            names=message_joined(", ", _extensions(one.text)) or message("the target or a match"),
        )
    return next((advice for start, advice in _ERRORS if start in text), message("Correct the command."))


def _of_lacked(name: str, command: str) -> Message:
    """Return what to do about an extension that the kernel lacks."""
    modules = f"xt_{name} ip_set ip_set_hash_net" if name == "set" else f"xt_{name}"
    return message_sentences(
        message("dockerd 28.0.0 needs sets of addresses, later versions do not: upgrade Docker.")
        if _DOCKERS_SET in command
        else "",
        message(
            "Load the module: {command}. If the kernel was updated, reboot first: the running kernel cannot load the"
            " modules of the new one.",
            command=shell(f"modprobe -a {modules}"),
        ),
    )


def _extensions(command: str) -> list[str]:
    """Return the target of a command, and its less usual matches."""
    words = command.split()
    named = [after for word, after in pairwise(words) if word in ("-j", "--jump", "-m", "--match")]
    return [name for name in dict.fromkeys(named) if name not in {*_USUAL, "ACCEPT", "DROP", "RETURN"}]


def _remedy(scene: Scene, family: Family, rule: Rule) -> Message:
    """Return in which built-in chains of the table the kernel takes the rule, if in any."""
    chains = tuple(name for name in BUILTIN_CHAINS[rule.table] if _is_taken(scene, family, rule, name))
    if not chains:
        return message("Correct the rule, or remove it.")
    return message(
        "The kernel accepts it in {chains}: {command}",
        chains=any_of(chains),
        command=shell(f"{tool_of(family)} {rule.table_option}-A {chains[0]} {rule.specification}"),
    )


def _is_taken(scene: Scene, family: Family, rule: Rule, chain: str) -> bool:
    """Return whether the kernel would take a rule at the end of a chain."""
    text = f"*{rule.table}\n-A {chain} {rule.specification}\nCOMMIT\n"
    try:
        ruleset = loads(text, source="", onto=scene.host.rulesets[family])
    except IptsimError:
        return False
    return not ruleset.tables[rule.table].chains[chain].rules[-1].refused
