# SPDX-License-Identifier: LGPL-2.1-or-later
"""Private OpenPegasus servers: own directory, own port, own place for the files of a running server.

An OpenPegasus that was built for development keeps its socket and the number of its process in
`/var/tmp`, whatever `PEGASUS_HOME` is. So each server, and every tool that is to talk to it, runs
in a mount namespace that has a `/var/tmp` of its own; several can run at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.cimom.installed import Installation
from tests.cimom.ports import free_port
from tests.hypervisor import wait_until

HOME = "LIBVIRTCIM_PEGASUS_HOME"
"""Environment variable: an OpenPegasus installation (directories bin, lib and repository)."""

STATE_DIRECTORY = "/var/tmp"
START_SECONDS = 30.0
STOP_SECONDS = 75.0
"""OpenPegasus gives running requests 30 s by itself (`shutdownTimeout`). An agent that is delivering
an indication waits 60 s for its acknowledgement, which nobody reads any more."""
TOOL_SECONDS = 120.0

_UNSHARE = ("unshare", "--mount", "--propagation", "private")

SETTINGS: Mapping[str, str] = {
    "listenAddress": "127.0.0.1",
    "enableHttpConnection": "true",
    "enableHttpsConnection": "false",
    "enableAuthentication": "false",
    # pywbem's listener speaks HTTP/1.0: it closes each connection after its answer, while OpenPegasus
    # keeps it for the next delivery, which fails where the end has not been seen yet
    "minIndicationDeliveryRetryInterval": "1",
}


_INSTALLATION = Installation(
    "OpenPegasus",
    "cimserver",
    HOME,
    ("bin/cimserver", "bin/cimmof", "bin/wbemexec", "lib", "repository"),
    "a mount namespace",
    _UNSHARE,
)
installation, missing = _INSTALLATION.find, _INSTALLATION.missing


class Pegasus:
    """One server with a repository of its own, in `directory`; not running until `start`.

    `out_of_process`: providers run in agents, as by default; else in the server itself.
    A context manager: at the end the server and all its processes are gone.
    """

    def __init__(self, directory: Path, *, out_of_process: bool = True) -> None:
        source = installation()
        assert source is not None, missing()
        self.home = directory / "pegasus"
        self.port = free_port()
        self.log = self.home / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out(source)
        self._out_of_process = out_of_process
        self.configure()
        self._space = self._hold_namespace(directory / "state")

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def library_directory(self) -> Path:
        """The directory of its provider libraries (its `providerDir`)."""
        return self.home / "lib"

    @property
    def pid(self) -> int:
        """The number of the server's process."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and self._process.poll() is None

    def configure(self, **settings: str) -> None:
        """Writes the configuration that the next start takes; `settings` besides the usual."""
        wanted = {
            **SETTINGS,
            "httpPort": str(self.port),
            "forceProviderProcesses": str(self._out_of_process).lower(),
            **settings,
        }
        text = "".join(f"{name}={value}\n" for name, value in wanted.items())
        (self.home / "cimserver_planned.conf").write_text(text)

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        assert not self.running, "the server is running already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command("cimserver", "daemon=false")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._started, "OpenPegasus answers", START_SECONDS)

    def stop(self) -> None:
        """Ends the server in an orderly way."""
        assert self._process is not None, "the server is not running"
        self.run("cimserver", "-s")
        self._process.wait(STOP_SECONDS)
        wait_until(lambda: not self.agents(), "OpenPegasus' agents end", STOP_SECONDS)

    def kill(self) -> None:
        """Ends the server at once, as a crash does."""
        assert self._process is not None, "the server is not running"
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Ends the server where it runs, and starts it again on the same port."""
        if self.running:
            self.stop()
        self.start()

    def agents(self) -> list[int]:
        """The numbers of the processes in which it runs providers."""
        space = Path(f"/proc/{self._space.pid}/ns/mnt").readlink()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "comm").read_text() == "cimprovagt\n" and (
                    process / "ns/mnt"
                ).readlink() == space:
                    found.append(int(process.name))
            except OSError:  # it has ended meanwhile
                continue
        return found

    def run(
        self, *command: str | Path, environment: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program that sees this server as the machine's OpenPegasus; returns its output."""
        done = subprocess.run(
            self.command(*command, environment=environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TOOL_SECONDS,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def close(self) -> None:
        """Ends all its processes."""
        if self.running:
            self.kill()
        for agent in self.agents():
            os.kill(agent, signal.SIGKILL)
        assert self._space.stdin is not None
        self._space.stdin.close()
        self._space.wait()

    def __enter__(self) -> Pegasus:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lay_out(self, source: Path) -> None:
        """Everything but the repository, and what a server writes, is the installation's."""
        for name in ("lib", "logs", "trace"):
            (self.home / name).mkdir(parents=True)
        for name in ("bin", "msg", "www"):
            if (source / name).exists():
                (self.home / name).symlink_to(source / name)
        for library in (source / "lib").iterdir():
            (self.library_directory / library.name).symlink_to(library)
        shutil.copytree(source / "repository", self.home / "repository")

    def _hold_namespace(self, state: Path) -> subprocess.Popen[bytes]:
        """A process in the namespace; it ends when our end of its input is closed."""
        state.mkdir()
        script = f'mount --bind "$1" {STATE_DIRECTORY} && echo && exec cat'
        holder = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", script, "sh", str(state)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n", "no mount namespace can be made"
        holder.stdout.close()
        return holder

    def command(
        self, *command: str | Path, environment: Mapping[str, str] | None = None
    ) -> Sequence[str]:
        """The command line of a program that sees this server as the machine's OpenPegasus."""
        variables = {
            "PEGASUS_HOME": str(self.home),
            "LD_LIBRARY_PATH": str(self.home / "lib"),
            "PATH": f"{self.home / 'bin'}:{os.environ['PATH']}",
            **(environment or {}),
        }
        return [
            "nsenter", f"--mount=/proc/{self._space.pid}/ns/mnt",
            "env", f"--chdir={self.home}", *(f"{k}={v}" for k, v in variables.items()),
            *map(str, command),
        ]  # fmt: skip

    def _started(self) -> bool:
        assert self.running, f"OpenPegasus has not started: {self.log.read_text()}"
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0
