# SPDX-License-Identifier: LGPL-2.1-or-later
"""A private libvirtd in namespaces of its own, and the smallest guests that run on it.

Needs root, libvirtd, QEMU, unshare and nsenter; `why_not()` says what is missing. Everything the
box started (libvirtd, QEMU, containers, mounts, interfaces) ends with its first process.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import libvirt

START_DEADLINE = 60.0
_STEP = 0.01

_UNSHARE = (
    # Nothing outlives the test run, however that ends.
    *("setpriv", "--pdeathsig", "KILL"),
    *("unshare", "--mount", "--net", "--uts", "--pid", "--ipc", "--fork"),
    *("--kill-child", "--mount-proc", "--propagation", "private"),
)

# Runs as process 1 of the box. A fresh sysfs shows the box's own network interfaces; the cgroup
# mounts are carried over into it, without the unified tree, which libvirt's LXC driver can't use.
_INIT = """
set -e
ip link set lo up
mkdir -p /run/box-cgroup
mount --rbind /sys/fs/cgroup /run/box-cgroup
mount -t sysfs sysfs /sys
mount --rbind /run/box-cgroup /sys/fs/cgroup
umount /sys/fs/cgroup/unified 2>/dev/null || true
for pair in etc:/etc/libvirt run:/run/libvirt lib:/var/lib/libvirt log:/var/log/libvirt \\
    cache:/var/cache/libvirt; do
    mkdir -p "${pair#*:}"
    mount --bind "$BOX/${pair%%:*}" "${pair#*:}"
done
# Debian's libvirtd looks its own QEMU account up even where qemu.conf names another; only the
# package libvirt-daemon-system creates it.
for file in passwd group; do
    cp /etc/$file "$BOX/$file"
    grep -q '^libvirt-qemu:' "$BOX/$file" || cat "$BOX/$file.add" >> "$BOX/$file"
    mount --bind "$BOX/$file" /etc/$file
done
echo ready > "$BOX/ready"
while :; do sleep infinity & wait; done
"""


def why_not(*, lxc: bool = False) -> str | None:
    """Why a private libvirtd can't run here, or None."""
    if os.geteuid() != 0:
        return "a private libvirtd needs root"
    needed = ["libvirtd", "setpriv", "unshare", "nsenter", "ip", "qemu-system-x86_64", "as", "ld"]
    if lxc:
        needed.append("busybox")
    missing = [tool for tool in needed if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)}" if missing else _namespaces_refused()


@functools.cache
def _namespaces_refused() -> str | None:
    """Why this machine lets nobody make namespaces with mounts of their own, or None."""
    probe = "mkdir -p /run/libvirt && mount --bind /run/libvirt /run/libvirt && mount -t sysfs sysfs /sys"
    done = subprocess.run(
        [*_UNSHARE, "sh", "-c", probe], capture_output=True, text=True, check=False
    )
    reason = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
    return f"no namespaces of its own: {reason}" if done.returncode else None


def wait_until(condition: Callable[[], Any], what: str, deadline: float = 10.0) -> Any:
    """Wait until the condition is true and return its value; AssertionError after `deadline` s."""
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        time.sleep(_STEP)
    return value


