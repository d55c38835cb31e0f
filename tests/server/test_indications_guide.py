# SPDX-License-Identifier: LGPL-2.1-or-later
"""The scripts of docs/indications.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.cimom.ports import free_port
from tests.server.subscribing import MODIFIED, Subscribed, running
from tests.server.test_clients import needs_pywbemcli, needs_wbemcli

TEXT = (Path(__file__).parents[2] / "docs" / "indications.md").read_text()


def script(language: str, word: str) -> str:
    """The one script in a language in which a word stands."""
    found = re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (chosen,) = [text for text in found if word in text]
    return str(chosen)


def output(served: Subscribed, *command: str, more: Mapping[str, str] | None = None) -> str:
    folder = Path(sys.executable).parent
    environment = {
        **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CIM_URL": served.url, **(more or {}),
    }  # fmt: skip
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pywbem() -> None:
    ended = threading.Event()
    with running() as served:

        def modify() -> None:
            while not ended.wait(0.05):
                served.source.tick(classname=MODIFIED, EnabledState=9)
                served.source.tick(classname=MODIFIED, Name="web1", EnabledState=3)

        modifying = threading.Thread(target=modify)
        modifying.start()
        try:
            port = {"LISTENER_PORT": str(free_port())}
            told = output(served, sys.executable, "-c", script("python", "WBEMListener"), more=port)
        finally:
            ended.set()
            modifying.join()
        assert told == "web1 2 -> 3\n"
        assert served.source.publish is None


@needs_pywbemcli
def test_pywbemcli() -> None:
    with running() as served:
        assert "here(permanent)" in output(served, "sh", "-ec", script("sh", "pywbemcli"))
        assert served.status() == []


@needs_wbemcli
def test_wbemcli() -> None:
    with running() as served:
        told = output(served, "sh", "-ec", script("sh", "wbemcli ci"))
        assert told.count("CIM_IndicationSubscription.Filter=") == 2
        assert served.status() == []
