"""Models of the JSON output of ip(8) and bridge(8), and checks for JSON from other programs.

The models ignore unknown keys; an invalid value of a known key is an error that names its place.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from iptsim.addresses import Family, parse_address
from iptsim.host.namespace import check_interface_name, check_prefix_length
from iptsim.languages import Text, marked, message, message_of, text_of
from iptsim.reading import brief

E = TypeVar("E")
T = TypeVar("T")


class Foreign(BaseModel):
    """A JSON object of another program; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, defer_build=True)


def converted(entries: Iterable[E], convert: Callable[[E], T], place: str = "") -> list[T]:
    """Convert the elements of a JSON list.

    Args:
        place: the place of the list in its file, "" for the whole file.

    Raises:
        ValueError: an element is invalid; the message says which.
    """
    found = []
    for number, entry in enumerate(entries):
        try:
            found.append(convert(entry))
        except (ValueError, LookupError) as error:
            raise ValueError(complaint(error, f"{place}[{number}]")) from None
    return found


def complaint(error: Exception, place: str = "") -> Text:
    """Return the error of a conversion or a model as one line.

    Args:
        place: the place of the value in its file; the place within the value is appended.
    """
    text: Text
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place += joined_keys(first["loc"])
        text = model_fault(first)
    elif isinstance(error, KeyError):
        text = message("unknown {value}", value=brief(error.args[0]))
    else:
        text = text_of(error)
    return message("{place}: {text}", place=place.lstrip("."), text=text) if place else text


def joined_keys(keys: Iterable[str | int]) -> str:
    """Return the place of a value within another one, as it is appended to that one's place: ".ports[0]"."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)


def model_fault(fault: Mapping[str, Any]) -> Text:
    """Return why a model rejects a value, from an element of `ValidationError.errors()`."""
    context = fault.get("ctx") or {}
    if fault["type"] == "value_error":
        return text_of(context["error"])
    template = _MODEL_FAULTS.get(fault["type"])
    return message_of(template, **context) if template else str(fault["msg"])


#: Pydantic's messages about values of the wrong type or size, by error code.
_MODEL_FAULTS = {
    "missing": marked("Field required"),
    "extra_forbidden": marked("Extra inputs are not permitted"),
    "int_type": marked("Input should be a valid integer"),
    "int_parsing": marked("Input should be a valid integer, unable to parse string as an integer"),
    "int_from_float": marked("Input should be a valid integer, got a number with a fractional part"),
    "int_parsing_size": marked("Unable to parse input string as an integer, exceeded maximum size"),
    "float_type": marked("Input should be a valid number"),
    "bool_type": marked("Input should be a valid boolean"),
    "bool_parsing": marked("Input should be a valid boolean, unable to interpret input"),
    "string_type": marked("Input should be a valid string"),
    "bytes_type": marked("Input should be a valid bytes"),
    "list_type": marked("Input should be a valid list"),
    "tuple_type": marked("Input should be a valid tuple"),
    "dict_type": marked("Input should be a valid dictionary"),
    "model_type": marked("Input should be a valid dictionary or instance of {class_name}"),
    "model_attributes_type": marked("Input should be a valid dictionary or object to extract fields from"),
    "none_required": marked("Input should be None"),
    "literal_error": marked("Input should be {expected}"),
    "greater_than": marked("Input should be greater than {gt}"),
    "greater_than_equal": marked("Input should be greater than or equal to {ge}"),
    "less_than": marked("Input should be less than {lt}"),
    "less_than_equal": marked("Input should be less than or equal to {le}"),
}


def _address_text(text: str) -> str:
    parse_address(text)
    return text


def _number_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and value.bit_length() <= _WIDEST else value


#: The names that ip uses for address families.
FAMILIES: dict[str, Family] = {"inet": 4, "inet6": 6}
#: Bits of the widest integer that the kernel prints.
_WIDEST = 64
Number = Annotated[int, Field(ge=-(1 << _WIDEST - 1), lt=1 << _WIDEST)]
Port = Annotated[int, Field(ge=0, le=0xFFFF)]
InterfaceName = Annotated[str, AfterValidator(check_interface_name)]
#: An IPv4 or IPv6 address.
Address = Annotated[str, AfterValidator(_address_text)]
#: Programs write null for an empty list.
Texts = Annotated[list[str], BeforeValidator(lambda value: [] if value is None else value)]
#: Numbers that ip prints as text if they have no name in /etc/iproute2.
NumberOrName = Annotated[str, BeforeValidator(_number_text)]


class AddressEntry(Foreign):
    """An element of `addr_info` of `ip -j addr`."""

    family: str = ""
    local: Address | None = None
    address: Address | None = None
    prefixlen: Number = 0
    broadcast: Address | None = None
    scope: NumberOrName = "global"
    secondary: bool = False
    deprecated: bool = False
    temporary: bool = False
    dadfailed: bool = False

    @model_validator(mode="after")
    def _of_one_family(self) -> Self:
        family = FAMILIES.get(self.family)
        if family is not None:
            check_prefix_length(family, self.prefixlen)
            for address in filter(None, (self.local, self.address, self.broadcast)):
                if parse_address(address)[0] != family:
                    raise ValueError(
                        message(
                            "{address} is not an address of the family {family}",
                            address=address,
                            family=self.family,
                        )
                    )
        return self


class PortData(Foreign):
    """`info_slave_data` of a bridge's port."""

    hairpin: bool | None = None
    isolated: bool | None = None


