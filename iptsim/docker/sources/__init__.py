"""Where settings come from: a host, daemon.json, a Compose file, `docker inspect`, flags."""
