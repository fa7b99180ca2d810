"""A private nginx: its own configuration, port and directories, ended by its pid."""

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import START_SECONDS
from tests.support.requirements import require


@contextlib.contextmanager
def proxying(config: str, *, port: int) -> Iterator[None]:
    """Run nginx with this inside its `http` block, which listens on this port."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    require(program, "nginx is not installed (Debian: apt-get install nginx)")
    with tempfile.TemporaryDirectory(prefix="nginx-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # its workers are somebody else where it is started by root
        (directory / "nginx.conf").write_text(_main(config))
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [str(program), "-p", name, "-c", f"{name}/nginx.conf", "-e", "stderr"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_ready(process, directory, port)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _main(config: str) -> str:
    user = ""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = f"user nobody {grp.getgrgid(nobody.pw_gid).gr_name};"
    temporary = "\n".join(
        f"    {what}_temp_path {what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
{temporary}
{config}
}}
"""


def _wait_until_ready(process: "subprocess.Popen[bytes]", directory: Path, port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        log = (directory / "log").read_text("utf-8", "replace")
        assert process.poll() is None, f"nginx ended: {log}"
        assert time.monotonic() < deadline, f"nginx did not start: {log}"
        time.sleep(0.02)
