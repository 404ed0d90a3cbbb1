"""Makes dumps like that of a campus firewall."""

from __future__ import annotations

from random import Random


def firewall(random: Random, chains: int = 40, rules: int = 120) -> str:
    """Return a dump like that of a campus firewall: a chain for each network, with rules for its hosts."""
    lines = ["*filter", ":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += [f":net_{number} - [0:0]" for number in range(chains)]
    lines += ["-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"]
    lines += [f"-A FORWARD -d 10.{number}.0.0/16 -j net_{number}" for number in range(chains)]
    for number in range(chains):
        for _ in range(rules):
            source = (
                f"-s 172.{random.randrange(16, 32)}.{random.randrange(256)}.0/24 "
                if random.random() < 0.5
                else ""
            )
            target = f"-d 10.{number}.{random.randrange(4)}.{random.randrange(256)}/32"
            port = random.choice((22, 25, 80, 443, 3306, 8080))
            lines.append(f"-A net_{number} {source}{target} -p tcp -m tcp --dport {port} -j ACCEPT")
    return "\n".join([*lines, "COMMIT"]) + "\n"
