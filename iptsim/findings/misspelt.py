"""Names and addresses that look misspelt: interfaces (etn0 beside eth0), variables, quoting, 0.0.0.0 for any."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iptsim.addresses import BITS, Family, address_text
from iptsim.dump.rule import Rule
from iptsim.dump.tool import tool_of
from iptsim.explanation.places import place_of
from iptsim.extensions.values import Network
from iptsim.extensions.verdicts import BLOCKING, DECIDING
from iptsim.findings.finding import Finding, of_line, of_rule
from iptsim.findings.scene import Scene
from iptsim.languages import message, message_if
from iptsim.owners.ufw import command_of
from iptsim.passages import shell

#: What the kernel, udev and usual programs call interfaces, before the number.
_KINDS = re.compile(
    r"(?:eth|en[opsx]|eno|wl[opsx]?|wlan|ww[ps]?|wwan|usb|ib|ppp|tun|tap|wg|br|docker|veth|virbr|vnet|lxdbr|lxcbr|vmbr"
    r"|bond|team|dummy|ifb|sit|gre|ip6tnl|ipip|vlan|vxlan|vti|ipsec|xfrm|ath|ra|rmnet|bat|cni|tailscale|zt|nebula|ap"
    r"|mon|venet|vmnet|vboxnet|podman|incusbr|flannel|cali|weave|lan|wan|uplink|internal|external|dmz)"
    r"[-.]?[0-9]"
)


#: Names that the kernel and usual programs give only with a number.
_NUMBERED = frozenset(
    {"eth", "wlan", "wlp", "enp", "ens", "tun", "tap", "ppp", "wg", "usb", "veth", "virbr", "docker", "vmbr"}
)
#: The chains of the rules that users of ufw add.
_OF_UFW = re.compile(r"ufw6?-user-(?P<direction>input|output|forward)")
#: Words for all interfaces, which are names to iptables.
_ALL = frozenset({"all", "any", "every"})
#: With more interfaces, such as those of pods, similar names are no typing errors.
_MOST = 100


def names(scene: Scene) -> Iterator[Finding]:
    """Find names of interfaces in rules that differ by one letter from another, or lack its number."""
    known = scene.host.namespace.interfaces if not scene.host.inferred else {}
    for family in scene.families:
        found: dict[str, list[Rule]] = {}
        for table in scene.host.rulesets[family].tables.values():
            for rule in table.rules():
                for name in (rule.parameters.in_interface, rule.parameters.out_interface):
                    if name and rule.position:
                        found.setdefault(name, []).append(rule)
        for name, rules in found.items() if len(found) <= _MOST else ():
            meant = _meant(name, [*found, *known]) if name not in known and not name.endswith("+") else ""
            if meant:
                yield _finding(family, name, meant, rules)


def variables(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted script, variables that it uses but never sets, beside similar ones that it sets for nothing."""
    for one in scene.pasted.variables:
        yield Finding(
            "misspelt-variable",
            message("${name} is never set, and {meant} is set but not used.", name=one.name, meant=one.meant),
            (of_line(one.line, one.text),),
            message(
                "A shell puts nothing in place of a variable that is not set. iptables then takes the next word for the"
                " value and refuses the command, or the rule lacks a condition."
            ),
            message("Use the same name in both places."),
            None,
            scene.families[0],
        )


