# SPDX-License-Identifier: LGPL-2.1-or-later
"""How switches are asked whether they know virtual station interfaces: with a program in lldptool's place."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from libvirtcim.virt.settings import VsiSettings
from libvirtcim.virt.vsi import supporting_interface

ANSWER = "EVB TLV\n\tmode: relay\n\tcapabilities: VDP\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """File in which the arguments of each call are noted; only the switch behind eth1 answers as wanted."""
    calls, tool = tmp_path / "calls", tmp_path / "bin" / "lldptool"
    tool.parent.mkdir()
    tool.write_text(
        f'#!/bin/sh\necho "$#:$*" >> {calls}\n[ "$2" = eth1 ] && cat <<END\n{ANSWER}END\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
    for interface in ("eth0", "eth1", "eth2"):
        (tmp_path / "net" / interface / "device").mkdir(parents=True)
    (tmp_path / "net" / "br0").mkdir()
    return calls


def ask(
    asked: Path, options: str, announcements: str = "{mode: relay, capabilities: VDP}"
) -> str | None:
    return supporting_interface(VsiSettings(options, announcements), asked.parent / "net")


def test_the_first_interface_that_supports_it(asked: Path) -> None:
    assert ask(asked, "-t -V 'evb cfg'") == "eth1"
    assert asked.read_text().splitlines() == ["5:-i eth0 -t -V evb cfg", "5:-i eth1 -t -V evb cfg"]


def test_every_announcement_must_be_there(asked: Path) -> None:
    assert ask(asked, "-t", "{mode: relay, capabilities: RTE}") is None
    assert len(asked.read_text().splitlines()) == 3


def test_options_that_no_shell_would_take(asked: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert ask(asked, "-t 'evb") is None
    assert not asked.exists()
    assert "-t 'evb" in caplog.text
