"""Whose a chain or rule is: names are the programs' own, and programs with similar names are distinguished."""

from __future__ import annotations

import pytest

from iptsim.owners.chain_owners import ChainOwners

#: Chains as the programs make them; the sources are named in the modules of iptsim.owners.
CHAINS = {
    "arno": (
        "BASE_INPUT_CHAIN INPUT_CHAIN EXT_INPUT_CHAIN EXT_FORWARD_IN_CHAIN POST_INPUT_CHAIN POST_INPUT_DROP_CHAIN"
        " POST_FORWARD_CHAIN HOST_BLOCK_SRC HOST_BLOCK_DROP RESERVED_NET_CHK SPOOF_CHK VALID_CHK LAN_INET_FORWARD_CHAIN"
    ),
    "apf": "TALLOW TDENY TGALLOW TGDENY REFRESH_TEMP IN_SANITY OUT_SANITY PROHIBIT RESET",
    "firewalld": (
        "INPUT_direct INPUT_ZONES INPUT_ZONES_SOURCE FORWARD_IN_ZONES FORWARD_OUT_ZONES POSTROUTING_ZONES"
        " PREROUTING_POLICIES_pre IN_public IN_public_log IN_public_deny IN_public_allow FWDI_work FWDI_work_allow"
        " FWDO_work FWDO_work_log PRE_lan-out PRE_lan-out_pre PRE_lan-out_allow POST_public POST_public_allow"
    ),
    "shorewall": (
        "net-fw fw-net net_frwd dmz-lan dynamic logdrop logflags logreject shorewall tcpflags smurfs"
        " sha-lh-b1cf911acfddc01e82d1 eth0_in ~log0"
    ),
    "csf": "LOCALINPUT LOCALOUTPUT LOGDROPIN LOGDROPOUT DENYIN DENYOUT ALLOWIN ALLOWOUT INVALID INVDROP CC_DENY",
    "kubernetes": "KUBE-SERVICES KUBE-SVC-TCOU7JCQXEZGVUNU KUBE-ROUTER-INPUT KUBE-POD-FW-ABCDEFGHIJKLMNOP",
    "user": "IN_SANITY POST_INPUT_CHAIN INPUT_CHAIN net-fw INVALID IN_public OUT_traffic dynamic",
}


@pytest.mark.parametrize("owner", CHAINS)
def test_chains_are_their_programs(owner: str) -> None:
    names = CHAINS[owner].split()
    owners = ChainOwners([*names, "INPUT", "FORWARD"])
    assert {name: owners.chain(name) for name in names} == dict.fromkeys(names, owner)


def test_two_programs_beside_each_other() -> None:
    """Firewalld's zone chains beside arno's: a name is a zone's only where its steps are there."""
    owners = ChainOwners([*CHAINS["firewalld"].split(), *CHAINS["arno"].split(), "POST_own"])
    assert owners.chain("POST_public") == "firewalld"
    assert owners.chain("POST_INPUT_CHAIN") == "arno"
    assert owners.chain("POST_own") == "user"
