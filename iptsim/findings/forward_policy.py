"""Docker's DROP policy in FORWARD, and the other traffic that it cuts off."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from iptsim.addresses import Family, parse_address
from iptsim.dump.builtin_chains import BUILTIN_CHAINS
from iptsim.dump.rule import Jump
from iptsim.dump.ruleset import Chain
from iptsim.dump.tool import tool_of
from iptsim.explanation import Explanation
from iptsim.extensions.hidden import is_gap
from iptsim.extensions.verdicts import BLOCKING, TRANSLATING_SOURCE
from iptsim.findings.behind import (
    SOMEBODY,
    Behind,
    accepted_by_nftables,
    ask_outside,
    guests_beside,
    lans_behind,
    networks_behind,
)
from iptsim.findings.examples import is_for_replies
from iptsim.findings.finding import Finding, of_policy, of_rule
from iptsim.findings.nftables import NOT_FINAL
from iptsim.findings.remedy import accept_both_ways, accept_replies, first_that_mends
from iptsim.findings.scene import Scene
from iptsim.languages import Message, message, message_sentences
from iptsim.netfilter.steps import Step
from iptsim.owners.chain_owners import chain_owners
from iptsim.owners.docker import is_dockers
from iptsim.passages import shell

#: Programs whose guests or clients need forwarding.
_FORWARDERS = frozenset({"libvirt", "tailscale", "lxd", "podman", "netavark", "cni"})


def cut_off(scene: Scene) -> Iterator[Finding]:
    """Find bridges, tunnels and guests of other programs whose traffic only the policy of FORWARD drops."""
    for family in scene.families:
        forward = scene.table(family, "filter").chains.get("FORWARD")
        if forward is None or forward.policy != "DROP":
            continue
        if not _dockers_policy(scene, family):
            if scene.is_pasted:
                yield from _without_docker(scene, family, forward)
            continue
        found = False
        others = (networks_behind, lans_behind, guests_beside, accepted_by_nftables)
        for behind in chain.from_iterable(find(scene, family) for find in others):
            shown = ask_outside(scene, family, behind)
            if shown is not None and _dropped_by_policy(shown, only_request=behind.is_guess):
                found = True
                yield _cuts_off(scene, family, forward, behind, shown)
        if not found and _cuts_off_pods(scene, family, forward):
            yield _pods(scene, family, forward)
        elif not found and _shows_rules(scene) and _may_hit_others(scene, family, forward):
            shown = ask_outside(scene, family, SOMEBODY[family])
            if shown is not None and _dropped_by_policy(shown, only_request=True):
                yield _cuts_off_others(scene, family, forward, shown)


def _without_docker(scene: Scene, family: Family, forward: Chain) -> Iterator[Finding]:
    """Find, in a pasted text, networks that the policy of FORWARD drops, or a policy that drops all.

    The networks are those that rules masquerade, or that nftables accepts.
    """
    found = False
    masqueraded = [one for one in networks_behind(scene, family) if _is_masqueraded(scene, family, one)]
    for behind in (*masqueraded, *accepted_by_nftables(scene, family)):
        shown = ask_outside(scene, family, behind)
        if shown is not None and shown.verdict == "DROP" and _dropped_by_policy(shown, only_request=True):
            found = True
            yield _cuts_off(scene, family, forward, behind, shown)
    if not found and _cuts_off_pods(scene, family, forward):
        yield _pods(scene, family, forward)
    elif not found and not _accepts_any(scene, family) and not _ends_blocking(forward):
        yield _drops_all(scene, family, forward)


#: Chains in which programs for the network of pods accept their packets, as far as a source shows the chain.
_OF_PODS = ("cali-", "FLANNEL", "CILIUM", "KUBE-ROUTER", "WEAVE", "CNI-")


def _cuts_off_pods(scene: Scene, family: Family, forward: Chain) -> bool:
    """Return whether kube-proxy's rules are in FORWARD, and none for the network of pods, or its policy has dropped."""
    if not _shows_rules(scene) or not any(
        rule.jump and rule.jump.chain == "KUBE-FORWARD" for rule in forward.rules
    ):
        return False
    others = [
        rule
        for rule in forward.rules
        if not is_dockers(rule)
        and not is_gap(rule.target)
        and not (rule.jump is not None and rule.jump.chain.startswith(("KUBE-", "DOCKER")))
    ]
    if not others:
        return not scene.shows(family, "filter", "FORWARD") or not _just_loaded(scene, forward)
    counted = forward.counters is not None and forward.counters.packets > 0
    return counted and all(rule.jump is not None and rule.jump.chain.startswith(_OF_PODS) for rule in others)


