# SPDX-License-Identifier: LGPL-2.1-or-later
"""A provider module that only tests have: a clock whose ticks are indications."""

from pathlib import Path

from tests.cmpi.parts import with_providers

PATH_CODE = with_providers(Path(__file__).parent)
"""Python code after which the composition root finds the module."""
