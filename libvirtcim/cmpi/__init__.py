# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CMPI plugin: a library that CIM servers (OpenPegasus, SFCB) load, over the embedded server's broker.

`plugin.c` starts Python inside the CIM server, `adapter.pyx` translates between CMPI and the broker's
values, `loader` makes the broker, `build` makes `liblibvirtcim.so` of them.
"""