def _pods(scene: Scene, family: Family, forward: Chain) -> Finding:
    """Return the finding about a policy that drops the packets of pods."""
    shown = ask_outside(scene, family, SOMEBODY[family])
    tool = tool_of(family)
    return Finding(
        "forward-drop-pods",
        message("The FORWARD policy DROP drops packets of pods that no rule accepts."),
        (of_policy(forward), *[of_rule(rule) for rule in forward.rules if rule.jump is not None][:1]),
        message_sentences(
            message(
                "kube-proxy accepts, in KUBE-FORWARD, only connections that it marked, such as those to node ports,"
                " and their replies. Packets between pods of different nodes, and from pods to other hosts, need rules"
                " of the pod network (flannel, Calico), or the policy ACCEPT. Docker sets DROP when it enables"
                " forwarding."
            ),
        ),
        message(
            "On each node, accept the network of the pods in both directions: {commands}. PODS is its subnet (kubectl"
            " cluster-info dump shows cluster-cidr). Or set the policy: {policy}.",
            commands=shell(*(f"{tool} -I FORWARD {side} PODS -j ACCEPT" for side in ("-s", "-d"))),
            policy=shell(f"{tool} -P FORWARD ACCEPT"),
        ),
        shown if shown is not None and _dropped_by_policy(shown, only_request=True) else None,
        family,
    )


def _is_masqueraded(scene: Scene, family: Family, behind: Behind) -> bool:
    """Return whether a rule gives the packets of a network to other networks an address of the host."""
    address = parse_address(behind.address)[1] if not behind.is_guess else None
    return any(
        rule.target_name in TRANSLATING_SOURCE
        and (rule.parameters.source is None or (address is not None and address in rule.parameters.source))
        for rule in scene.rules(family, "nat", "POSTROUTING")
    )


def _dockers_policy(scene: Scene, family: Family) -> bool:
    """Return whether Docker's rules are in FORWARD, so that Docker set the policy, or relies on it."""
    return scene.has_docker and any(is_dockers(rule) for rule in scene.rules(family, "filter", "FORWARD"))


def _accepts_any(scene: Scene, family: Family) -> bool:
    """Return whether a rule that the source shows may accept a new connection that is forwarded."""
    jumps = any(isinstance(rule.target, Jump) for rule in scene.rules(family, "filter", "FORWARD"))
    if jumps and not any(rule.target_name == "DNAT" for rule in scene.table(family, "nat").rules()):
        return True  # what is forwarded is not known
    return any(
        rule.target_name == "ACCEPT" and not is_for_replies(rule)
        for rule in scene.rules_below(family, "filter", "FORWARD")
    )


def _ends_blocking(forward: Chain) -> bool:
    """Return whether no packet reaches the policy, as the last rule blocks everything."""
    last = forward.rules[-1] if forward.rules else None
    return last is not None and last.target_name in BLOCKING and last.is_unconditional


