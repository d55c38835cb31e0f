# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packages: `providers/` at the top of the tree is installed as `libvirtcim.providers`."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
SUBPACKAGES = find_packages(str(ROOT / "libvirtcim"), exclude=["providers", "providers.*"])
PROVIDERS = ["", *(f".{name}" for name in find_packages(str(ROOT / "providers")))]

setup(
    # Not in pyproject.toml: setuptools 66 (Debian 12) and 77 want it written differently there.
    license="LGPL-2.1-or-later",
    packages=[
        "libvirtcim",
        *(f"libvirtcim.{name}" for name in SUBPACKAGES),
        *(f"libvirtcim.providers{name}" for name in PROVIDERS),
    ],
    py_modules=["cmpi_pywbem_bindings"],
    package_dir={
        f"libvirtcim.providers{name}": f"providers{name.replace('.', '/')}" for name in PROVIDERS
    },
    package_data={
        "libvirtcim": ["py.typed", "data/*.xml"],
        "libvirtcim.cim": ["base_schema.json"],
        "libvirtcim.cmpi": ["*.pyx", "*.pxi", "*.pxd", "*.c", "*.h", "*.map"],
    },
)
