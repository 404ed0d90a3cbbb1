"""Hosts whose names and rules try to break out of the page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.test_captures import FIXTURES

#: What would run if a browser ever took it for markup, script, style or an address.
PAYLOADS = (
    "</script><script>window.broken=1</script>",
    "<img src=x onerror=window.broken=1>",
    "--><svg onload=window.broken=1>",
    "javascript:window.broken=1",
    "' onfocus=window.broken=1 autofocus x='",
    "</style><style>*{display:none}</style>",
    "{{constructor.constructor('window.broken=1')()}}${window.broken=1}$lang",
    "line\u2028separator\u2029end",
    "\u202egnirts desrever\u202c",
)


def hostile(folder: Path) -> Path:
    """Write a capture whose comments, chain and container are made of payloads."""
    capture = folder / "hostile"
    shutil.copytree(FIXTURES / "docker-28.5/icc-off", capture)
    dump = capture / "iptables-save.txt"
    lines = dump.read_text().splitlines()
    at = lines.index("[0:0] -A FORWARD -j DOCKER-USER") if "[0:0] -A FORWARD -j DOCKER-USER" in lines else 0
    at = at or next(number for number, line in enumerate(lines) if "-A FORWARD" in line)
    chain = "<b>x</b>&<img/src=x>"
    rules = [f'-A DOCKER-USER -m comment --comment "{text}" -p tcp -m tcp --dport {9000 + number}'
             for number, text in enumerate(PAYLOADS)]  # fmt: skip
    rules.append(f"-A DOCKER-USER -p tcp -m tcp --dport 9100 -j {chain}")
    first = next(number for number, line in enumerate(lines) if line.startswith(":DOCKER-USER"))
    lines[at:at] = rules
    lines.insert(first, f":{chain} - [0:0]")
    dump.write_text("\n".join(lines) + "\n")
    inspect = capture / "docker-inspect.json"
    containers = json.loads(inspect.read_text())
    name = containers[0]["Name"].removeprefix("/")
    for file in capture.glob("*.json"):
        text = file.read_text()
        file.write_text(text.replace(json.dumps(name), json.dumps(PAYLOADS[1])).replace(
            json.dumps(f"/{name}"), json.dumps(f"/{PAYLOADS[1]}")))  # fmt: skip
    return capture
