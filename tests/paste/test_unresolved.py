"""Names that could not be resolved: each line is in the form that the program prints."""

from __future__ import annotations

import pytest

from iptsim.paste.lines import lines_of
from iptsim.paste.unresolved import unresolved_names


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("E: Failed to fetch http://a.example.org/  Temporary failure resolving 'a.example.org'", "a.example.org"),
        ("java.net.UnknownHostException: db: Name or service not known", "db"),
        ('nginx: [emerg] host not found in upstream "app" in /etc/nginx/conf.d/default.conf:2', "app"),
        ("** server can't find db.example.org: NXDOMAIN", "db.example.org"),  # nslookup
        ("psycopg.OperationalError: failed to resolve host 'db': [Errno -2] Name or service not known", "db"),
        ("urllib3: Failed to resolve 'api' ([Errno -3] Temporary failure in name resolution)", "api"),
        # errors about images, not about names of hosts (containerd, BuildKit)
        ('failed to resolve reference "registry.example.org/app:1": not found', None),
        ("failed to resolve source metadata for registry.example.org/app:1", None),
    ],
)  # fmt: skip
def test_errors_of_programs(line: str, name: str | None) -> None:
    assert [one.name for one in unresolved_names(lines_of(line))] == ([] if name is None else [name])
