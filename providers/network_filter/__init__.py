# SPDX-License-Identifier: LGPL-2.1-or-later
"""Network filters, their rules, what they include and what they guard: shown, made and deleted."""
