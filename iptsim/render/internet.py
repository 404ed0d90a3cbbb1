"""The internet as an end of packets: its name in place of its many ranges of addresses."""

from __future__ import annotations

from iptsim.address_sets import AddressSet
from iptsim.languages import say
from iptsim.sets.lines import PacketLine
from iptsim.sets.numbering import Words

#: The fields of a line that are addresses.
_ENDS = ("from", "to")


def internet_texts(line: PacketLine, public: AddressSet) -> dict[str, str]:
    """Return the texts of the ends of a line that are the internet, or nearly all of it: "internet !192.0.2.0/24".

    Args:
        line: packets with all combinations of the values of some fields.
        public: the addresses of the internet.
    """
    found = {}
    for end in _ENDS:
        spans = line.values.get(end, ())
        # addresses have no words
        if isinstance(spans, Words) or not (text := _text(AddressSet(line.family, spans), public)):
            continue
        found[end] = text
    return found


def _text(addresses: AddressSet, public: AddressSet) -> str:
    """Return the internet's name with what is missing; "" if the addresses themselves are shorter."""
    missing = public - addresses
    if len(missing.spans) >= len((addresses & public).spans):
        return ""
    excluded = f" !{','.join(missing.texts())}" if missing else ""
    if addresses <= public:
        return f"internet{excluded}"
    return say("internet and other networks") + excluded
