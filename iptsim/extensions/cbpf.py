"""The classic packet filter of BSD and Linux: its bytecode as iptables writes it, and an interpreter.

Sources: the kernel's net/core/filter.c (which instructions it accepts and what they do) and
Documentation/networking/filter.rst. Some of the packet's bytes may be unknown, see :mod:`iptsim.extensions.wire`; the
interpreter follows single bits and gives up only if the path of the program depends on an unknown one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from iptsim.extensions.context import Context
from iptsim.extensions.wire import WireBytes, wire_bytes
from iptsim.languages import Message, message
from iptsim.truth import Unknown

_ALL = 0xFFFFFFFF
_MOST = 64
_INSTRUCTION = re.compile(r"\s*([0-9]+) +([0-9]+) +([0-9]+) +(-?[0-9]+)\s*", re.ASCII)

_LD, _LDX, _ST, _STX, _ALU, _JMP, _RET, _MISC = range(8)
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
_IMM, _ABS, _IND, _MEM, _LEN, _MSH = 0x00, 0x20, 0x40, 0x60, 0x80, 0xA0
_X = 0x08
_ADD, _SUB, _MUL, _DIV, _OR, _AND, _LSH, _RSH, _NEG, _MOD, _XOR = range(0x00, 0xB0, 0x10)
_JA, _JEQ, _JGT, _JGE, _JSET = range(0x00, 0x50, 0x10)
_TAX, _TXA = 0x07, 0x87
_WORDS_OF_MEMORY = 16

_ALLOWED = frozenset(
    [
        _ALU | operation | source
        for operation in range(0x00, 0xB0, 0x10)
        for source in (0, _X)
        if operation != _NEG
    ]
    + [_ALU | _NEG, _LD | _IMM, _LD | _MEM, _LD | _LEN, _ST, _STX, _TAX, _TXA, _RET, _RET | 0x10, _JMP | _JA]
    + [_LD | mode | size for mode in (_ABS, _IND) for size in _SIZES]
    + [_LDX | _IMM, _LDX | _MEM, _LDX | _LEN, _LDX | _MSH | 0x10]
    + [_JMP | test | source for test in (_JEQ, _JGT, _JGE, _JSET) for source in (0, _X)]
)
#: Special offsets: the packet's metadata in the kernel, its network header and its link-layer header.
_NOTES, _NETWORK, _LINK = (offset & _ALL for offset in (-0x1000, -0x100000, -0x200000))
_NOTE_PROTOCOL, _NOTE_PKTTYPE, _NOTE_MARK, _NOTE_CPU, _NOTE_XOR_X = 0, 4, 20, 36, 40
_LAST_NOTE = 60
_ETHERTYPES = {4: 0x0800, 6: 0x86DD}
_PKTTYPES = {"unicast": 0, "broadcast": 1, "multicast": 2, "otherhost": 3, "loopback": 5}


class Instruction(NamedTuple):
    """One instruction: operation, jumps if true and if false, and a number."""

    code: int
    jt: int
    jf: int
    k: int


class _Bits(NamedTuple):
    """A 32-bit number of which only the bits in `known` are known; the others are 0 in `value`."""

    value: int
    known: int = _ALL

    @property
    def most(self) -> int:
        """The greatest number that it may be."""
        return self.value | ~self.known & _ALL


def parse_program(text: str) -> tuple[Instruction, ...]:
    """Read a program: the number of instructions, then each as `code jt jf k`, between commas.

    Raises:
        ValueError: not a program.

    >>> parse_program("2,48 0 0 9,22 0 0 0")[0]
    Instruction(code=48, jt=0, jf=0, k=9)
    """
    count_text, *parts = text.split(",")
    if parts and not parts[-1].strip():
        parts.pop()
    if not (count_text.isascii() and count_text.isdigit()) or not 0 < int(count_text) <= _MOST:
        raise ValueError(
            message("a program starts with the number of its instructions, 1 to {most}", most=_MOST)
        )
    if len(parts) != int(count_text):
        raise ValueError(
            message(
                "the program has {count} instructions, but its length is given as {count_text}",
                count=len(parts),
                count_text=count_text,
            )
        )
    program = []
    for number, part in enumerate(parts):
        found = _INSTRUCTION.fullmatch(part)
        code, jt, jf, k = (int(word) for word in found.groups()) if found else (-1, 0, 0, 0)
        if not (0 <= code <= 0xFFFF and jt <= 0xFF and jf <= 0xFF and -0x80000000 <= k <= _ALL):
            raise ValueError(
                message(
                    "instruction {number}, {part!r}, is not four numbers: code jt jf k",
                    number=number,
                    part=part,
                )
            )
        program.append(Instruction(code, jt, jf, k & _ALL))
    return tuple(program)


def program_text(program: Sequence[Instruction]) -> str:
    """Print a program as iptables-save does, without quotes."""
    return ",".join([str(len(program)), *(" ".join(map(str, instruction)) for instruction in program)])


def check_program(program: Sequence[Instruction]) -> None:
    """Raise unless the kernel accepts the program.

    Raises:
        ValueError: an instruction is unknown, or may lead out of the program or its memory.
    """
    for place, (code, jt, jf, k) in enumerate(program):
        left = len(program) - place - 1
        kind, operation = code & 0x07, code & 0xF0
        if code not in _ALLOWED:
            raise ValueError(
                message("instruction {place} has an unknown code, {code}", place=place, code=code)
            )
        if kind == _JMP and (k if operation == _JA else max(jt, jf)) >= left:
            raise ValueError(message("instruction {place} jumps past the end of the program", place=place))
        if code in (_ALU | _DIV, _ALU | _MOD) and k == 0:
            raise ValueError(message("instruction {place} divides by 0", place=place))
        if code in (_ALU | _LSH, _ALU | _RSH) and k >= 32:
            raise ValueError(
                message("instruction {place} shifts by {k} bits; at most 31 are allowed", place=place, k=k)
            )
        if code in (_LD | _MEM, _LDX | _MEM, _ST, _STX) and k >= _WORDS_OF_MEMORY:
            raise ValueError(
                message(
                    "instruction {place} uses memory word {k}; there are only words 0 to {last}",
                    place=place,
                    k=k,
                    last=_WORDS_OF_MEMORY - 1,
                )
            )
        if kind == _LD and code & 0xE0 == _ABS and k >= _NOTES and (k - _NOTES > _LAST_NOTE or k % 4):
            raise ValueError(
                message("instruction {place} reads ancillary data that does not exist", place=place)
            )
    if program[-1].code & 0x07 != _RET:
        raise ValueError(message("the last instruction is not a return"))
    _check_memory(program)


def _check_memory(program: Sequence[Instruction]) -> None:
    """Raise if a word of memory may be read before it is written."""
    written = [(1 << _WORDS_OF_MEMORY) - 1] * len(program)
    here = 0
    for place, (code, jt, jf, k) in enumerate(program):
        here &= written[place]
        if code in (_ST, _STX):
            here |= 1 << k
        elif code in (_LD | _MEM, _LDX | _MEM) and not here >> k & 1:
            raise ValueError(
                message("instruction {place} reads memory word {k} before it is written", place=place, k=k)
            )
        elif code & 0x07 == _JMP:
            for jump in (k,) if code == _JMP | _JA else (jt, jf):
                written[place + 1 + jump] &= here
            here = -1


class _Depends(Exception):
    pass


class _Stop(Exception):
    pass


class _Machine:
    """The state of a running program: accumulator, index register, memory."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.wire: WireBytes = wire_bytes(context.packet)
        self.accumulator = _Bits(0)
        self.index = _Bits(0)
        self.memory = [_Bits(0)] * _WORDS_OF_MEMORY
        self.last_read: Message = message("the packet's data")

    def run(self, program: Sequence[Instruction]) -> _Bits:
        """Run a checked program and return what it returns."""
        place = 0
        while True:
            code, jt, jf, k = program[place]
            place += 1
            kind = code & 0x07
            if kind == _RET:
                return self.accumulator if code & 0x10 else _Bits(k)
            if kind == _JMP:
                place += k if code == _JMP | _JA else jt if self.jumps(code, k) else jf
            elif kind == _LD:
                self.accumulator = self.load(code, k)
            elif kind == _LDX:
                self.index = self.load(code, k)
            elif kind in (_ST, _STX):
                self.memory[k] = self.accumulator if kind == _ST else self.index
            elif kind == _ALU:
                operand = self.index if code & _X else _Bits(k)
                self.accumulator = _calculate(code & 0xF0, self.accumulator, operand)
            elif code == _TAX:
                self.index = self.accumulator
            else:
                self.accumulator = self.index

    def load(self, code: int, k: int) -> _Bits:
        """Return what a load instruction puts into its register."""
        mode = code & 0xE0
        if mode == _IMM:
            return _Bits(k)
        if mode == _MEM:
            return self.memory[k]
        if mode == _LEN:
            self.context.consulted.update(self.context.packet.defaults & {"length"})
            return _Bits(len(self.wire.data))
        if mode == _MSH:
            value, known = self.data(k, 1)
            return _Bits((value & 0xF) << 2, (known & 0xF) << 2 | ~0x3C & _ALL)
        size = _SIZES[code & 0x18]
        if mode == _ABS:
            return self.note(k - _NOTES) if k >= _NOTES else self.data(k, size)
        if self.index.known != _ALL:
            raise _Depends(self.last_read)
        return self.data(self.index.value + k & _ALL, size)

    def data(self, offset: int, size: int) -> _Bits:
        """Return bytes of the packet; beyond its end the program stops."""
        if offset >= _NETWORK:
            offset -= _NETWORK
        elif offset >= _LINK:
            raise _Depends(message("the frame's link-layer header"))
        found = self.wire.number(self.context, offset, size)
        if found is None:
            raise _Stop
        self.last_read = message(
            "bytes {first} to {last} of the packet", first=offset, last=offset + size - 1
        )
        value, known = found
        return _Bits(value, known | ~((1 << 8 * size) - 1) & _ALL)

    def note(self, number: int) -> _Bits:
        """Return one item of the packet's metadata in the kernel."""
        packet = self.context.packet
        if number == _NOTE_PROTOCOL:
            return _Bits(_ETHERTYPES[packet.family])
        if number == _NOTE_PKTTYPE:
            return _Bits(_PKTTYPES[packet.pkttype])
        if number == _NOTE_MARK:
            if isinstance(packet.mark, int):
                return _Bits(packet.mark)
            self.last_read = packet.mark.reason.reason
            return _Bits(packet.mark.example & packet.mark.known, packet.mark.known)
        if number == _NOTE_XOR_X:
            return _calculate(_XOR, self.accumulator, self.index)
        cpu = self.context.surroundings.fact("cpu") if number == _NOTE_CPU else None
        self.last_read = message("the kernel's ancillary data {number} of the packet", number=number)
        return _Bits(0, 0) if cpu is None else _Bits(cpu)

    def jumps(self, code: int, k: int) -> bool:
        """Return whether a conditional jump's condition holds."""
        left = self.accumulator
        right = self.index if code & _X else _Bits(k)
        test = code & 0xF0
        if test == _JSET:
            common = _calculate(_AND, left, right)
            if common.value or common.known == _ALL:
                return common.value != 0
        elif test == _JEQ:
            if (left.value ^ right.value) & left.known & right.known:
                return False
            if left.known == right.known == _ALL:
                return True
        else:
            # JGE is "not less", JGT is "greater"
            equal = test == _JGE
            if left.value > right.most or (equal and left.value == right.most):
                return True
            if left.most < right.value or (not equal and left.most == right.value):
                return False
        raise _Depends(self.last_read)


