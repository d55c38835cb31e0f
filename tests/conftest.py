# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# how long an example takes says more about what else the machine does than about the code
settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")