class KindData(Foreign):
    """`info_data` of an interface, by its kind; here that of a bridge."""

    vlan_filtering: bool | None = None


class LinkInfo(Foreign):
    """`linkinfo` of `ip -j -d link`."""

    info_kind: str | None = None
    info_data: KindData = Field(default_factory=KindData)
    info_slave_data: PortData = Field(default_factory=PortData)


class LinkEntry(Foreign):
    """An interface in the output of `ip -j addr`, `ip -j -d link` and `bridge -j link`."""

    ifindex: Number | None = None
    ifname: InterfaceName | None = None
    flags: Texts = []
    link: str | None = None
    link_index: Number | None = None
    link_netnsid: Number | None = None
    link_type: str | None = None
    master: str | None = None
    mtu: Number | None = None
    address: str | None = None
    group: NumberOrName | None = None
    hairpin: bool | None = None
    isolated: bool | None = None
    linkinfo: LinkInfo | None = None
    addr_info: list[AddressEntry] = []


class ViaEntry(Foreign):
    """`via` of a route: a gateway of another family."""

    family: str
    host: Address


class NextHopEntry(Foreign):
    """An element of `nexthops` of a route."""

    gateway: Address | None = None
    via: ViaEntry | None = None
    dev: str | None = None
    weight: Number = 1
    flags: Texts = []


class MetricsEntry(Foreign):
    """Metrics of a route. The output does not show whether one is locked."""

    mtu: int | None = None


class RouteEntry(NextHopEntry):
    """A route of `ip -j route show table all`."""

    dst: str = "default"
    type: str = "unicast"
    table: NumberOrName = "main"
    scope: NumberOrName = "global"
    prefsrc: Address | None = None
    metric: Number | None = None
    tos: NumberOrName | None = None
    protocol: NumberOrName | None = None
    pref: str | None = None
    metrics: list[MetricsEntry] = []
    source: str | None = Field(None, alias="from")
    nexthops: list[NextHopEntry] = []


class RuleEntry(Foreign):
    """A policy rule of `ip -j rule`. `not`, `nop` and `l3mdev` are either present as null, or absent."""

    priority: Number = 0
    src: str = "all"
    srclen: Number | None = None
    dst: str = "all"
    dstlen: Number | None = None
    table: NumberOrName | None = None
    iif: str | None = None
    oif: str | None = None
    fwmark: NumberOrName | None = None
    fwmask: NumberOrName | None = None
    tos: NumberOrName | None = None
    ipproto: NumberOrName | None = None
    sport: Port | None = None
    sport_start: Port | None = None
    sport_end: Port | None = None
    dport: Port | None = None
    dport_start: Port | None = None
    dport_end: Port | None = None
    uid_start: Number | None = None
    uid_end: Number | None = None
    suppress_prefixlen: Number | None = None
    suppress_ifgroup: NumberOrName | None = None
    goto: NumberOrName | None = None
    action: str | None = None
    negated: Any = Field(False, alias="not")
    nop: Any = False
    l3mdev: Any = False


class NeighbourEntry(Foreign):
    """An entry of `ip -j neigh`."""

    dst: str | None = None
    dev: str | None = None
    lladdr: str | None = None
    state: Texts = []


class ForwardingEntry(Foreign):
    """An entry of `bridge -j fdb`."""

    mac: str | None = None
    ifname: str | None = None
    master: str | None = None
    state: NumberOrName | None = None


class GuestEntry(Foreign):
    """A namespace of `container-netns.json`."""

    addr: list[LinkEntry] = []
    route: list[RouteEntry] | None = None
    route6: list[RouteEntry] | None = None
    rule: list[RuleEntry] = []
    rule6: list[RuleEntry] = []
    sysctl: str | None = None
    iptables: str | None = Field(None, alias="iptables-save")
    ip6tables: str | None = Field(None, alias="ip6tables-save")
    resolv_conf: str | None = Field(None, alias="resolv.conf")
    sockets: str | None = None
