"""What the rules of a host do with the records of a batch: arrow record batches in and out, numpy inside."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iptsim.flows.classes import Answer, Classes, Fields
from iptsim.flows.columns import PASSED_ON, Codes, Reader, Side, as_texts, plain_value
from iptsim.flows.cuts import Kinds, cuts_of, public_edges
from iptsim.flows.remembered import Remembered
from iptsim.flows.vectors import NONE
from iptsim.host.model import Host
from iptsim.netfilter.walk import Simulator, simulator_of
from iptsim.question.header import DEFAULT_SPORT

#: The columns of a result, in order; those of the record precede them.
SCHEMA = pa.schema(
    [
        ("verdict", pa.string()),
        ("code", pa.string()),
        ("table", pa.string()),
        ("chain", pa.string()),
        ("rule", pa.int32()),
        ("line", pa.int32()),
        ("nat_src", pa.string()),
        ("nat_sport", pa.int32()),
        ("nat_dst", pa.string()),
        ("nat_dport", pa.int32()),
        ("error", pa.string()),
    ]
)
#: The most walks, and the most distinct values and answers, that are kept, so that memory stays bounded.
_WALKS, _KEPT = 50_000, 1 << 17
#: Answers are remembered by fine kinds if each of these occurs this many times in a batch.
_REPEATED = 4
_Int = NDArray[np.int64]


class Part(NamedTuple):
    """The answers to the records of a batch.

    Attributes:
        answers: the different answers that occur.
        numbers: the index of each record's answer.
        alone: how many records were walked individually, because no class is certain to have the same answer.
    """

    answers: list[Answer]
    numbers: NDArray[Any]
    alone: int


def decide(host: Host, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return what the rules of a host do with each record of a batch.

    A record is a new connection, unless its fields say otherwise; only its first packet and the reply are followed.
    The answers are those of :func:`iptsim.explain`. Prepared data is cached with the host.

    Args:
        host: the host, as from :func:`iptsim.load_host`. It can be pickled.
        batch: the fields of a batch line as columns: `src`, `dst`, `proto`, `sport`, `dport`, `in`, `state` and so
            on. Addresses are texts, or numbers of IPv4. A null means that the field is not given.

    Returns:
        A batch with :data:`SCHEMA`, in the same order. The deciding rule has no number if it is a policy, and no
        table if the kernel decides. `error` says why a record is not valid.
    """
    return decider_of(host).decide(batch)


def decider_of(host: Host) -> Decider:
    """Return the decider of a host, which is cached with it."""
    simulator = simulator_of(host)
    found: Decider | None = simulator.kept.get("flows")
    if found is None:
        found = simulator.kept["flows"] = Decider(simulator)
    return found


def part_of(host: Host, batch: pa.RecordBatch) -> Part:
    """Return the answers to a batch. Prepared data is cached with the host."""
    return decider_of(host).part(batch)


