"""Ports on which programs say that they listen, in their logs and settings: each line in the program's own form."""

from __future__ import annotations

import pytest

from iptsim.paste.lines import lines_of
from iptsim.paste.local_services import loopback_listeners


@pytest.mark.parametrize(
    ("line", "port"),
    [
        (" * Running on http://127.0.0.1:5000 (Press CTRL+C to quit)", 5000),  # Flask
        ("Starting development server at http://127.0.0.1:8000/", 8000),  # Django
        ("[2024-03-01 10:00:00 +0000] [7] [INFO] Listening at: http://127.0.0.1:8001 (7)", 8001),  # Gunicorn
        ("INFO:     Uvicorn running on http://127.0.0.1:8002 (Press CTRL+C to quit)", 8002),
        ("Serving HTTP on 127.0.0.1 port 8003 (http://127.0.0.1:8003/) ...", 8003),  # http.server
        ("$ python3 -m http.server 8004 --bind 127.0.0.1", 8004),
        ("$ uvicorn app:app --host 127.0.0.1 --port 8005", 8005),
        ("bind-address = 127.0.0.1", 3306),  # MySQL
        ("listen_addresses = 'localhost'\t# what IP address(es) to listen on;", 5432),  # PostgreSQL
        ("bind 127.0.0.1 -::1", 6379),  # Redis
        ("    listen 127.0.0.1:8006 default_server;", 8006),  # nginx
        # on all addresses
        (" * Running on http://0.0.0.0:5000", None),
        ("bind-address = 0.0.0.0", None),
        ("    listen 8006 default_server;", None),
    ],
)
def test_what_programs_say_of_their_ports(line: str, port: int | None) -> None:
    assert [one.port for one in loopback_listeners(lines_of(line))] == ([] if port is None else [port])