def _suggests_forwarding(scene: Scene, family: Family, forward: Chain) -> bool:
    """Return whether anything shows that the host forwards packets, unlike a desktop with a firewall."""
    if scene.concerns_containers or forward.rules or (forward.counters and forward.counters.packets):
        return True
    if not scene.shows(family, "filter", "INPUT"):
        return True  # the text is about FORWARD
    asked = scene.pasted.asked
    if any("host" not in (fields.get("from"), fields.get("to")) for fields in asked):
        return True
    names = {
        name
        for rule in scene.host.rulesets[family].rules()
        for name in (rule.parameters.in_interface, rule.parameters.out_interface)
        if name is not None and name != "lo"
    }
    return len(names) > 1 or any(True for _ in scene.table(family, "nat").rules())


def _drops_all(scene: Scene, family: Family, forward: Chain) -> Finding:
    """Return the finding about a policy that drops all that is forwarded, as far as the source shows."""
    return Finding(
        "forward-drop" if _suggests_forwarding(scene, family, forward) else "forward-closed",
        message("The FORWARD policy is DROP, and no rule shown accepts new connections that are forwarded."),
        (of_policy(forward),),
        message_sentences(
            message(
                "Packets of containers, guests and VPN clients to other hosts are forwarded, and so are those to"
                " published ports. Docker sets this policy when it enables forwarding."
            )
            if scene.concerns_containers
            else message(
                "Packets of a LAN, guests and VPN clients to other hosts are forwarded, and so are those to forwarded"
                " ports."
            ),
        ),
        _both_directions(family, "FORWARD"),
        None,
        family,
    )


def _shows_rules(scene: Scene) -> bool:
    """Return whether the source shows rules, but not the interfaces: neither a capture nor settings of Docker alone."""
    return scene.host.inferred and (not scene.is_pasted or scene.pasted.with_rules)


def _may_hit_others(scene: Scene, family: Family, forward: Chain) -> bool:
    """Return whether other programs than Docker need forwarding: the policy has met packets, or they have chains."""
    if forward.counters is None or forward.counters.packets or _just_loaded(scene, forward):
        return True
    owners = chain_owners(scene.host.rulesets[family])
    found = {owners.chain(name) for name in scene.table(family, "filter").chains}
    return bool(found & _FORWARDERS) or ("kubernetes" in found and not _accepts_for_pods(scene, family))


def _just_loaded(scene: Scene, forward: Chain) -> bool:
    """Return whether a pasted listing has counted nothing in FORWARD yet, which proves nothing."""
    counters = [rule.counters for rule in forward.rules]
    return scene.is_pasted and all(one is not None and not one.packets for one in counters)


def _accepts_for_pods(scene: Scene, family: Family) -> bool:
    """Return whether a rule of FORWARD may be for a network of pods: not Docker's, and no jump to a KUBE- chain."""
    ours = ("KUBE-", "DOCKER")
    return any(
        not is_dockers(rule) and not (rule.jump is not None and rule.jump.chain.startswith(ours))
        for rule in scene.rules(family, "filter", "FORWARD")
    )


def _dropped_by_policy(shown: Explanation, *, only_request: bool) -> bool:
    """Return whether the policy of FORWARD drops a packet, or may drop it, if something is unknown.

    Args:
        only_request: ignore the reply, because there is no route to a placeholder source.
    """
    return shown.verdict in ("DROP", "DEPENDS") and any(
        _is_policy(step)
        for trace in (shown.trace, *shown.trace.branches)
        for leg in (trace.legs[:1] if only_request else trace.legs)
        for step in leg.all_steps
    )


def _is_policy(step: Step) -> bool:
    return step.policy and (step.table, step.chain, step.verdict) == ("filter", "FORWARD", "DROP")


