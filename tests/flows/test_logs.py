"""Logs of each format are read as the records that they hold."""

from __future__ import annotations

import gzip
import io
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import dpkt
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iptsim.errors import UsageError
from iptsim.flows.formats.tables import csv_batches
from iptsim.flows.logs import read_log

TCP_SYN = {"src": "192.0.2.20", "dst": "192.0.2.10", "proto": "6", "sport": 40000, "dport": 8080}


def records(
    tmp_path: Path, content: str | bytes, columns: Mapping[str, str] | None = None, name: str = "log"
) -> list[dict[str, Any]]:
    """Return what is read of a log, without the fields that are not given."""
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = [row for batch in read_log(str(file), columns or {}) for row in batch.to_pylist()]
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def test_json_lines(tmp_path: Path) -> None:
    text = '{"src": "192.0.2.20", "dst": "192.0.2.10", "dport": 80, "bytes": 7}\n\nnot json\n["a"]\n'
    found = records(tmp_path, text)
    assert found[0] == {"src": "192.0.2.20", "dst": "192.0.2.10", "dport": 80}
    assert found[1]["error"].startswith("the line is not JSON")
    assert found[2] == {"error": "the line is not a JSON object"}


def test_csv_with_other_columns(tmp_path: Path) -> None:
    text = "time,SourceIP,DestIP,DestPort\n1,192.0.2.20,192.0.2.10,80\n2,192.0.2.21,192.0.2.10\n"
    mapped = {"src": "SourceIP", "dst": "DestIP", "dport": "DestPort"}
    found = records(tmp_path, text, mapped)
    assert found[0] == {"src": "192.0.2.20", "dst": "192.0.2.10", "dport": "80"}
    assert "3 columns instead of 4" in found[1]["error"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_the_columns_of_a_batch_line(tmp_path: Path, delimiter: str) -> None:
    text = "src,dst,proto,dport,in\n192.0.2.20,192.0.2.10,tcp,80,eth0\n".replace(",", delimiter)
    assert records(tmp_path, text) == [
        {"src": "192.0.2.20", "dst": "192.0.2.10", "proto": "tcp", "dport": "80", "in": "eth0"}
    ]


def test_csv_without_addresses(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no columns src and dst, but: a, b"):
        records(tmp_path, "a,b\n1,2\n")
    with pytest.raises(UsageError, match="but: a, b; name them"):
        records(tmp_path, "a,b\n1,2\n3\n")
    with pytest.raises(UsageError, match="no column 'c' for src; choose from: a, b"):
        records(tmp_path, "a,b\n1,2\n", {"src": "c", "dst": "b"})


def test_columns_of_the_same_name(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("src,dst,note,note,,\n192.0.2.1,192.0.2.2,a,b,,\n")
    (batch,) = read_log(str(log), {})
    assert batch.select(["src", "dst"]).to_pylist() == [{"src": "192.0.2.1", "dst": "192.0.2.2"}]
    log.write_text("src,dst,dst\n192.0.2.1,192.0.2.2,192.0.2.3\n")
    with pytest.raises(UsageError, match="more than one column 'dst'"):
        list(read_log(str(log), {}))


def test_parquet(tmp_path: Path) -> None:
    table = pa.table({"src": ["192.0.2.20"], "dst": ["192.0.2.10"], "dport": pa.array([80], pa.uint16())})
    pq.write_table(table, tmp_path / "log")
    rows = [row for batch in read_log(str(tmp_path / "log"), {}) for row in batch.to_pylist()]
    assert rows == [{"src": "192.0.2.20", "dst": "192.0.2.10", "dport": 80}]


def test_conntrack_listing(tmp_path: Path) -> None:
    """Lines of conntrack -L, and of -E: events after the first one of a connection are not read."""
    listing = (
        "tcp      6 431999 ESTABLISHED src=172.17.0.2 dst=8.8.8.8 sport=40000 dport=443 src=8.8.8.8 dst=192.0.2.10 "
        "sport=443 dport=40000 [ASSURED] mark=0 use=1\n"
        "icmp     1 29 src=172.17.0.2 dst=8.8.8.8 type=8 code=0 id=7 src=8.8.8.8 dst=192.0.2.10 type=0 code=0 id=7 "
        "mark=0\n"
    )
    assert records(tmp_path, listing) == [
        {"from": "172.17.0.2", "to": "8.8.8.8", "proto": "6", "sport": 40000, "dport": 443},
        {"from": "172.17.0.2", "to": "8.8.8.8", "proto": "1", "icmp_type": 8, "icmp_code": 0},
    ]
    events = (
        "    [NEW] udp      17 30 src=10.0.0.1 dst=10.0.0.2 sport=5000 dport=53 [UNREPLIED] src=10.0.0.2 dst=10.0.0.1 "
        "sport=53 dport=5000\n"
        " [UPDATE] udp      17 30 src=10.0.0.1 dst=10.0.0.2 sport=5000 dport=53 src=10.0.0.2 dst=10.0.0.1 "
        "sport=53 dport=5000\n"
        "[DESTROY] udp      17 src=10.0.0.1 dst=10.0.0.2 sport=5000 dport=53 src=10.0.0.2 dst=10.0.0.1 "
        "sport=53 dport=5000\n"
    )
    assert records(tmp_path, events) == [
        {"from": "10.0.0.1", "to": "10.0.0.2", "proto": "17", "sport": 5000, "dport": 53}
    ]


def test_kernel_log(tmp_path: Path) -> None:
    text = (
        "Nov 28 10:00:00 gw kernel: [1234.5] [UFW BLOCK] IN=eth0 OUT= MAC=02:00:00:00:00:01:02:00:00:00:00:02:08:00 "
        "SRC=198.51.100.7 DST=192.0.2.10 LEN=60 TOS=0x00 PREC=0x00 TTL=52 ID=1 DF PROTO=TCP SPT=40000 DPT=22 "
        "WINDOW=64240 RES=0x00 SYN URGP=0\n"
        "Nov 28 10:00:01 gw systemd[1]: Started something.\n"
        "Nov 28 10:00:02 gw kernel: IN=docker0 OUT=eth0 SRC=172.17.0.2 DST=8.8.8.8 LEN=28 TTL=63 "
        "PROTO=ICMP TYPE=3 CODE=1 [SRC=8.8.8.8 DST=172.17.0.2 PROTO=UDP SPT=53 DPT=9 ]\n"
    )
    assert records(tmp_path, text) == [
        {"in": "eth0", "from": "198.51.100.7", "to": "192.0.2.10", "proto": "tcp", "sport": 40000, "dport": 22,
         "ttl": 52, "length": 60},
        {"in": "docker0", "from": "172.17.0.2", "to": "8.8.8.8", "proto": "icmp", "ttl": 63, "length": 28,
         "icmp_type": 3, "icmp_code": 1},
    ]  # fmt: skip


def test_a_kernel_line_that_is_cut_off_is_not_about_the_host(tmp_path: Path) -> None:
    found = records(tmp_path, "Nov 28 10:00:00 gw kernel: IN=eth0 OUT= SRC=198.51.100.7 DST=\n" * 2)
    assert found == [{"error": "the line is cut off: it lacks SRC= or DST="}] * 2


def test_aws_vpc_flow_log(tmp_path: Path) -> None:
    """Version 2 without a header, and version 3, whose tcp-flags tell the direction (AWS documentation)."""
    plain = (
        "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 "
        "ACCEPT OK\n"
        "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA\n"
    )
    assert records(tmp_path, plain) == [
        {"src": "172.31.16.139", "dst": "172.31.16.21", "sport": "20641", "dport": "22", "proto": "6"}
    ]
    third = (
        "version vpc-id srcaddr dstaddr srcport dstport protocol tcp-flags type\n"
        "3 vpc-1 52.213.180.42 10.0.0.62 43416 5001 6 2 IPv4\n"
        "3 vpc-1 10.0.0.62 52.213.180.42 5001 43416 6 18 IPv4\n"
    )
    assert records(tmp_path, third) == [
        {"src": "52.213.180.42", "dst": "10.0.0.62", "sport": "43416", "dport": "5001", "proto": "6"},
        {"src": "10.0.0.62", "dst": "52.213.180.42", "sport": "5001", "dport": "43416", "proto": "6",
         "state": "established"},
    ]  # fmt: skip
    # without log-status, records without data have no addresses; nor has a row that cannot be read
    fifth = (
        "version srcaddr dstaddr srcport dstport protocol flow-direction\n"
        "5 10.0.0.5 10.0.0.62 443 5001 6 ingress\n5 - - - - - egress\n5 10.0.0.5 10.0.0.62 443\n"
    )
    assert records(tmp_path, fifth) == [
        {"src": "10.0.0.5", "dst": "10.0.0.62", "sport": "443", "dport": "5001", "proto": "6"},
        {"error": "the row has 4 columns instead of 7: '5 10.0.0.5 10.0.0.62 443'"},
    ]


def test_zeek_conn_log(tmp_path: Path) -> None:
    """Tab-separated values with their header, and JSON; of ICMP the ports are type and code (Zeek's documentation)."""
    text = (
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n"
        "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\n"
        "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\n"
        "1300475167.096535\tCx\t141.142.220.202\t5353\t224.0.0.251\t5353\tudp\tdns\n"
        "1300475168.0\tCy\t10.0.0.1\t8\t10.0.0.2\t0\ticmp\t-\n"
        "#close\t2020-01-01-00-00-00\n"
    )
    assert records(tmp_path, text) == [
        {"src": "141.142.220.202", "dst": "224.0.0.251", "sport": "5353", "dport": "5353", "proto": "udp"},
        {"src": "10.0.0.1", "dst": "10.0.0.2", "proto": "icmp", "icmp_type": "8", "icmp_code": "0"},
    ]
    line = '{"ts":1.0,"id.orig_h":"10.0.0.1","id.orig_p":40000,"id.resp_h":"10.0.0.2","id.resp_p":22,"proto":"tcp"}\n'
    assert records(tmp_path, line) == [
        {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": 40000, "dport": 22, "proto": "tcp"}
    ]


def test_nfdump_csv(tmp_path: Path) -> None:
    """Lines of `nfdump -o csv`; what comes after the flows is not read (nfdump(1))."""
    text = (
        "ts,te,td,sa,da,sp,dp,pr,flg,fwd,stos,ipkt,ibyt,opkt,obyt\n"
        "2020-01-01 00:00:00,2020-01-01 00:00:01,1.000,10.0.0.1,10.0.0.2,40000,22,TCP,...AP.SF,0,0,10,1000,0,0\n"
        "2020-01-01 00:00:00,2020-01-01 00:00:01,1.000,10.0.0.2,10.0.0.1,22,40000,TCP,...A....,0,0,10,1000,0,0\n"
        "2020-01-01 00:00:00,2020-01-01 00:00:01,1.000,10.0.0.1,10.0.0.2,0,8.0,ICMP,........,0,0,1,84,0,0\n"
        "Summary\nflows,bytes,packets,avg_bps,avg_pps,avg_bpp\n3,2084,21,1,1,1\n"
    )
    assert records(tmp_path, text) == [
        {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": "40000", "dport": "22", "proto": "TCP"},
        {"src": "10.0.0.2", "dst": "10.0.0.1", "sport": "22", "dport": "40000", "proto": "TCP",
         "state": "established"},
        {"src": "10.0.0.1", "dst": "10.0.0.2", "proto": "ICMP", "icmp_type": "8", "icmp_code": "0"},
    ]  # fmt: skip
    # the forms of nfdump 1.7: `-o csv`, and `-o csv-fast` (csv_prolog_fast in output_csv.c)
    text = (
        "firstSeen,duration,proto,srcAddr,srcPort,dstAddr,dstPort,packets,bytes,bps,bpp,flows\n"
        "2024-01-01 00:00:00.000,0.100,UDP,10.0.0.1,40000,10.0.0.2,53,5,500,0,0,1\n"
    )
    found = {"src": "10.0.0.1", "dst": "10.0.0.2", "sport": "40000", "dport": "53", "proto": "UDP"}
    assert records(tmp_path, text) == [found]
    text = (
        "cnt,af,firstSeen,lastSeen,proto,srcAddr,srcPort,dstAddr,dstPort,srcAS,dstAS,input,output,flags,srcTos,packets,"
        "bytes\n1,2,1704067200000,1704067201000,6,10.0.0.1,40000,10.0.0.2,22,0,0,0,0,...A....,0,5,500\n"
    )
    assert records(tmp_path, text) == [{**found, "dport": "22", "proto": "6", "state": "established"}]


@pytest.mark.parametrize("text", ["when,SourceIP\n", "when;SourceIP\n1;10.0.0.1\n", "when\tSourceIP"])
def test_a_table_without_rows_has_its_columns_checked(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no columns src and dst, but: when, SourceIP; name them"):
        records(tmp_path, text)
    assert records(tmp_path, "src,dst\n") == []


def test_an_empty_parquet_file_has_its_columns_checked(tmp_path: Path) -> None:
    file = tmp_path / "log.parquet"
    pq.write_table(pa.table({"when": pa.array([], pa.int64())}), file)
    with pytest.raises(UsageError, match="no columns src and dst, but: when; name them"):
        list(read_log(str(file), {}))
    pq.write_table(pa.table({"src": pa.array([], pa.string()), "dst": pa.array([], pa.string())}), file)
    assert not list(read_log(str(file), {}))


def frame(source: str, destination: str, proto: int, transport: bytes, *, vlan: bool = False) -> bytes:
    """Return an Ethernet frame with an IPv4 or IPv6 packet."""
    head = b"\2" * 12 + (b"\x81\x00\x00\x07" if vlan else b"")
    if ":" in source:
        addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, destination)
        return (
            head
            + b"\x86\xdd"
            + struct.pack("!IHBB", 6 << 28, len(transport), proto, 64)
            + addresses
            + transport
        )
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(transport), 1, 0, 64, proto, 0)
    return head + b"\x08\x00" + header + addresses + transport


def tcp(sport: int, dport: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 0x50, flags, 64240, 0, 0)


@pytest.mark.parametrize("writer", [dpkt.pcap.Writer, dpkt.pcapng.Writer])
def test_first_packets_of_connections_in_a_capture(tmp_path: Path, writer: Any) -> None:
    frames = [
        frame("192.0.2.20", "192.0.2.10", 6, tcp(40000, 8080, 2), vlan=True),
        frame("192.0.2.10", "192.0.2.20", 6, tcp(8080, 40000, 18)),
        frame("192.0.2.20", "192.0.2.10", 6, tcp(40000, 8080, 16)),
        frame("192.0.2.20", "192.0.2.10", 6, tcp(40001, 22, 24)),
        frame("2001:db8::1", "2001:db8::2", 17, struct.pack("!HHHH", 5353, 53, 8, 0)),
        frame("192.0.2.20", "192.0.2.10", 1, bytes((8, 0, 0, 0, 0, 7, 0, 1))),
        b"\2" * 12 + b"\x08\x06" + bytes(28),
        b"\2" * 9,
    ]
    with open(tmp_path / "made", "wb") as file:
        made = writer(file)
        for number, data in enumerate(frames):
            made.writepkt(data, float(number))
    content = (tmp_path / "made").read_bytes()
    for name, packed in (("capture", content), ("capture.gz", gzip.compress(content))):
        assert records(tmp_path, packed, name=name) == [
            TCP_SYN,
            {**TCP_SYN, "sport": 40001, "dport": 22, "tcp_flags": "PSH,ACK", "state": "established"},
            {"src": "2001:db8::1", "dst": "2001:db8::2", "proto": "17", "sport": 5353, "dport": 53},
            {"src": "192.0.2.20", "dst": "192.0.2.10", "proto": "1", "icmp_type": 8, "icmp_code": 0},
        ]


def test_a_damaged_capture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="damaged"):
        records(tmp_path, b"\xd4\xc3\xb2\xa1\2\0")


def test_no_known_format(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a log of a known format"):
        records(tmp_path, "nothing to see here\n")
    assert records(tmp_path, "") == []


@pytest.mark.parametrize(
    ("begin", "program"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ\0\0", "xz"), (b"BZh9", "bzip2")]
)
def test_a_compressed_log(begin: bytes, program: str, tmp_path: Path) -> None:
    """How such files begin: RFC 8878, and magic(5) of file 5.44."""
    with pytest.raises(UsageError, match=f"unpack it first: {program} -dc"):
        records(tmp_path, begin + b"src,dst\n" * 9)


def test_binary_data_is_no_csv(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a log of a known format"):
        records(tmp_path, b"\x7fELF\0,;src,dst\n" * 9)


ROW = "192.0.2.20,192.0.2.10,tcp,8080\n"


def read_until_damaged(file: Path, size: int = 1 << 18) -> tuple[int, str]:
    """Return how many records of a log are read, and the error after them."""
    count = 0
    try:
        for batch in read_log(str(file), {}, size):
            count += batch.num_rows
    except UsageError as error:
        return count, str(error)
    raise AssertionError("no error")


@pytest.mark.parametrize("missing", [1, 9, 200])
def test_gzip_that_ends_too_early(tmp_path: Path, missing: int) -> None:
    """All whole lines are read: of the last line, a number may be cut."""
    random, file = Random(1), tmp_path / "log.csv.gz"
    rows = "".join(f"192.0.2.{random.randrange(256)},192.0.2.10,tcp,{10000 + n}\n" for n in range(5000))
    file.write_bytes(gzip.compress(f"src,dst,proto,dport\n{rows}".encode())[:-missing])
    found: list[str] = []
    batches = read_log(str(file), {})
    found += next(batches).column("dport").to_pylist()
    with pytest.raises(UsageError, match=r"log.csv.gz: the log is damaged: "):
        next(batches)
    assert found == [str(10000 + n) for n in range(len(found))]
    assert 4000 < len(found) <= 5000


def test_parquet_that_is_cut_or_damaged(tmp_path: Path) -> None:
    whole, file = tmp_path / "whole.parquet", tmp_path / "log.parquet"
    columns = {"src": ["192.0.2.20"] * 40_000, "dst": [f"10.0.{n >> 8}.{n & 255}" for n in range(40_000)]}
    pq.write_table(pa.table(columns), whole, row_group_size=10_000)
    data = bytearray(whole.read_bytes())
    file.write_bytes(data[: len(data) // 2])
    count, error = read_until_damaged(file)
    assert count == 0
    assert error.startswith(f"{file}: the log is damaged: ")
    begin = pq.ParquetFile(whole).metadata.row_group(2).column(1).dictionary_page_offset or 0
    data[begin : begin + 3000] = bytes(3000)
    file.write_bytes(data)
    count, error = read_until_damaged(file, 5000)
    assert count == 20_000
    assert error.startswith(f"{file}: the log is damaged: ")


def test_pcap_that_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "log.pcap"
    frame = bytes(12) + b"\x08\0" + bytes.fromhex("4500002800000000400600000a0000010a000002") + bytes(20)
    packets = b"".join(
        struct.pack("<4I", 0, 0, len(frame), len(frame))
        + frame[:34]
        + struct.pack("!HH", 1000 + n, 80)
        + frame[38:]
        for n in range(10)
    )
    file.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + packets[:-30])
    count, error = read_until_damaged(file)
    assert count == 9
    assert "damaged" in error


def test_csv_with_bad_rows(tmp_path: Path) -> None:
    """A row with other columns, bytes that are not UTF-8, a quote that is not closed: each is a record."""
    file = tmp_path / "log.csv"
    bad = b"one,tw\xff\n192.0.2.20,\xff\xfe,tcp,80\n"
    file.write_bytes(f"src,dst,proto,dport\n{ROW}".encode() + bad + f'{ROW}"192.0.2.1,a\n{ROW}'.encode())
    found = [row for batch in read_log(str(file), {}) for row in batch.to_pylist()]
    errors = [row["error"] for row in found if row["error"]]
    assert len(found) == 6
    assert [row["dst"] for row in found if not row["error"]] == ["192.0.2.10", "\ufffd\ufffd", "192.0.2.10"]
    assert errors[0] == "the row has 2 columns instead of 4: 'one,tw\ufffd'"
    assert errors[2] == "a quote before this row is not closed"


def test_what_was_read_of_a_parquet_file_does_not_stay_in_memory(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 1 << 32, 1 << 18)
    pq.write_table(pa.table({"src": numbers, "dst": numbers}), tmp_path / "log", row_group_size=1 << 15)
    held = []
    for batch in read_log(str(tmp_path / "log"), {}, 1 << 15):
        assert batch.num_rows
        held.append(pa.total_allocated_bytes())
    assert len(held) == 8
    assert max(held) - held[0] < (tmp_path / "log").stat().st_size / 4


_HEAD = b"src,dst\n"


class _Endless(io.RawIOBase):
    """A CSV without an end, which counts the bytes that were read of it."""

    given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        row = b"192.0.2.20,192.0.2.10\n"
        if not self.given:
            self.given = len(_HEAD)
            buffer[: len(_HEAD)] = _HEAD
            return len(_HEAD)
        data = (row * (len(buffer) // len(row) + 1))[: len(buffer) // len(row) * len(row)]
        buffer[: len(data)] = data
        self.given += len(data)
        return len(data)


def test_a_csv_is_read_only_a_bounded_part_ahead() -> None:
    stream = _Endless()
    batches = csv_batches(io.BufferedReader(stream, 1 << 16), _HEAD, {})
    for _ in range(4):
        assert next(batches).num_rows > 100_000
    assert stream.given < 128 << 20
