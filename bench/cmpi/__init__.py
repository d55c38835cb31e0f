# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the CMPI plugin adds to a CIM server's own work, against a provider in plain C."""
