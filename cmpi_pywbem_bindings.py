# SPDX-License-Identifier: LGPL-2.1-or-later
"""The module that cmpi-bindings' `libpy3CmpiProvider.so` looks for, under the name it looks for."""

from libvirtcim.cmpi.bindings import get_cmpi_proxy_provider, swig

__all__ = ["get_cmpi_proxy_provider"]

# The library can't hand over an object, nor its first argument, before its SWIG half is there.
swig()
