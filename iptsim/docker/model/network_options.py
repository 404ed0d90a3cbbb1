"""The options of the bridge driver, as `docker network create --opt` takes them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from iptsim.addresses import FAMILIES, Family
from iptsim.docker.model.settings import GATEWAY_MODES, DockerNetwork, GatewayMode
from iptsim.host.docker_inspect import BRIDGE_OPTION
from iptsim.languages import Message, message
from iptsim.reading import brief

#: Options that are true or false, and the fields of :class:`iptsim.docker.model.settings.DockerNetwork` for them.
_SWITCHES = {"enable_icc": "icc", "enable_ip_masquerade": "masquerade", "inhibit_ipv4": "bare"}
#: As Go's strconv.ParseBool reads them, in any case.
_TRUTH = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


class OptionError(ValueError):
    """An option has an invalid value.

    Attributes:
        option: its name.
    """

    def __init__(self, option: str, fault: Message) -> None:
        super().__init__(fault)
        self.option = option


def read_options(options: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a network that its options set; options that do not affect rules are left out.

    >>> read_options({"com.docker.network.bridge.enable_icc": "false"})
    {'icc': False}

    Raises:
        OptionError: an option has an invalid value.
    """
    fields: dict[str, Any] = {}
    for name, field in _SWITCHES.items():
        value = options.get(BRIDGE_OPTION + name)
        if value is not None:
            if value.lower() not in _TRUTH:
                raise OptionError(
                    BRIDGE_OPTION + name, message("{value} is neither true nor false", value=brief(value))
                )
            fields[field] = _TRUTH[value.lower()]
    modes: dict[Family, GatewayMode] = {}
    snat: dict[Family, str] = {}
    for family in FAMILIES:
        option = f"{BRIDGE_OPTION}gateway_mode_ipv{family}"
        if option in options:
            modes[family] = gateway_mode(options[option], option)
        option = f"com.docker.network.host_ipv{family}"
        if options.get(option):
            snat[family] = _address(option, options[option], family)
    option = f"{BRIDGE_OPTION}host_binding_ipv4"
    if option in options:
        fields["host_binding"] = _address(option, options[option], None)
    trusted = options.get(f"{BRIDGE_OPTION}trusted_host_interfaces", "").split(":")
    found = {"gateway_mode": modes, "snat": snat, "trusted": tuple(filter(None, trusted))}
    return fields | {name: value for name, value in found.items() if value}


def options_of(network: DockerNetwork) -> dict[str, str]:
    """Return the options with what :class:`iptsim.host.containers.Network` has no field for."""
    found = {f"com.docker.network.host_ipv{family}": address for family, address in network.snat.items()}
    if network.trusted:
        found[f"{BRIDGE_OPTION}trusted_host_interfaces"] = ":".join(network.trusted)
    if network.bare:
        found[f"{BRIDGE_OPTION}inhibit_ipv4"] = "true"
    if network.parent:
        found["parent"] = network.parent
    return found


def gateway_mode(text: str, option: str = "gateway-mode") -> GatewayMode:
    """Read a gateway mode.

    Raises:
        OptionError: it is unknown.
    """
    found = next((mode for mode in GATEWAY_MODES if mode == text), None)
    if found is None:
        raise OptionError(
            option,
            message(
                "unknown gateway mode {mode}; choose from: {choices}",
                mode=brief(text),
                choices=", ".join(GATEWAY_MODES),
            ),
        )
    return found


def _address(option: str, text: str, family: Family | None) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise OptionError(option, message("{value} is not an IP address", value=brief(text))) from None
    if family is not None and address.version != family:
        raise OptionError(
            option, message("{text} is not an IPv{family} address", text=brief(text), family=family)
        )
    return str(address)
