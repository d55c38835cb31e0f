# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command `libvirtcim`, of this Python's or of one with a libvirtcim that ticks."""

from __future__ import annotations

import sys
from pathlib import Path

from libvirtcim import demo
from libvirtcim.cmpi import build
from tests.cmpi.parts import ROOT, make_environment
from tests.ticking import PATH_CODE

MAIN = "from libvirtcim.cli import main; raise SystemExit(main())"
LIBVIRTCIM = (sys.executable, "-c", MAIN)


def ticking(directory: Path, seconds: float) -> tuple[tuple[str, ...], Path]:
    """The command and the plugin of a libvirtcim that sends `tests/ticking`'s indications that often.

    It serves the sample guests. The environment and the plugin are made in `directory`.
    """
    slowly = f"import os; os.environ['LIBVIRTCIM_TICK_SECONDS'] = '{seconds}'"
    python = make_environment(directory / "environment", f"{PATH_CODE}\n{slowly}")
    config = directory / "libvirtcim.toml"
    config.write_text(f'[connections]\nKVM = "{demo.sample_uri()}"\n')
    library = directory / build.OUTPUT.name
    build.build(library, python=python, config=str(config), objects=ROOT / "build" / "cmpi")
    return (python, "-c", MAIN), library
