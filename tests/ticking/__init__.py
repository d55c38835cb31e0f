# SPDX-License-Identifier: LGPL-2.1-or-later
"""A provider module that only tests have: a clock whose ticks are indications."""

from pathlib import Path

PATH_CODE = (
    "import libvirtcim.providers\n"
    f"libvirtcim.providers.__path__.append({str(Path(__file__).parent)!r})"
)
"""Python code after which the composition root finds the module."""
