# SPDX-License-Identifier: LGPL-2.1-or-later
"""CIM servers in which the plugin and the provider in C serve side by side, each a class of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cmpi.rows.sample_row import PLAIN
from libvirtcim.cim.declare import VIRT
from libvirtcim.cmpi import build
from tests.cimom import pegasus, sfcb
from tests.cimom.pegasus import Pegasus
from tests.cimom.sfcb import Sfcb
from tests.cmpi.parts import ROOT, make_environment, with_providers

_RUN = "from libvirtcim.cli import main; raise SystemExit(main())"
_PLAIN = PLAIN.class_name("KVM")
_LOCATION = "sample"

Server = Callable[[Path, "Plugin", Path], AbstractContextManager[str]]
"""(a directory, the plugin, the library of the provider in C) → the URL of a server with both."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """The plugin with the sample rows, and the Python that knows them too."""

    library: Path
    python: str

    @classmethod
    def build(cls, folder: Path) -> Plugin:
        """Builds it; raises `build.CannotBuild`."""
        config = folder / "libvirtcim.toml"
        config.write_text('[connections]\nKVM = "test:///default"\n')
        rows = Path(__file__).parent / "rows"
        python = make_environment(folder / "environment", with_providers(rows))
        output = folder / build.OUTPUT.name
        build.build(output, python=python, config=str(config), objects=ROOT / "build" / "cmpi")
        return cls(output, python)

    def register(self, server: Pegasus | Sfcb, kind: str, *options: str | Path) -> None:
        """Registers it as an administrator would."""
        command = (self.python, "-c", _RUN, "register", kind, "--plugin", self.library)
        server.run(*command, *options)


@contextmanager
def _sfcb(folder: Path, plugin: Plugin, sample: Path) -> Iterator[str]:
    (folder / "s").mkdir()
    with Sfcb(folder / "s") as server:
        places = ("--prefix", server.prefix, "--config", server.config, "--schema", server.schema)
        plugin.register(server, "sfcb", *places)
        stanza = folder / "plain.reg"
        stanza.write_text(
            f"[{_PLAIN}]\n   provider: plain\n   location: {_LOCATION}\n   type: instance\n"
            f"   namespace: {VIRT}\n   unload: never\n#\n"
        )
        (server.library_directory / sample.name).symlink_to(sample)
        server.run("sfcbstage", "-s", server.staging, "-n", VIRT, "-r", stanza)
        server.rebuild()
        server.start()
        yield server.url


def _pegasus(*, out_of_process: bool) -> Server:
    @contextmanager
    def start(folder: Path, plugin: Plugin, sample: Path) -> Iterator[str]:
        own = folder / f"p{int(out_of_process)}"
        own.mkdir()
        with Pegasus(own, out_of_process=out_of_process) as server:
            server.start()
            plugin.register(server, "pegasus")
            (server.library_directory / sample.name).symlink_to(sample)
            registration = own / "plain.mof"
            registration.write_text(_PLAIN_IN_PEGASUS)
            server.run("cimmof", "-n", "root/interop", registration)
            yield server.url

    return start


_PLAIN_IN_PEGASUS = f"""\
instance of PG_ProviderModule {{
   Name = "plain"; Location = "{_LOCATION}"; Vendor = "plain"; Version = "1.0.0";
   InterfaceType = "CMPI"; InterfaceVersion = "2.0.0";
}};
instance of PG_Provider {{ ProviderModuleName = "plain"; Name = "plain"; }};
instance of PG_ProviderCapabilities {{
   ProviderModuleName = "plain"; ProviderName = "plain"; CapabilityID = "{_PLAIN}";
   ClassName = "{_PLAIN}"; Namespaces = {{ "{VIRT}" }}; ProviderType = {{ 2 }};
}};
"""

SERVERS: Mapping[str, tuple[Callable[[], str | None], Server]] = {
    "SFCB": (sfcb.missing, _sfcb),
    "OpenPegasus, agent": (pegasus.missing, _pegasus(out_of_process=True)),
    "OpenPegasus, in process": (pegasus.missing, _pegasus(out_of_process=False)),
}
"""Name → why it can't be run here (None: it can), and how it is started."""
