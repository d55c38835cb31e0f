# SPDX-License-Identifier: LGPL-2.1-or-later
"""Speed and memory of libvirtcim, against the floor that libvirt itself sets: `python -m bench`."""