def unnumbered(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, rules for an interface such as wlan or tun, whose name lacks its number."""
    if not scene.is_pasted:
        return
    known = scene.host.namespace.interfaces if not scene.host.inferred else {}
    for family in scene.families:
        found: dict[str, list[Rule]] = {}
        others: set[str] = set()
        for table in scene.host.rulesets[family].tables.values():
            for rule in table.rules():
                for name in (rule.parameters.in_interface, rule.parameters.out_interface):
                    if name in _NUMBERED and name not in known and rule.position and not rule.refused:
                        found.setdefault(name, []).append(rule)
                    others |= {name} if name else set()
        for name, rules in found.items():
            if not _meant(name, [*others, *known]):  # misspelt-interface
                yield _unnumbered(family, name, rules)


def _unnumbered(family: Family, name: str, rules: list[Rule]) -> Finding:
    rule = rules[0]
    words = re.sub(rf"(?<= -[io] ){re.escape(name)}(?= |$)", f"{name}+", f" {rule.specification}").lstrip()
    return Finding(
        "misspelt-interface",
        message("A rule names the interface {name}; such names usually end in a number.", name=name),
        tuple(map(of_rule, rules[:5])),
        message(
            "-i and -o match an interface of exactly this name: {name}0 does not match, and {name}+ matches all that"
            " begin so. iptables accepts any name.",
            name=name,
        ),
        message(
            "If it is {name}0, name it so, or for all: {command}",
            name=name,
            command=shell(_replacing(family, rule, words)),
        ),
        None,
        family,
    )


def aliases(scene: Scene) -> Iterator[Finding]:
    """Find rules that name an alias of an interface (eth0:1), or several interfaces: no packet has such a one."""
    for family in scene.families:
        for table in scene.host.rulesets[family].tables.values():
            for rule in table.rules():
                for name in (rule.parameters.in_interface, rule.parameters.out_interface):
                    if (
                        name
                        and rule.position
                        and not rule.refused
                        and re.fullmatch(r"[a-z][\w.-]*[:,][\w.,:-]+", name)
                    ):
                        yield _alias(family, rule, name)
                        return


def words_for_all(scene: Scene) -> Iterator[Finding]:
    """Find rules that name an interface "all" or "any", which is none: without a name, a rule is for all of them."""
    for family in scene.families:
        known = scene.host.namespace.interfaces if not scene.host.inferred else {}
        for table in scene.host.rulesets[family].tables.values():
            found = [
                (name, rule)
                for rule in table.rules()
                for name in (rule.parameters.in_interface, rule.parameters.out_interface)
                if name in _ALL and name not in known and rule.position and not rule.refused
            ]
            for name, rule in found[:1]:
                yield _for_all(family, rule, name)


def _replacing(family: Family, rule: Rule, words: str) -> str:
    """Return the command that replaces a rule by one with other words."""
    return f"{tool_of(family)} {rule.table_option}-R {rule.chain} {rule.position} {words}"


def _for_all(family: Family, rule: Rule, name: str) -> Finding:
    words = re.sub(rf"(?:! )?-[io] {name}(?: |$)", "", rule.specification).strip()
    users = _OF_UFW.fullmatch(rule.chain)
    command = _ufw_for_all(rule, users["direction"], name) if users else _replacing(family, rule, words)
    return Finding(
        "misspelt-interface",
        message("A rule is for an interface that is called {name}: no packet has it.", name=name),
        (of_rule(rule),),
        message("iptables and ufw accept any name of an interface. A rule for all interfaces names none."),
        message("Leave it out: {command}", command=shell(command)),
        None,
        family,
    )


def _ufw_for_all(rule: Rule, direction: str, name: str) -> str:
    """Return the command of ufw for a rule, without an interface: with its port, its protocol and its addresses."""
    out = " out" if direction == "output" else ""
    command = re.sub(rf" (?:in|out) on {name}(?= |$)", out, command_of(rule, direction))
    # ufw wants an address
    return command if re.search(r" (?:from|to) ", command) else f"{command} to any"


def _alias(family: Family, rule: Rule, name: str) -> Finding:
    meant = re.split(r"[:,]", name)[0]
    words = re.sub(rf"(?<= -[io] ){re.escape(name)}(?= |$)", meant, f" {rule.specification}").lstrip()
    return Finding(
        "alias-interface",
        message("A rule names {name}: for iptables there is only {meant}.", name=name, meant=meant)
        if ":" in name
        else message("A rule names {name}, but -i and -o take one interface.", name=name),
        (of_rule(rule),),
        message(
            "iptables accepts any name. An alias is an address of its interface, not an interface, and a list is one"
            " name: the rule matches no packet."
        ),
        message_if(
            ":" in name,
            "Name the interface, and the address of the alias with -d: {command}",
            "Write one rule for each: {command}",
            command=shell(_replacing(family, rule, words)),
        ),
        None,
        family,
    )


def zero_addresses(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, last rules of a chain for the address 0.0.0.0 or ::, which no usual packet has.

    Before others, or behind rules that block other sources or destinations, such a rule may well be meant: it drops
    spoofed packets, or accepts those of DHCP.
    """
    for family in scene.families if scene.is_pasted else ():
        for chain in scene.table(family, "filter").chains.values():
            rule = chain.rules[-1] if chain.rules else None
            if rule is None or rule.refused or not rule.position or rule.target_name not in DECIDING:
                continue
            network = next(filter(None, (rule.parameters.source, rule.parameters.destination)), None)
            single = network is not None and not network.address and network.mask == (1 << BITS[family]) - 1
            listed = rule.target_name in BLOCKING and any(map(_blocks_addresses, chain.rules[-2:-1]))
            if network is not None and single and not rule.matches and not listed:
                yield _zero_address(family, rule, network)


def _blocks_addresses(rule: Rule) -> bool:
    """Return whether a rule blocks the packets of some addresses, as each one of a list does."""
    parameters = rule.parameters
    return rule.target_name in BLOCKING and (parameters.source or parameters.destination) is not None


def _zero_address(family: Family, rule: Rule, network: Network) -> Finding:
    address = address_text(family, 0)
    words = rule.specification.replace(f" {network}", f" {address}/0")
    return Finding(
        "zero-address",
        message(
            "{place} is for packets of the address {address} alone, not for those of any address.",
            place=place_of(rule),
            address=address,
        ),
        (of_rule(rule),),
        message(
            "An interface has the address {address} until it gets one. Without a prefix length the rule is for that"
            " address alone, so it matches hardly any packet.",
            address=address,
        ),
        message(
            "Leave it out, or write {any_address}: {command}",
            any_address=f"{address}/0",
            command=shell(_replacing(family, rule, words)),
        ),
        None,
        family,
    )


def _meant(name: str, others: list[str]) -> str:
    """Return the interface whose name was probably meant; "" if the name looks right."""
    if _KINDS.match(name):
        return ""
    for other in others:
        if not _KINDS.match(other) or other == name:
            continue
        if re.fullmatch(rf"{re.escape(name)}[0-9]+", other) and name.isalpha():
            return other
        if _differ_in_one_letter(name, other):
            return other
    return ""


def _differ_in_one_letter(one: str, other: str) -> bool:
    """Return whether one letter was replaced by another, or two neighbours were exchanged."""
    if len(one) != len(other):
        return False
    places = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    letters = all(one[place].isalpha() and other[place].isalpha() for place in places)
    if len(places) == 2:
        first, second = places
        return letters and second == first + 1 and one[first] == other[second] and one[second] == other[first]
    return letters and len(places) == 1


def _finding(family: Family, name: str, meant: str, rules: list[Rule]) -> Finding:
    rule = rules[0]
    words = re.sub(rf"(?<= -[io] ){re.escape(name)}(?= |$)", meant, f" {rule.specification}").lstrip()
    return Finding(
        "misspelt-interface",
        message("A rule names the interface {name}; others name {meant}.", name=name, meant=meant),
        tuple(map(of_rule, rules[:5])),
        message(
            "iptables accepts any name, also of an interface that does not exist. The rule then matches no packet."
        ),
        message(
            "If it is a typo: {command}",
            command=shell(_replacing(family, rule, words)),
        ),
        None,
        family,
    )


def quoted_commands(scene: Scene) -> Iterator[Finding]:
    """Find, in a pasted text, items `- NAME="iptables ..."`: Compose takes all behind the equals sign for the value.

    A shell that evaluates the value then looks for a program whose name is the whole command (YAML 1.2.2, 7.3.3: plain
    scalars; compose-spec, environment).
    """
    for one in scene.pasted.quoted:
        yield Finding(
            "quoted-command",
            message(
                "The quotation marks in line {line} belong to the value of {name}.",
                line=one.line,
                name=one.name,
            ),
            (of_line(one.line, one.text),),
            message(
                "In a list of a Compose file, only quotation marks around the whole item are removed. The shell takes"
                " the quoted command for the name of one program and finds none, so its rules do not exist; wg-quick"
                " takes the interface down again."
            ),
            message("Leave them out, or quote the whole item: {mended}", mended=one.mended),
            None,
            scene.families[0],
        )
