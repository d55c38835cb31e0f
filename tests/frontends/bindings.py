# SPDX-License-Identifier: LGPL-2.1-or-later
"""cmpi-bindings' library, and a Python in which it finds us.

It starts Python isolated, with the modules of the `python3` that is first on the PATH of the process:
of a virtual environment, where that is one's.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from libvirtcim.cmpi import bindings
from tests.cmpi.driver import Answer, Host, Request

VARIABLE = "LIBVIRTCIM_CMPI_BINDINGS"
"""Environment variable: path of libpy3CmpiProvider.so."""
DIRECTORIES = ("/usr/lib64/cmpi", "/usr/lib/cmpi", "/usr/local/lib/cmpi")

_AT_START = """
from pathlib import Path
from libvirtcim import config
config.CONFIG_FILE = Path({file!r})
"""


def library() -> Path:
    """The library that is used, where there is one."""
    named = os.environ.get(VARIABLE)
    candidates = [named] if named else [f"{d}/{bindings.LIBRARY}" for d in DIRECTORIES]
    return Path(next((path for path in candidates if Path(path).exists()), candidates[0])).resolve()


def missing() -> str | None:
    """Why it can't be used here, in words; None: it can."""
    found = library()
    if not found.exists():
        return f"cmpi-bindings' {found} does not exist; {VARIABLE} may name another"
    wanted = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so"
    if wanted.encode() not in found.read_bytes():
        return f"{found} is not built for this Python ({wanted}); {VARIABLE} may name another"
    return None


def environment(make: Callable[[str, bool], str], config: Path, code: str = "") -> dict[str, str]:
    """Environment variables for a process in which the library serves a configuration.

    `make`: makes virtual environments, given code that runs at start; `code`: more of that.
    """
    python = Path(make(_AT_START.format(file=str(config)) + code, True))
    python.with_name("python3").symlink_to(python.name)
    return {"PATH": f"{python.parent}:{os.environ['PATH']}"}


class BindingsHost(Host):
    """The CMPI host with the library in it.

    Property lists are forgiven: cmpi-bindings puts the keys into the list, which CIM servers take,
    instead of naming them besides, which the host demands.
    """

    FORGIVEN = "a property list without list or keys"

    def __init__(self, program: Path, variables: Mapping[str, str]) -> None:
        # our host loads with RTLD_LOCAL, unlike CIM servers: this makes Python's symbols global
        preloaded = str(sysconfig.get_config_var("INSTSONAME"))
        settings = {**variables, "LD_PRELOAD": preloaded}
        super().__init__(program, library(), ("env", *(f"{k}={v}" for k, v in settings.items())))

    def together(self, requests: list[Request]) -> list[Answer]:
        """As `Host.together`, without what is forgiven."""
        return [
            replace(answer, violations=[v for v in answer.violations if v != self.FORGIVEN])
            for answer in super().together(requests)
        ]
