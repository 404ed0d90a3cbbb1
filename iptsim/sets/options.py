"""What a base chain may do to packets of a class, and which of them may continue together."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

from iptsim.extensions.context import Context
from iptsim.netfilter.kernel import Kernel
from iptsim.netfilter.translation import own_address
from iptsim.sets.landscape import Landscape
from iptsim.sets.parts import Part
from iptsim.sets.pools import Now, Pool, Pooled, pooled
from iptsim.sets.regions import Prefix
from iptsim.sets.results import Result
from iptsim.sets.translating import Bits, Ends, Fields, Rewritten, translations


class Option(NamedTuple):
    """One thing that a base chain may do to packets of a class.

    Attributes:
        part: the packets before the chain, those among them to which it applies, and the result.
        ends: their addresses and ports after a translation.
        region: the region of the new address.
        same: whether the new destination is the source itself.
        changed: the addresses and ports that a translation really changes; conntrack counts it only then.
        pooled: how the new addresses were chosen, if they are not all the same.
    """

    part: Part
    packets: Any
    result: Result
    rewritten: Rewritten | None = None
    region: Prefix | None = None
    same: bool = False
    changed: tuple[bool, ...] = ()
    pooled: Pooled | None = None

    @property
    def effect(self) -> tuple[Any, ...]:
        """What packets must have in common to continue together."""
        result = self.result
        if result.kind != "ACCEPT":
            return (result.kind,)
        side = result.translation.side if result.translation is not None else ""
        written = tuple(one for one in result.rewriting.fields if one[0] not in ("mark", "ct.mark"))
        return (
            result.kind,
            side,
            self.region,
            self.same,
            self.changed,
            written,
        )


def may_join(leading: Option, result: Result) -> bool:
    """Return whether packets with a result may continue with the leading ones, judging by :attr:`Result.alike`."""
    other = leading.result
    if result.translation is None:
        if other.translation is not None:
            return False
        return result.kind == other.kind
    if other.translation is None and other.kind == "ACCEPT":
        return False
    return result.region is None or leading.region is None or result.region == leading.region


def is_open(context: Context) -> bool:
    """Return whether nat may still translate the connection of a packet: it is not in conntrack's table yet."""
    return context.connection is None or not context.connection.is_confirmed


def translated(
    land: Landscape, kernel: Kernel, context: Context, part: Part, packets: Any, result: Result
) -> Iterator[Option]:
    """Yield what a translation does to packets; they continue together only if they are translated alike."""
    wanted = result.translation
    assert wanted is not None
    own = None
    if wanted.addresses is None and wanted.target in ("MASQUERADE", "REDIRECT"):
        own = own_address(kernel, context, wanted.target)
        if own is None:
            yield Option(part, packets, result._replace(kind="DROP", translation=None))
            return
    ends = land.bits.ends(part.header)
    for whole in translations(land.bits, wanted, packets, ends, own, wanted):
        for made in _by_change(land.bits, whole, ends):
            address = made.ends.dst if wanted.side == "dst" else made.ends.src
            for region, inside in _by_region(land, wanted.side, address, made.packets, ends):
                same = _to_itself(land, inside, region, made.ends)
                for packets_, to_itself in ((inside & ~same, False), (same, True)):
                    if packets_ != land.bits.false:
                        changed = tuple(one != other for one, other in zip(made.ends, ends, strict=True))
                        yield Option(part, packets_, result, made, region, to_itself, changed)


def from_pool(
    land: Landscape, part: Part, packets: Any, result: Result, pool: Pool, now: Now
) -> Iterator[Option]:
    """Yield what the translations of a pool do to packets, as :func:`translated` does for one translation."""
    ends = land.bits.ends(part.header)
    for made, same in pooled(pool, packets, ends, now):
        changed = tuple(one != other for one, other in zip(made.ends, ends, strict=True))
        kept = getattr(made.ends, pool.side) == getattr(ends, pool.side)
        region = None if kept else result.region
        how = Pooled(pool, now, made.ends)
        yield Option(part, made.packets, result, made, region, same, changed, how)


def _to_itself(land: Landscape, packets: Any, region: Prefix | None, ends: Ends) -> Any:
    """Return the packets whose new destination is their source, where one of them is known, or one of a group."""
    bits = land.bits
    if bits.number(ends.src) is not None or bits.number(ends.dst) is not None:
        return packets & bits.equal(ends.src, ends.dst)
    if region is None or not land.regions.is_group(region):
        return bits.false
    # one bit after the other among few addresses: where any two addresses are equal is too large a set
    return reduce(
        lambda left, pair: left & ~(pair[0] ^ pair[1]), zip(ends.src, ends.dst, strict=True), packets
    )


def _by_change(bits: Fields, made: Rewritten, before: Ends) -> Iterator[Rewritten]:
    """Divide packets by what a translation changes of them: what fits already stays (nf_nat_setup_info)."""
    if made.at_random:
        yield made
        return
    kinds = [made]
    for key, old, new in zip(Ends._fields, before, made.ends, strict=True):
        if old != new:
            equal = bits.equal(old, new)
            kept = [
                one._replace(ends=one.ends._replace(**{key: old}), packets=one.packets & equal)
                for one in kinds
            ]
            kinds = [*(one._replace(packets=one.packets & ~equal) for one in kinds), *kept]
    yield from (one for one in kinds if one.packets != bits.false)


def _by_region(
    land: Landscape, side: str, address: Bits, packets: Any, before: Ends
) -> Iterator[tuple[Prefix | None, Any]]:
    """Divide packets by the region of their new address."""
    if address == (before.dst if side == "dst" else before.src):
        yield None, packets
        return
    number = land.bits.number(address)
    if number is not None:
        yield land.regions.of(number), packets
        return
    for region in land.regions.all:
        inside = packets & land.bits.replaced(land.within(region, side), {side: address})
        if inside != land.bits.false:
            yield region, inside
