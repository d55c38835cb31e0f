# SPDX-License-Identifier: LGPL-2.1-or-later
"""Private SFCB servers: own directory, own port, own view of the processes.

An SFCB refuses to start where it sees another one among the processes, or its semaphores. So each
server, and every tool that is to find it, runs in process and IPC namespaces of its own, as on a
machine of its own; several can run at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pywbem

from tests.cimom.installed import Installation
from tests.cimom.ports import free_port
from tests.hypervisor import wait_until

PREFIX = "LIBVIRTCIM_SFCB"
"""Environment variable: where an SFCB is installed (directories bin, sbin, lib, share)."""

START_SECONDS = 30.0
STOP_SECONDS = 20.0
"""SFCB ends when running requests have ended; now and then, soon after its start, not at all."""
TOOL_SECONDS = 180.0

_UNSHARE = ("unshare", "--ipc", "--pid", "--mount-proc", "--fork", "--kill-child")
_NAMESPACES = {"ipc": "ipc", "mount": "mnt", "pid": "pid_for_children"}
"""Option of nsenter → file of `/proc/<unshare>/ns`."""


_INSTALLATION = Installation(
    "SFCB",
    "sfcbd",
    PREFIX,
    ("sbin/sfcbd", "bin/sfcbrepos", "bin/sfcbmof", "share/sfcb/CIM/CIM_Schema.mof"),
    "process and IPC namespaces",
    _UNSHARE,
)
installation, missing = _INSTALLATION.find, _INSTALLATION.missing


class Sfcb:
    """One server with a staging area and a repository of its own, in `directory`, short of path.

    Not running until `start`. `schema`: directory of its DMTF schema, default the installation's.
    A context manager: at the end the server and all its processes are gone.
    """

    def __init__(self, directory: Path, *, schema: Path | None = None) -> None:
        prefix = installation()
        assert prefix is not None, missing()
        self.prefix = prefix
        self.schema = schema or prefix / "share/sfcb/CIM"
        self.directory = directory / "sfcb"
        self.config = self.directory / "sfcb.cfg"
        self.staging = self.directory / "stage"
        self.registration = self.directory / "registration"
        self.library_directory = self.directory / "cmpi"
        self.log = self.directory / "server.log"
        self.port = free_port()
        self._lay_out()
        self._space = self._hold_namespaces()
        self._server: subprocess.Popen[bytes] | None = None
        self.rebuild()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether a server lives, started by us or by `libvirtcim register`."""
        return bool(self.processes())

    @property
    def pid(self) -> int:
        """The number of the server's main process."""
        found = self.processes()
        return next(pid for pid in found if _parent(pid) not in found)

    def processes(self) -> list[int]:
        """The numbers of all processes of the server."""
        return [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if _link(process / "ns/pid") == self._number
            and _link(process / "exe").endswith("/sfcbd")
        ]

    def providers(self, library: str = "liblibvirtcim.so") -> list[int]:
        """The numbers of the processes that have loaded a library."""
        return [pid for pid in self.processes() if library in _maps(pid)]

    def configure(self, **settings: str) -> None:
        """Writes the configuration that the next start takes; `settings` besides the usual."""
        libraries = self.prefix / "lib/sfcb"
        wanted = {
            "ip4AddrList": "127.0.0.1",
            "enableHttp": "true",
            "httpPort": str(self.port),
            "enableHttps": "false",
            "keepaliveTimeout": "1",  # it ends when the last client's connection has
            "httpSocketPath": str(self.directory / "http"),
            "localSocketPath": str(self.directory / "local"),
            "registrationDir": str(self.registration),
            "providerDirs": f"{libraries} {self.library_directory}",
            **settings,
        }
        self.config.write_text("".join(f"{name}: {value}\n" for name, value in wanted.items()))

    def rebuild(self) -> None:
        """Builds the repository from the staging area."""
        places = ("-s", self.staging, "-r", self.registration, "-c", self.schema)
        self.run("sfcbrepos", "-f", *places)

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        assert not self.running, "the server is running already"
        with self.log.open("ab") as log:
            self._server = subprocess.Popen(
                self.command("sfcbd", "-c", self.config),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self._started, "SFCB answers", START_SECONDS)

    def stop(self) -> None:
        """Ends the server in an orderly way, or at once where it hangs."""
        os.kill(self.pid, signal.SIGTERM)
        try:
            wait_until(lambda: not self.running, "SFCB ends", STOP_SECONDS)
        except AssertionError:
            self.kill()
        self._reap()

    def kill(self) -> None:
        """Ends all processes of the server at once, as a crash of the machine does."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # they end with each other
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.running, "SFCB ends")
        self._reap()

    def restart(self) -> None:
        """Ends the server where it runs, and starts it again on the same port."""
        if self.running:
            self.stop()
        self.start()

    def run(
        self, *command: str | Path, environment: Mapping[str, str] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program that sees this server's processes as the machine's; returns its output."""
        done = subprocess.run(
            self.command(*command, environment=environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TOOL_SECONDS,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def command(
        self, *command: str | Path, environment: Mapping[str, str] | None = None
    ) -> Sequence[str]:
        """The command as one that sees this server's processes as the machine's."""
        space = f"/proc/{self._space.pid}/ns"
        path = f"{self.prefix}/bin:{self.prefix}/sbin:{os.environ['PATH']}"
        variables = {"PATH": path, **(environment or {})}
        return [
            "nsenter", *(f"--{option}={space}/{file}" for option, file in _NAMESPACES.items()),
            "env", f"--chdir={self.directory}", *(f"{k}={v}" for k, v in variables.items()),
            *map(str, command),
        ]  # fmt: skip

    def close(self) -> None:
        """Ends all its processes."""
        assert self._space.stdin is not None
        self._space.stdin.close()
        self._space.wait()
        self._reap()

    def __enter__(self) -> Sfcb:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _lay_out(self) -> None:
        self.library_directory.mkdir(parents=True)
        shutil.copytree(self.prefix / "share/sfcb", self.staging / "mofs", ignore=_all_but_global)
        interop = self.staging / "mofs/root/interop"
        interop.mkdir(parents=True)
        for name in ("10_interop.mof", "20_indication.mof"):
            shutil.copy(self.prefix / "share/sfcb" / name, interop)
        shutil.copy(self.prefix / "share/sfcb/default.reg", self.staging)
        (self.staging / "regs").mkdir()
        self.configure()

    def _hold_namespaces(self) -> subprocess.Popen[bytes]:
        """A process that keeps the namespaces; they end when our end of its input is closed."""
        holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *_UNSHARE, "sh", "-c", "echo && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"\n", "no namespaces can be made"
        holder.stdout.close()
        self._number = _link(Path(f"/proc/{holder.pid}/ns/pid_for_children"))
        return holder

    def _started(self) -> bool:
        assert self._server is not None
        assert self._server.poll() is None, f"SFCB has not started: {self.log.read_text()}"
        with pywbem.WBEMConnection(self.url, default_namespace="root/interop") as client:
            try:
                return bool(client.EnumerateInstanceNames("CIM_Namespace"))
            except (pywbem.ConnectionError, pywbem.CIMError):
                return False

    def _reap(self) -> None:
        if self._server is not None:
            self._server.wait(STOP_SECONDS)
            self._server = None


def _all_but_global(directory: str, names: list[str]) -> list[str]:
    """What of SFCB's shared files is not staged for every namespace."""
    return [name for name in names if name != "indication.mof"]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _link(path: Path) -> str:
    """Where a link points; "" for a process that has ended."""
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _maps(pid: int) -> str:
    """The files that a process has mapped; "" when it has ended."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""
