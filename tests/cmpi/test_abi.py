# SPDX-License-Identifier: LGPL-2.1-or-later
"""The binary interface as declared here, against the numbers of the CMPI 2.0 standard.

Plugin and test host share one declaration, so a wrong number in it would go unnoticed between them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from libvirtcim.cmpi import build

SYSTEM_HEADERS = Path("/usr/include/cmpi")

CONSTANTS = {
    "CMPI_null": 0, "CMPI_boolean": 2, "CMPI_char16": 3, "CMPI_real32": 8, "CMPI_real64": 12,
    "CMPI_uint8": 0x80, "CMPI_uint16": 0x90, "CMPI_uint32": 0xA0, "CMPI_uint64": 0xB0,
    "CMPI_sint8": 0xC0, "CMPI_sint16": 0xD0, "CMPI_sint32": 0xE0, "CMPI_sint64": 0xF0,
    "CMPI_instance": 0x1000, "CMPI_ref": 0x1100, "CMPI_args": 0x1200, "CMPI_string": 0x1600,
    "CMPI_chars": 0x1700, "CMPI_dateTime": 0x1800, "CMPI_ARRAY": 0x2000,
    "CMPI_goodValue": 0, "CMPI_nullValue": 0x100, "CMPI_keyValue": 0x200, "CMPI_notFound": 0x400,
    "CMPI_badValue": 0x8000, "CMPI_RC_DO_NOT_UNLOAD": 50, "CMPI_RC_NEVER_UNLOAD": 51,
    "CMPI_RC_ERR_INVALID_DATA_TYPE": 61, "CMPI_RC_ERR_INVALID_HANDLE": 60,
}  # fmt: skip

SLOTS = {
    "CMPIBrokerEncFT.newInstance": 1, "CMPIBrokerEncFT.newObjectPath": 2, "CMPIBrokerEncFT.newString": 4,
    "CMPIBrokerEncFT.newArray": 5, "CMPIBrokerEncFT.newDateTimeFromChars": 8,
    "CMPIObjectPathFT.getNameSpace": 4, "CMPIObjectPathFT.getClassName": 8, "CMPIObjectPathFT.addKey": 9,
    "CMPIObjectPathFT.getKeyAt": 11, "CMPIObjectPathFT.getKeyCount": 12, "CMPIObjectPathFT.toString": 19,
    "CMPIInstanceFT.getPropertyAt": 4, "CMPIInstanceFT.getPropertyCount": 5, "CMPIInstanceFT.setProperty": 6,
    "CMPIInstanceFT.getObjectPath": 7, "CMPIInstanceFT.setPropertyFilter": 8,
    "CMPIArgsFT.addArg": 3, "CMPIArgsFT.getArgAt": 5, "CMPIArgsFT.getArgCount": 6,
    "CMPIArrayFT.getSize": 3, "CMPIArrayFT.getElementAt": 5, "CMPIArrayFT.setElementAt": 6,
    "CMPIStringFT.getCharPtr": 3, "CMPIDateTimeFT.getStringFormat": 4, "CMPIContextFT.getEntry": 3,
    "CMPIResultFT.returnData": 3, "CMPIResultFT.returnInstance": 4, "CMPIResultFT.returnObjectPath": 5,
    "CMPIResultFT.returnDone": 6,
    # in these the three members before the functions take two words
    "CMPIInstanceMIFT.cleanup": 2, "CMPIInstanceMIFT.execQuery": 9, "CMPIInstanceMIFT.getInstance": 5,
    "CMPIAssociationMIFT.referenceNames": 6, "CMPIMethodMIFT.invokeMethod": 3,
    "CMPIIndicationMIFT.authorizeFilter": 3, "CMPIIndicationMIFT.mustPoll": 4,
    "CMPIIndicationMIFT.activateFilter": 5, "CMPIIndicationMIFT.deActivateFilter": 6,
    "CMPIIndicationMIFT.enableIndications": 7, "CMPIIndicationMIFT.disableIndications": 8,
    "CMPIBrokerFT.prepareAttachThread": 2, "CMPIBrokerFT.attachThread": 3, "CMPIBrokerFT.detachThread": 4,
    "CMPIBrokerFT.deliverIndication": 5, "CMPISelectExpFT.getString": 4,
}  # fmt: skip
"""Place of a member in its table, in words from the start."""


needs_compiler = pytest.mark.skipif(
    build.missing() is not None, reason=f"the plugin can't be built: {build.missing()}"
)


def numbers(headers: str, where: Path, folder: Path) -> dict[str, int]:
    """The constants and places as a compiler finds them in headers."""
    lines = [f'printf("{name} %ld\\n", (long){name});' for name in CONSTANTS]
    for member in SLOTS:
        table, name = member.split(".")
        lines.append(f'printf("{member} %zu\\n", offsetof({table}, {name}) / sizeof(void *));')
    source = folder / "numbers.c"
    body = "\n".join(lines)
    source.write_text(
        f"#include <stdio.h>\n#include <stddef.h>\n{headers}\nint main(void) {{\n{body}\n}}\n"
    )
    subprocess.run(["gcc", f"-I{where}", str(source), "-o", str(folder / "numbers")], check=True)
    done = subprocess.run([str(folder / "numbers")], check=True, capture_output=True, text=True)
    return {name: int(number) for name, number in map(str.split, done.stdout.splitlines())}


@needs_compiler
def test_numbers_of_the_standard(tmp_path: Path) -> None:
    found = numbers("#include <cmpi.h>", build.SOURCES, tmp_path)
    assert found == {**CONSTANTS, **SLOTS}


@needs_compiler
@pytest.mark.skipif(
    not (SYSTEM_HEADERS / "cmpift.h").exists(),
    reason="no CMPI headers are installed in /usr/include/cmpi",
)
def test_numbers_of_installed_headers(tmp_path: Path) -> None:
    chosen = "#define CMPI_VERSION 200\n#define CMPI_PLATFORM_LINUX_GENERIC_GNU\n"
    found = numbers(f"{chosen}#include <cmpidt.h>\n#include <cmpift.h>", SYSTEM_HEADERS, tmp_path)
    assert found == {**CONSTANTS, **SLOTS}