class PrivateLibvirtd:
    """A libvirtd of our own; use as a context manager. `directory` must have a short path."""

    def __init__(
        self,
        directory: Path,
        *,
        host_uuid: str | None = None,
        libvirtd_conf: str = "",
        qemu_conf: str = "",
        listen: bool = False,
    ) -> None:
        """`listen`: whether libvirtd also listens for connections over the network."""
        self._listen = ("--listen",) if listen else ()
        self.directory = directory.resolve()
        self.host_uuid = host_uuid or str(uuid.uuid4())
        self._libvirtd_conf = libvirtd_conf
        self._qemu_conf = qemu_conf
        self._box: subprocess.Popen[bytes] | None = None
        self._daemon: subprocess.Popen[bytes] | None = None
        self._pid1 = 0

    @property
    def first_process(self) -> int:
        """Process number, outside the box, of its first process."""
        return self._pid1

    @property
    def qemu_uri(self) -> str:
        """URI of the QEMU driver, from outside the box."""
        return self._uri("qemu", "system")

    @property
    def lxc_uri(self) -> str:
        """URI of the LXC driver, from outside the box."""
        return self._uri("lxc", "system")

    @property
    def test_uri(self) -> str:
        """URI of the test driver inside this libvirtd: one state for all its clients."""
        return self._uri("test", "default")

    def _uri(self, driver: str, path: str, socket: str = "libvirt-sock") -> str:
        return f"{driver}+unix:///{path}?socket={self.directory}/run/{socket}"

    @property
    def readonly_qemu_uri(self) -> str:
        """The same QEMU driver on the read-only socket; open it read-only."""
        return self._uri("qemu", "system", "libvirt-sock-ro")

    def __enter__(self) -> Self:
        try:
            self._start_box()
            self.start_libvirtd()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start_box(self) -> None:
        for name in ("etc/qemu", "etc/lxc", "etc/nwfilter", "run", "lib/images", "log", "cache"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        for rules in Path("/usr/share/libvirt/nwfilter").glob("*.xml"):
            shutil.copy(rules, self.directory / "etc/nwfilter")
        if _CACHE.is_dir():
            shutil.copytree(_CACHE, self.directory / "cache", dirs_exist_ok=True)
        (self.directory / "etc/libvirtd.conf").write_text(
            f'host_uuid = "{self.host_uuid}"\n'
            'auth_unix_ro = "none"\nauth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n'
            "listen_tls = 0\nlog_level = 3\n"
            f'log_outputs = "3:file:/var/log/libvirt/libvirtd.log"\n{self._libvirtd_conf}\n'
        )
        (self.directory / "etc/qemu.conf").write_text(
            'user = "root"\ngroup = "root"\nsecurity_driver = "none"\nstdio_handler = "file"\n'
            f'vnc_listen = "127.0.0.1"\n{self._qemu_conf}\n'
        )
        (self.directory / "passwd.add").write_text("libvirt-qemu:x:64055:64055::/:/bin/false\n")
        (self.directory / "group.add").write_text("libvirt-qemu:x:64055:\n")
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        self._box = subprocess.Popen(
            [*_UNSHARE, "bash", "-c", _INIT],
            env={**os.environ, "BOX": str(self.directory)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        box = self._box
        wait_until(lambda: ready.exists() or box.poll() is not None, "box", START_DEADLINE)
        if box.poll() is not None:
            raise RuntimeError("the namespaces for a private libvirtd could not be set up")
        children = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text()
        self._pid1 = int(children.split()[0])

    def command(self, *arguments: str) -> list[str]:
        """A command line that runs the arguments inside the box."""
        return ["nsenter", "-t", str(self._pid1), "-m", "-n", "-u", "-p", "-i", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside the box; raises when it fails."""
        return subprocess.run(
            self.command(*arguments), check=True, capture_output=True, text=True, timeout=60
        )

    def start_libvirtd(self) -> None:
        """Start libvirtd and wait until its QEMU driver answers."""
        (self.directory / "run/libvirtd.pid").unlink(missing_ok=True)
        self._daemon = subprocess.Popen(
            self.command("libvirtd", "-p", "/run/libvirt/libvirtd.pid", *self._listen),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "libvirtd answers", START_DEADLINE)

    def _answers(self) -> bool:
        if self._daemon is None or self._daemon.poll() is not None:
            raise RuntimeError("libvirtd ended: see log/libvirtd.log of the box")
        try:
            libvirt.open(self.qemu_uri).close()
        except libvirt.libvirtError:
            return False
        return True

    def kill_libvirtd(self) -> None:
        """Kill libvirtd as a crash would; guests run on. Returns when it is gone."""
        self.run("sh", "-c", "kill -9 $(cat /run/libvirt/libvirtd.pid)")
        if self._daemon is not None:
            self._daemon.wait(10)

    def pause_libvirtd(self) -> None:
        """Stop libvirtd without closing its connections, as a hanging host would."""
        self.run("sh", "-c", "kill -STOP $(cat /run/libvirt/libvirtd.pid)")

    def continue_libvirtd(self) -> None:
        """Let a paused libvirtd go on."""
        self.run("sh", "-c", "kill -CONT $(cat /run/libvirt/libvirtd.pid)")
        if self._daemon is not None:
            # nsenter stops itself when its child is stopped.
            self._daemon.send_signal(signal.SIGCONT)

    def _keep_capabilities(self) -> None:
        """Probing QEMU takes seconds; later boxes copy what this one learned."""
        learned = self.directory / "cache"
        if _CACHE.is_dir() or not list(learned.glob("qemu/capabilities/*.xml")):
            return
        with tempfile.TemporaryDirectory(dir=_CACHE.parent) as fresh:
            shutil.copytree(learned, Path(fresh) / "cache")
            with contextlib.suppress(OSError):
                (Path(fresh) / "cache").rename(_CACHE)

    def stop(self) -> None:
        """End everything in the box."""
        self._keep_capabilities()
        if self._pid1:
            os.kill(self._pid1, signal.SIGKILL)
            self._pid1 = 0
        if self._box is not None:
            self._box.kill()
            self._box.wait(10)
            self._box = None
        if self._daemon is not None:
            self._daemon.wait(10)
            self._daemon = None


_CACHE = Path(tempfile.gettempdir()) / f"libvirtcim-test-capabilities-{os.geteuid()}"

# A guest in one disk sector. It greets on the first serial port, then sleeps from timer tick to
# timer tick. On each it looks for the ACPI power button (and powers off) and for PCI slots that
# QEMU wants to unplug (and ejects them). Ports are those of QEMU's i440fx machine under SeaBIOS.
_BOOT_SECTOR = r"""
        .code16
        .set COM1,       0x3f8
        .set PM_STATUS,  0x600
        .set PM_ENABLE,  0x602
        .set PM_CONTROL, 0x604
        .set PWRBTN,     0x0100
        .set SLEEP_OFF,  0x2000
        .set PCI_REMOVE, 0xae04
        .set PCI_EJECT,  0xae08
        .set PCI_BUS,    0xae10
        .globl start
start:  ljmp    $0, $main
main:   xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %ss
        mov     $start, %sp
        mov     $hello, %bx
        mov     $COM1, %dx
greet:  mov     (%bx), %al
        out     %al, %dx
        inc     %bx
        cmp     $hello_end, %bx
        jb      greet
        mov     $PWRBTN, %ax
        mov     $PM_ENABLE, %dx
        out     %ax, %dx
        mov     $PCI_BUS, %dx
        xor     %eax, %eax
        out     %eax, %dx
tick:   sti
        hlt
        mov     $PM_STATUS, %dx
        in      %dx, %ax
        test    $PWRBTN, %ax
        jnz     off
        mov     $PCI_REMOVE, %dx
        in      %dx, %eax
        inc     %eax
        cmp     $1, %eax
        jbe     tick
        dec     %eax
        mov     $PCI_EJECT, %dx
        out     %eax, %dx
        jmp     tick
off:    mov     $PWRBTN, %ax
        out     %ax, %dx
        mov     $PM_CONTROL, %dx
        mov     $SLEEP_OFF, %ax
        out     %ax, %dx
        jmp     tick
hello:  .ascii  "GUEST-READY\r\n"
hello_end:
        .org    510
        .word   0xaa55
"""
_LINK = ("ld", "-m", "elf_i386", "-Ttext", "0x7c00", "-e", "start", "--oformat", "binary", "-o")
READY = "GUEST-READY"


def build_guest_image(directory: Path) -> Path:
    """A raw disk image of 1 MiB that boots the one-sector guest."""
    source, linked = directory / "guest.s", directory / "guest.o"
    image = directory / "guest.img"
    source.write_text(_BOOT_SECTOR)
    subprocess.run(["as", "--32", str(source), "-o", str(linked)], check=True)
    subprocess.run(
        [
            *[
                "ld",
                "-m",
                "elf_i386",
                "-Ttext",
                "0x7c00",
                "-e",
                "start",
                "--oformat",
                "binary",
                "-o",
            ],
            image,
            linked,
        ],
        check=True,
    )
    os.truncate(image, 1 << 20)
    return image


def qemu_guest(name: str, image: Path | None = None, *, extra: str = "", devices: str = "") -> str:
    """Domain XML of a small QEMU guest; `extra` goes below domain, `devices` below devices."""
    disk = serial = ""
    if image is not None:
        disk = (
            "<disk type='file' device='disk'><driver name='qemu' type='raw'/>"
            f"<source file='{image}'/><target dev='vda' bus='virtio'/><readonly/></disk>"
        )
        serial = f"<serial type='file'><source path='{image.parent}/{name}.serial'/></serial>"
    return (
        f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>2</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
        f"{extra}<devices>{disk}{serial}<memballoon model='none'/>{devices}</devices></domain>"
    )


def serial_output(image: Path, name: str) -> str:
    """What the guest wrote on its serial port."""
    path = image.parent / f"{name}.serial"
    return path.read_text(errors="replace") if path.exists() else ""


def build_container_root(directory: Path) -> Path:
    """A root directory for a container: busybox and its links."""
    root = directory / "container"
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("not installed: busybox")
    shutil.copy(busybox, root / "bin/busybox")
    for applet in ("sh", "sleep"):
        link = root / "bin" / applet
        if not link.is_symlink():
            link.symlink_to("busybox")
    return root


def lxc_guest(name: str, root: Path, *, extra: str = "") -> str:
    """Domain XML of a container that ends on SIGTERM."""
    return (
        f"<domain type='lxc'><name>{name}</name><memory unit='KiB'>65536</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64'>exe</type><init>/bin/sh</init><initarg>-c</initarg>"
        "<initarg>trap 'exit 0' TERM; while :; do sleep 1; done</initarg></os>"
        f"{extra}<devices><filesystem type='mount'><source dir='{root}'/><target dir='/'/>"
        "</filesystem><console type='pty'/></devices></domain>"
    )
