"""Gateways: nginx, Caddy, Traefik and Envoy, each with its own configuration and port, ended by its pid."""

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from tests.support.processes import end
from tests.support.requirements import require

_START_SECONDS = 30

#: Where the wheels of the test group put their programs, and Debian nginx.
_PATH: Final = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin"


@contextlib.contextmanager
def gateway(name: str, config: str, *, port: int) -> Iterator[None]:
    """Run one of `GATEWAYS` with this configuration, which listens on this port."""
    program = shutil.which(name, path=_PATH)
    require(program, f"{name} is not installed ({_SOURCES[name]})")
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as path:
        directory = Path(path)
        directory.chmod(0o755)  # nginx's workers are somebody else where it is started by root
        command = [str(program), *GATEWAYS[name](directory, config, port)]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=os.environ | {"HOME": path, "XDG_DATA_HOME": path, "XDG_CONFIG_HOME": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            _wait_until_ready(process, directory, port)
            yield
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            end(process)


def _nginx(directory: Path, config: str, _port: int) -> list[str]:
    """What is inside `http`."""
    user = ""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = f"user nobody {grp.getgrgid(nobody.pw_gid).gr_name};"
    temporary = "\n".join(
        f"    {what}_temp_path {what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = f"""
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
    (directory / "nginx.conf").write_text(main)
    return ["-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"]


def _caddy(directory: Path, config: str, port: int) -> list[str]:
    """A Caddyfile."""
    (directory / "Caddyfile").write_text(f"{{\n\tadmin off\n\thttp_port {port}\n}}\n{config}")
    return ["run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]


def _traefik(directory: Path, config: str, port: int) -> list[str]:
    """The file of its file provider."""
    (directory / "dynamic.yaml").write_text(config)
    return [
        f"--entrypoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={directory / 'dynamic.yaml'}",
        "--providers.file.watch=false",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]


def _envoy(directory: Path, config: str, port: int) -> list[str]:
    """Its static configuration."""
    (directory / "envoy.yaml").write_text(config)
    return ["-c", str(directory / "envoy.yaml"), "--concurrency", "1", "--base-id", str(port), "-l", "warn"]


#: Writes a configuration, and gives the arguments to run with it.
GATEWAYS: Final[dict[str, Callable[[Path, str, int], list[str]]]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "traefik": _traefik,
    "envoy": _envoy,
}

_SOURCES: Final = {
    "nginx": "Debian: apt-get install nginx",
    "caddy": "make install brings it on Linux and x86-64",
    "traefik": "make install brings it on Linux and x86-64",
    "envoy": "make install brings it on Linux and x86-64",
}


def _wait_until_ready(process: "subprocess.Popen[bytes]", directory: Path, port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        log = (directory / "log").read_text("utf-8", "replace")
        assert process.poll() is None, f"it ended: {log}"
        assert time.monotonic() < deadline, f"it did not start: {log}"
        time.sleep(0.02)
