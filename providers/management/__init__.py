# SPDX-License-Identifier: LGPL-2.1-or-later
"""VirtualSystemManagementService at work: guests defined, changed and destroyed as clients ask."""
