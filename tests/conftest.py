# SPDX-License-Identifier: LGPL-2.1-or-later
"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# how long an example takes says more about what else the machine does than about the code
settings.register_profile("any speed", deadline=None)
settings.load_profile("any speed")

# servers under test are this machine's; without this, clients look for proxies at every request
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,::1,localhost"
