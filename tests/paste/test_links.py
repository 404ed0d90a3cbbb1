"""Containers of `docker run --link`, whose addresses the rules of links tell without names."""

from __future__ import annotations

import pytest

import iptsim

# as dockerd 20.10 writes them for these commands with icc off, captured in fixtures/captures/docker-20.10/icc-off-link
LINKED = """\
# docker run -d --name db redis
# docker run -d --name app --link db -p 8080:80 shop
{more}# iptables -nL
Chain FORWARD (policy DROP)
target     prot opt source               destination
DOCKER-USER  all  --  0.0.0.0/0            0.0.0.0/0
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED
DOCKER     all  --  0.0.0.0/0            0.0.0.0/0
ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0
DROP       all  --  0.0.0.0/0            0.0.0.0/0

Chain DOCKER (1 references)
target     prot opt source               destination
ACCEPT     tcp  --  0.0.0.0/0            172.17.0.3           tcp dpt:80
ACCEPT     tcp  --  172.17.0.3           172.17.0.2           tcp dpt:6379
ACCEPT     tcp  --  172.17.0.2           172.17.0.3           tcp spt:6379

Chain DOCKER-USER (1 references)
target     prot opt source               destination
RETURN     all  --  0.0.0.0/0            0.0.0.0/0
"""


def test_the_only_container_without_an_address_has_the_only_one_without_a_name() -> None:
    host = iptsim.loads_host(LINKED.format(more=""))
    assert set(host.containers) == {"app", "db"}
    assert iptsim.explain(host, "app", "db:6379").verdict == "ACCEPT"
    assert iptsim.explain(host, "app", "db:6380").verdict == "DROP"
    assert iptsim.explain(host, "db", "app:80").verdict == "DROP"
    assert any("db is assumed to have the address 172.17.0.2" in str(one) for one in host.assumptions)


@pytest.mark.parametrize(
    "more", ["# docker run -d --name cache memcached\n", "# docker stop db\n# docker rm db\n"]
)
def test_another_that_can_have_it_or_one_that_is_gone(more: str) -> None:
    host = iptsim.loads_host(LINKED.format(more=more))
    assert "db" not in host.containers
    assert "172.17.0.2" in host.containers
