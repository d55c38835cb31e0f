# SPDX-License-Identifier: LGPL-2.1-or-later
"""Snapshots of guests: as instances, and the methods of VirtualSystemSnapshotService."""