class Decider:
    """Decides about records on a host.

    Attributes:
        classes: the walks so far.
        remembered: the answers so far, by fine kinds.
    """

    def __init__(self, simulator: Simulator) -> None:
        #: a worker of a cluster may have several threads
        self._lock = Lock()
        coarse, fine = cuts_of(simulator.host, simulator.rulesets())
        self._simulator, self._fine = simulator, fine
        self._begin()
        #: fine kind -> coarse kind
        self._coarse = {
            family: _coarser(coarse.addresses[family], kinds) for family, kinds in fine.addresses.items()
        }
        self._coarse_ports = _coarser(coarse.ports, fine.ports)
        self._tracked = _tracked_sources(simulator.host)
        self._public = np.array(public_edges(simulator.host), np.int64)
        self._steps = _steps(simulator)

    def _begin(self) -> None:
        """Start without classes and codes."""
        self.classes = Classes(self._simulator, self._fine)
        self._reader = Reader(self._fine)
        self._codes: dict[str, Codes] = {}
        self._rest = Codes()
        self.remembered = Remembered()

    def _is_full(self) -> bool:
        """Return whether so much has been kept about earlier records that it should be discarded."""
        codes = [self._rest, self._reader.names, *self._codes.values()]
        classes = self.classes
        return classes.walks > _WALKS or sum(len(one.known) for one in codes) + classes.kept > _KEPT

    def decide(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the answers as a batch; see :func:`decide`."""
        return result_batch(self.part(batch))

    def part(self, batch: pa.RecordBatch) -> Part:
        """Return the answers that occur in a batch, and which of them each record has."""
        with self._lock:
            if self._is_full():
                self._begin()
            numbers, alone = self._numbers(batch)
            answers = self.classes.answers
            used = np.flatnonzero(np.bincount(numbers, minlength=len(answers)))
            places = np.zeros(len(answers), np.int64)
            places[used] = np.arange(len(used))
            # small numbers: they may go over a network
            small = places[numbers].astype(np.min_scalar_type(len(used)))
            return Part([answers[number] for number in used.tolist()], small, alone)

    def _numbers(self, batch: pa.RecordBatch) -> tuple[_Int, int]:
        """Return the number of each record's answer, and how many records were followed one by one."""
        errors = _errors(batch)
        if errors is not None:
            return self._beside_errors(batch, errors)
        return _Batch(self, batch).numbers() if batch.num_rows else (np.zeros(0, np.int64), 0)

    def _beside_errors(self, batch: pa.RecordBatch, errors: pa.Array) -> tuple[_Int, int]:
        """Return the same for a batch of which some records could not be read."""
        wrong = errors.is_valid().to_numpy(zero_copy_only=False)
        found, alone = np.zeros(batch.num_rows, np.int64), 0
        right = np.flatnonzero(~wrong)
        if right.size:
            rest = batch.take(pa.array(right)).drop_columns(["error"])
            found[right], alone = _Batch(self, rest).numbers()
        for place in np.flatnonzero(wrong).tolist():
            found[place] = self.classes.number(Answer(error=str(errors[place].as_py())))
        return found, alone

    # -- for a batch ------------------------------------------------------------------------------

    def codes(self, name: str, values: pa.Array) -> _Int:
        """Return the values of a column that are compared as they are, as codes; 0 for missing ones."""
        known = self._codes.setdefault(name, Codes({None: 0}))
        if pa.types.is_nested(values.type):
            values = as_texts(values)
        coded = values.dictionary_encode() if not pa.types.is_dictionary(values.type) else values
        table = known.of([self._alike(name, value) for value in coded.dictionary.to_pylist()])
        which = coded.indices.fill_null(NONE).to_numpy(zero_copy_only=False).astype(np.int64)
        if not len(table):
            return np.zeros(len(which), np.int64)
        return np.where(which == NONE, 0, table[np.where(which == NONE, 0, which)])

    def _alike(self, name: str, value: Any) -> Any:
        """Return a value; for a number that matters only in steps, its step."""
        steps = self._steps.get(name)
        if steps is None or not str(value).isdecimal():
            return (
                value if value is None or isinstance(value, str | int | float | bool | bytes) else repr(value)
            )
        return bisect_right(steps, int(value))

    def rest(self, values: list[Any]) -> _Int:
        """Return everything except addresses and ports as codes."""
        return self._rest.of(values)

    def coarse(self, side: Side) -> _Int:
        """Return the coarse kinds of addresses; for names, their codes."""
        found = side.value.copy()
        for family, table in self._coarse.items():
            rows = np.flatnonzero(side.family == family)
            found[rows] = table[side.place[rows]]
        return found

    def coarse_port(self, places: _Int) -> _Int:
        """Return the coarse kinds of ports; NONE for missing ones."""
        return np.where(places == NONE, NONE, self._coarse_ports[np.where(places == NONE, 0, places)])

    def is_tracked(self, side: Side, ports: _Int) -> NDArray[np.bool_] | None:
        """Return which records have the source of a connection that conntrack knows; None if it knows none."""
        if not self._tracked.size:
            return None
        sources = side.value << 16 | np.where(ports == NONE, DEFAULT_SPORT, ports)
        tracked: NDArray[np.bool_] = np.isin(sources, self._tracked) | (side.family == 6)
        return tracked

    def are_public(self, side: Side) -> _Int | None:
        """Return which sources behind a given interface are public IPv4 addresses; None if that makes no difference."""
        if not self._public.size:
            return None
        inside: _Int = np.searchsorted(self._public, side.value, "right") & 1
        return np.where(side.family == 4, inside, 0)

    @property
    def reader(self) -> Reader:
        """The reader of the columns."""
        return self._reader


def _errors(batch: pa.RecordBatch) -> pa.Array | None:
    """Return why records could not be read; None if all could."""
    if "error" not in batch.schema.names:
        return None
    errors = batch.column("error")
    return errors if errors.null_count < len(errors) else None


#: The matches and targets that read or change the TTL and the length of packets, and those that may read all.
_READERS = {"ttl": {"ttl", "hl", "TTL", "HL"}, "length": {"length", "quota", "connbytes"}}
_READ_ALL = {"u32", "bpf", "string", "osf"}


def _steps(simulator: Simulator) -> dict[str, list[int]]:
    """Return where the TTL and the length matter to a packet, unless a rule reads them: at its last hops, at MTUs."""
    used: set[str] = set()
    for ruleset in simulator.rulesets():
        for rule in ruleset.rules():
            used |= rule.extension_names
    host = simulator.host
    spaces = [host.namespace, *(container.namespace for container in host.containers.values())]
    sizes = {one.mtu for space in spaces for one in space.interfaces.values()}
    sizes |= {route.mtu for space in spaces for route in space.routes if route.mtu is not None}
    found = {"ttl": [1, 2, 3, 4], "length": sorted({1280, *sizes, *(size + 1 for size in sizes)})}
    return {name: steps for name, steps in found.items() if not used & (_READERS[name] | _READ_ALL)}


def _coarser(coarse: Kinds, fine: Kinds) -> _Int:
    return np.array([coarse.of(example) for example in fine.examples], np.int64)


def _tracked_sources(host: Host) -> _Int:
    """Return the sources of the connections that conntrack knows, in both directions: address and port as a number."""
    found = set()
    for entry in host.conntrack:
        for flow in (entry.connection.original, entry.connection.reply):
            if flow.src < 1 << 32:
                found.add(flow.src << 16 | (DEFAULT_SPORT if flow.sport is None else flow.sport))
    return np.array(sorted(found), np.int64)


class _Batch:
    """One batch while it is decided."""

    def __init__(self, decider: Decider, batch: pa.RecordBatch) -> None:
        self._decider, self._batch = decider, batch
        reader = decider.reader
        self._sides = {name: reader.side(batch, name) for name in ("src", "dst")}
        self._ports = {name: reader.port(batch, name) for name in ("sport", "dport")}
        self._names = [name for name in batch.schema.names if name not in PASSED_ON]

    def numbers(self) -> tuple[_Int, int]:
        """Return the number of each record's answer, and how many records were followed one by one."""
        decider = self._decider
        sides, ports = self._sides.values(), self._ports.values()
        rest = self._rest()
        public = decider.are_public(self._sides["src"]) if "in" in self._names else None
        equal: list[NDArray[Any]] = [
            self._sides["src"].value == self._sides["dst"].value,
            self._ports["sport"][1] == self._ports["dport"][1],
            np.zeros(self._batch.num_rows, np.int64) if public is None else public,
        ]
        places = [side.place for side in sides] + [place for place, _ in ports]
        columns: list[NDArray[Any]] = [rest]
        for side in sides:
            columns.append(side.family)
            if (side.family == 0).any():
                columns.append(np.where(side.family == 0, side.value, NONE))
        fine = _combined([*columns, *equal, *places])
        tracked = decider.is_tracked(self._sides["src"], self._ports["sport"][1])
        alone = [] if tracked is None else [np.flatnonzero(tracked)]
        if tracked is not None:
            fine = np.where(tracked, -1, fine)
        rows, which = _different(fine)
        # everything else is computed for different records only, and for these once if they repeat
        found: _Int = np.full(len(rows), NONE, np.int64)
        keys = None
        if len(rows) <= len(which) // _REPEATED:
            ends = [np.where(side.family == 0, side.value, side.place)[rows] for side in sides]
            kinds = [*(side.family[rows] for side in sides), *ends, *(place[rows] for place, _ in ports)]
            keys = decider.remembered.keys([rest[rows], *kinds, *(one[rows] for one in equal)])
        if keys is not None:
            found = decider.remembered.answers(keys)
        new = np.flatnonzero(found == NONE)
        lonely = self._find(rows, new, rest, equal, tracked, found) if new.size else []
        if keys is not None:
            new = new[found[new] != NONE]
            decider.remembered.keep(keys[new], found[new])
        numbers = found[which]
        if lonely:
            mark = np.zeros(len(rows), np.bool_)
            mark[np.concatenate(lonely)] = True
            alone.append(np.flatnonzero(mark[which]))
        for records in alone:
            self._walk_alone(records, rest, numbers)
        return numbers, sum(map(len, alone))

    def _find(
        self,
        rows: _Int,
        new: _Int,
        rest: _Int,
        equal: Sequence[NDArray[Any]],
        tracked: NDArray[np.bool_] | None,
        found: _Int,
    ) -> list[_Int]:
        """Find the answers to some of the different records, and return those that must be walked individually.

        Args:
            rows: the different records.
            new: the indexes of those in question.
            rest: what each record of the batch says besides addresses and ports.
            equal: further columns of the batch.
            tracked: which records of the batch have the source of a known connection; these are left out.
            found: receives the numbers of the answers.
        """
        decider, records = self._decider, rows[new]
        sides, ports = self._sides.values(), self._ports.values()
        # the coarse kinds follow from the fine ones
        tree = [decider.coarse(side.at(records)) for side in sides]
        tree += [decider.coarse_port(place[records]) for place, _ in ports]
        families = [side.family[records].astype(np.int64) for side in sides]
        keys = [rest[records], *families, *tree, *(one[records].astype(np.int64) for one in equal)]
        order, groups = _grouped(_combined(keys))
        columns = [*(side.place for side in sides), *(place for place, _ in ports)]
        at = dict(zip(("src", "dst", "sport", "dport"), (column[rows] for column in columns), strict=True))
        lonely = []
        for group in groups:
            first = int(order[group][0])
            if tracked is not None and tracked[records[first]]:
                continue
            lonely += decider.classes.assign(
                tuple(int(column[first]) for column in keys),
                new[order[group]],
                lambda column, some: at[column][some],
                lambda row: self._fields(int(rows[row])),
                found,
            )
        return lonely

    def _walk_alone(self, records: _Int, rest: _Int, numbers: _Int) -> None:
        """Walk records each of which may take its own path; equal ones are walked once."""
        columns = [rest[records]]
        for side in self._sides.values():
            columns += [side.family[records].astype(np.int64), side.value[records]]
        columns += [number[records] for _, number in self._ports.values()]
        classes = self._decider.classes
        rows, which = _different(_combined(columns))
        found = [
            classes.alone(
                tuple(int(column[row]) for column in columns), partial(self._fields, int(records[row]))
            )
            for row in rows.tolist()
        ]
        numbers[records] = np.array(found, np.int64)[which]

    def _rest(self) -> _Int:
        """Return what the records say besides addresses and ports, as codes that are the same in all batches."""
        batch = self._batch
        both = {other for one, other in (("src", "from"), ("dst", "to")) if {one, other} <= {*self._names}}
        columns = {}
        for name in self._names:
            values = batch.column(name)
            if name in ("src", "dst", "from", "to") and name not in both:
                continue
            if name in ("sport", "dport"):
                # an invalid port counts as part of the rest, for the error
                odd = (self._ports[name][1] == NONE) & values.is_valid().to_numpy(zero_copy_only=False)
                if not odd.any():
                    continue
                values = pa.array(np.where(odd, as_texts(values).to_numpy(zero_copy_only=False), None))
            if values.null_count == len(values):
                continue
            columns[name] = self._decider.codes(name, values)
        if not columns:
            return np.zeros(batch.num_rows, np.int64) + self._decider.rest([()])
        combined = _combined(list(columns.values()))
        rows, which = _different(combined)
        names = tuple(columns)
        said = [
            tuple((name, int(columns[name][row])) for name in names if columns[name][row])
            for row in rows.tolist()
        ]
        return self._decider.rest(said)[which]

    def _fields(self, record: int) -> Fields:
        """Return the question of a record."""
        fields: Fields = {}
        for name in self._names:
            value = plain_value(self._batch.column(name)[record].as_py())
            if value is not None and value != "":
                fields[name] = value
        for name in ("src", "dst", "from", "to"):
            if isinstance(fields.get(name), int) and 0 <= fields[name] < 1 << 32:
                fields[name] = ".".join(str(fields[name] >> shift & 255) for shift in (24, 16, 8, 0))
        if "src" in fields and "from" not in fields and "in" not in fields:
            fields["from"] = fields.pop("src")
        return fields


def _combined(columns: list[NDArray[Any]]) -> _Int:
    """Combine columns of numbers (from NONE) into one, which is equal exactly where all of them are equal."""
    found = columns[0] + 1
    size = int(found.max()) + 1 if len(found) else 1
    for column in columns[1:]:
        if not len(column) or (last := int(column.max())) == int(column.min()):
            continue
        span = last + 2
        if size * span >= 1 << 62:
            _, found = _different(found)
            size = int(found.max()) + 1
        found *= span
        found += column
        found += 1
        size *= span
    return found


def _different(numbers: _Int) -> tuple[_Int, _Int]:
    """Return the index of the first occurrence of each distinct number, and for each number which of them it is."""
    coded = pa.array(numbers).dictionary_encode()
    which = coded.indices.to_numpy().astype(np.int64)
    first = np.empty(len(coded.dictionary), np.int64)
    first[which[::-1]] = np.arange(len(which) - 1, -1, -1)
    return first, which


def _grouped(numbers: _Int) -> tuple[_Int, list[slice]]:
    """Return the indexes of numbers in an order that puts equal ones together, and the groups of equal ones."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    bounds = np.flatnonzero(np.diff(ordered)) + 1
    edges = [0, *bounds.tolist(), len(order)]
    return order, [slice(begin, end) for begin, end in pairwise(edges)]


def result_batch(part: Part) -> pa.RecordBatch:
    """Return answers as a batch with :data:`SCHEMA`."""
    rows = [
        (
            one.verdict or None, one.code or None, one.table, one.chain, one.rule, one.line, *one.source,
            *one.destination, one.error,
        )
        for one in part.answers
    ]  # fmt: skip
    indices = pa.array(part.numbers, pa.int32())
    columns = []
    for place, kind in enumerate(SCHEMA):
        values = pa.array([row[place] for row in rows], kind.type)
        columns.append(values.take(indices))
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