def _calculate(operation: int, left: _Bits, right: _Bits) -> _Bits:
    """Return the result of an arithmetic instruction."""
    a, b = left.value, right.value
    if operation == _AND:
        return _Bits(a & b, left.known & right.known | left.known & ~a | right.known & ~b)
    if operation == _OR:
        return _Bits(a | b, left.known & right.known | a | b)
    if operation == _XOR:
        known = left.known & right.known
        return _Bits((a ^ b) & known, known)
    if operation in (_LSH, _RSH) and right.known == _ALL:
        shift = b & 31
        if operation == _LSH:
            return _Bits(a << shift & _ALL, (left.known << shift | (1 << shift) - 1) & _ALL)
        return _Bits(a >> shift, left.known >> shift | ~(_ALL >> shift) & _ALL)
    if operation in (_DIV, _MOD) and right == _Bits(0):
        raise _Stop
    if left.known != _ALL or right.known != _ALL:
        return _Bits(0, 0)
    if operation == _NEG:
        return _Bits(-a & _ALL)
    if operation in (_DIV, _MOD):
        return _Bits(a // b if operation == _DIV else a % b)
    return _Bits((a + b if operation == _ADD else a - b if operation == _SUB else a * b) & _ALL)


def run_program(program: Sequence[Instruction], context: Context) -> int | Unknown:
    """Run a program that :func:`check_program` accepts on the packet, and return its result."""
    machine = _Machine(context)
    try:
        result = machine.run(program)
    except _Stop:
        return 0
    except _Depends as depends:
        reason = depends.args[0]
    else:
        if result.value or result.known == _ALL:
            return result.value
        reason = machine.last_read
    return Unknown(reason, "--assume bpf=yes", ("bpf", tuple(program)))
