# SPDX-License-Identifier: LGPL-2.1-or-later
"""Resource allocation setting data (RASD): one module per kind of resource."""
