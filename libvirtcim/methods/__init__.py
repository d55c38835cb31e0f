# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the methods of the services do: guests defined, changed and moved, pools made, snapshots kept.

`providers.service` declares the services and loads what is here when a method of one is first called:
most clients only read, and a CIM server waits for everything that is loaded at the start.
"""
