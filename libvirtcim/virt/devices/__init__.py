# SPDX-License-Identifier: LGPL-2.1-or-later
"""The devices of a guest as typed objects over their XML elements, one module per kind."""
