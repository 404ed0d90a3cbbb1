"""`-j TEE`: send a copy of the packet to another host (net/netfilter/xt_TEE.c)."""

from __future__ import annotations

from typing import ClassVar

from iptsim.extensions.base import Target
from iptsim.extensions.options import Option
from iptsim.extensions.texts import text_value
from iptsim.extensions.values import ADDRESS, Address, bare
from iptsim.languages import Text, message


class Tee(Target):
    """Send an untracked copy to a gateway through OUTPUT and POSTROUTING; the packet itself continues."""

    name: ClassVar[str] = "TEE"
    options: ClassVar[tuple[Option, ...]] = (
        Option("--gateway", "gateway", ADDRESS, listed=" TEE gw:{value}"),
        Option(
            "--oif", "oif", text_value("an interface name", 15, bare),
            listed=" oif={raw}",
        ),
    )  # fmt: skip
    changes: ClassVar[bool] = False

    gateway: Address
    oif: str | None = None

    def check(self) -> None:
        if self.gateway.address == 0:
            raise ValueError(message("a copy can't be sent to {gateway}", gateway=str(self.gateway)))

    def says(self) -> Text:
        if self.oif is None:
            return message("send a copy to {gateway}", gateway=str(self.gateway))
        return message(
            "send a copy to {gateway} by {interface}", gateway=str(self.gateway), interface=self.oif
        )


EXTENSIONS = (Tee,)
