# SPDX-License-Identifier: LGPL-2.1-or-later
"""The plugin in real CIM servers, each in a private directory and on a port of its own."""
