"""`python -m tests.adapters`: play every scenario on every adapter, and write the table of docs/frameworks.md."""

import secrets

from tests.adapters import page
from tests.adapters.serving import SERVERS
from tests.adapters.test_table import play_all
from tests.support.servers import running


def main() -> None:
    seen = {}
    for name in SERVERS:
        with running("valkey") as server:
            seen[name] = play_all(name, server, f"t{secrets.token_hex(8)}")
    page.write(seen)


if __name__ == "__main__":
    main()