def _cuts_off(scene: Scene, family: Family, forward: Chain, behind: Behind, shown: Explanation) -> Finding:
    commands = _accepting(scene, family, behind, shown)
    of_docker = _dockers_policy(scene, family)
    return Finding(
        "forward-drop-hits-others",
        message("The FORWARD policy DROP also cuts off the network {network}.", network=behind.subnet)
        if behind.subnet
        else message(
            "The FORWARD policy DROP also cuts off the network behind {name}.", name=behind.interface
        ),
        (of_policy(forward), *([of_rule(behind.rule)] if behind.rule else [])),
        message_sentences(
            message("Docker sets this policy when it enables ip_forward.") if of_docker else "",
            _not_accepted(behind, shown),
            message(
                "FORWARD also sees packets that {name} switches between its ports, because"
                " net.bridge.bridge-nf-call-iptables is on.",
                name=behind.name,
            )
            if behind.port
            else "",
        ),
        message_sentences(
            message("{commands}.", commands=shell(*commands))
            if commands
            else _both_directions(family, _chain_for_rules(scene, family), behind.interface),
            _other_remedy(family) if of_docker else _with_ufw(scene, family, behind),
        ),
        shown,
        family,
        commands or (f"{tool_of(family)} -P FORWARD ACCEPT",),
    )


def _not_accepted(behind: Behind, shown: Explanation) -> Message:
    """Return what no rule accepts of the traffic of a network."""
    if behind.rule is not None and behind.rule.table not in BUILTIN_CHAINS:
        return NOT_FINAL
    if not _dropped_by_policy(shown, only_request=True):
        return message(
            "Rules accept what {name} sends, but none accepts the replies, so the policy drops them.",
            name=behind.name,
        )
    return message("No rule accepts the traffic of {name}, so the policy drops it.", name=behind.name)


def _with_ufw(scene: Scene, family: Family, behind: Behind) -> Message | str:
    """Return ufw's own command that lets a network's traffic through, if ufw wrote the rules."""
    owners = chain_owners(scene.host.rulesets[family])
    if not any(owners.chain(name) == "ufw" for name in scene.below(family, "filter", "FORWARD")):
        return ""
    sender = f"from {behind.subnet}" if behind.subnet else f"in on {behind.interface}"
    return message("With ufw: {command}.", command=shell(f"ufw route allow {sender}"))


def _cuts_off_others(scene: Scene, family: Family, forward: Chain, shown: Explanation) -> Finding:
    return Finding(
        "forward-drop",
        message("The FORWARD policy DROP drops everything that is not forwarded for Docker."),
        (of_policy(forward),),
        message_sentences(
            message(
                "Docker sets this policy when it enables ip_forward. No rule accepts packets of VPN clients,"
                " of LXD or libvirt guests, or of other networks behind the host, so the policy drops them."
            ),
        ),
        message_sentences(
            _both_directions(family, _chain_for_rules(scene, family)),
            _other_remedy(family),
        ),
        shown,
        family,
    )


def _chain_for_rules(scene: Scene, family: Family) -> str:
    """Return the chain for an administrator's own rules: DOCKER-USER since Docker 17.06."""
    return "DOCKER-USER" if scene.jumps(family, "filter", "DOCKER-USER") else "FORWARD"


def _both_directions(family: Family, chain: str, interface: str = "INTERFACE") -> Message:
    return message(
        "Accept the traffic in both directions: {commands}.",
        commands=shell(*accept_both_ways(family, chain, interface)),
    )


def _other_remedy(family: Family) -> Message:
    return message(
        'Or set "ip-forward-no-drop": true in daemon.json (since 28), and the policy to ACCEPT: {command}.',
        command=shell(f"{tool_of(family)} -P FORWARD ACCEPT"),
    )


def _accepting(scene: Scene, family: Family, behind: Behind, shown: Explanation) -> tuple[str, ...]:
    """Return the rules that let a network's traffic through, there and back; as few as are needed."""
    where = _chain_for_rules(scene, family)
    way_out = next((one.interfaces[1] for one in shown.trace.legs[0].steps if one.interfaces[1]), None)
    if way_out is None:
        return ()
    there = f"{tool_of(family)} -I {where} {behind.arriving} -o {way_out} -j ACCEPT"
    back = accept_replies(family, where, f"-i {way_out}", behind.leaving)
    return first_that_mends(scene, family, [(there,), (back,), (there, back)], shown)
