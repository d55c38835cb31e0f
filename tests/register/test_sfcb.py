# SPDX-License-Identifier: LGPL-2.1-or-later
"""SFCB's files as we read them: `sfcb.cfg`, registrations, where an installation keeps what."""

from __future__ import annotations

from pathlib import Path

import pytest

from libvirtcim import composition
from libvirtcim.cim import registration
from libvirtcim.register import sfcb_daemon, sfcb_layout
from libvirtcim.register.plan import NotInstalled, RegistrationError
from libvirtcim.register.sfcb_layout import Layout, Stanza

CONFIG = """\
## a comment: of no matter
#httpPort: 1
httpPort:       5988
registrationDir: {root}/var/lib/sfcb/registration
  providerDirs: {root}/lib/sfcb {root}/lib/cmpi
enableHttp:false
httpPort: 5990
"""
REGISTRATIONS = """\
# a comment
[CIM_One]
   provider: P
   location: L
   type: instance association
   namespace: root/cimv2 root/interop
#
[Two]   # twice
   provider:Q
   location:  M
   namespace: root/virt
   unload: never
[$ClassProvider$]
   provider: C
   location: sfcClassProvider
   namespace: *
#
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An installation of SFCB with empty programs."""
    root = tmp_path / "sfcb"
    for name in ("sbin/sfcbd", *(f"bin/{tool}" for tool in sfcb_layout.TOOLS)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (root / "etc/sfcb").mkdir(parents=True)
    (root / "etc/sfcb/sfcb.cfg").write_text(CONFIG.format(root=root))
    (root / "var/lib/sfcb/stage/regs").mkdir(parents=True)
    (root / "var/lib/sfcb/stage/default.reg").touch()
    (root / "share/sfcb/CIM").mkdir(parents=True)
    return root


def test_where_things_are(prefix: Path) -> None:
    found = sfcb_layout.find(prefix)
    assert found.daemon == prefix / "sbin/sfcbd"
    assert found.programs == prefix / "bin"
    assert found.config == found.default_config == prefix / "etc/sfcb/sfcb.cfg"
    assert found.staging == prefix / "var/lib/sfcb/stage"
    assert found.registration == prefix / "var/lib/sfcb/registration"
    assert found.schema_directory == prefix / "share/sfcb/CIM"
    assert found.provider_directories == (prefix / "lib/sfcb", prefix / "lib/cmpi")
    assert found.settings["httpPort"] == "5990"


def test_a_link_leads_to_the_installation(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sfcbd").symlink_to(prefix / "sbin/sfcbd")
    (prefix / "sbin/sfcbd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert sfcb_layout.find().staging == prefix / "var/lib/sfcb/stage"


def test_other_places_are_named(prefix: Path, tmp_path: Path) -> None:
    staging = tmp_path / "elsewhere"
    staging.mkdir()
    (staging / "default.reg").touch()
    config = tmp_path / "other.cfg"
    config.write_text(f"registrationDir: {tmp_path}/r\n")
    found = sfcb_layout.find(prefix, config, staging, tmp_path)
    assert (found.config, found.staging, found.registration) == (config, staging, tmp_path / "r")
    assert found.schema_directory == tmp_path
    assert prefix / "lib/cmpi" in found.provider_directories


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("sbin/sfcbd", "there is no sbin/sfcbd"),
        ("bin/sfcbstage", "reinstall SFCB"),
        ("etc/sfcb/sfcb.cfg", "--config FILE"),
        ("var/lib/sfcb/stage/default.reg", "--staging DIR"),
    ],
)
def test_what_is_lacking_is_named_with_advice(prefix: Path, lost: str, expected: str) -> None:
    (prefix / lost).unlink()
    with pytest.raises(RegistrationError) as refused:
        sfcb_layout.find(prefix)
    assert expected in str(refused.value)
    assert isinstance(refused.value, NotInstalled) == (lost == "sbin/sfcbd")


def test_an_sfcb_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sfcb_layout, "SYSTEM_PATH", ())
    with pytest.raises(NotInstalled, match="--prefix DIR"):
        sfcb_layout.find()


def test_a_schema_is_read_through_its_includes(prefix: Path) -> None:
    with pytest.raises(RegistrationError, match="--schema DIR"):
        sfcb_layout.find(prefix).schema_declared()
    directory = prefix / "share/sfcb/CIM"
    (directory / "Core").mkdir()
    (directory / "CIM_Schema.mof").write_text(
        '#pragma include ("qualifiers.mof")\n#pragma include ("Core/CIM_A.mof")\n'
    )
    (directory / "qualifiers.mof").write_text("Qualifier Key : boolean, Scope(property);\n")
    # beside the including file, or from the top, and in a circle
    (directory / "Core/CIM_A.mof").write_text(
        '#pragma include ("CIM_B.mof")\n#pragma include ("CIM_Schema.mof")\nclass CIM_A {};\n'
    )
    (directory / "Core/CIM_B.mof").write_text("class CIM_B {};\n")
    found = sfcb_layout.find(prefix).schema_declared()
    assert (found.classes, found.qualifiers) == ({"CIM_A", "CIM_B"}, {"Key"})


def test_registrations_are_read() -> None:
    assert sfcb_layout.stanzas(REGISTRATIONS) == [
        Stanza("CIM_One", "P", "L", ("root/cimv2", "root/interop")),
        Stanza("Two", "Q", "M", ("root/virt",)),
    ]


def test_what_we_write_is_what_we_read() -> None:
    declarations = composition.declarations()
    text = registration.render_sfcb(declarations, "other")
    assert [(s.classname, *s.namespaces, s.location) for s in sfcb_layout.stanzas(text)] == [
        (row.classname, row.namespace, "other") for row in registration.rows(declarations)
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", [("127.0.0.1", 5988)]),
        ("enableHttps: true", [("127.0.0.1", 5989)]),
        (
            "enableHttp: true\nenableHttps: true\nhttpsPort: 1",
            [("127.0.0.1", 5988), ("127.0.0.1", 1)],
        ),
        ("ip4AddrList: 10.0.0.1, 127.0.0.1\nhttpPort: 8", [("10.0.0.1", 8)]),
        ("enableHttp: false", []),
    ],
)
def test_where_it_listens(prefix: Path, settings: str, expected: list[tuple[str, int]]) -> None:
    (prefix / "etc/sfcb/sfcb.cfg").write_text(settings)
    assert sfcb_daemon.addresses(sfcb_layout.find(prefix)) == expected


def test_a_server_that_does_not_run(prefix: Path) -> None:
    layout: Layout = sfcb_layout.find(prefix)
    assert sfcb_daemon.running(layout) is None


@pytest.mark.parametrize(
    ("groups", "main", "expected"),
    [
        ("0::/system.slice/sblim-sfcb.service\n", 7, "sblim-sfcb.service"),
        ("5:pids:/\n1:name=systemd:/system.slice/sfcb.service\n0::/\n", 7, "sfcb.service"),
        ("0::/system.slice/cron.service\n", 3, None),
        ("0::/user.slice/user-0.slice/user@0.service/app.slice/x.scope\n", 7, None),
        ("0::/user.slice/user-0.slice/session-1.scope\n", 7, None),
        ("0::/\n", 7, None),
    ],
)
def test_only_a_unit_of_its_own_is_restarted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, groups: str, main: int, expected: str | None
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(
        f'#!/bin/sh\n[ "$*" != "${{*#show --property MainPID}}" ] && echo {main}\n'
    )
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert sfcb_daemon.unit_of(7, groups) == expected
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert sfcb_daemon.unit_of(7, groups) is None
