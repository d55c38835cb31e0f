# SPDX-License-Identifier: LGPL-2.1-or-later
# cython: language_level=3, boundscheck=False, wraparound=False
"""Between CMPI and the broker: objects of the CIM server in C on one side, plain Python values on the other.

No Python object ever holds a CMPI pointer: whatever the CIM server hands over, or makes for us, belongs to
the thread and the duration of the call. The CIM type of a value is that of the class declaration, since
SFCB sends wrongly typed values as they are and OpenPegasus refuses them. Every status is looked at.

What is sent is packed under the interpreter lock and built and handed over without it, since CIM servers take
their time and may block on the client; libvirt's own calls release the lock by themselves.
"""

# Python takes for its main thread the one that imports this first: it must be the plugin's own.
import threading

from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, strncpy

from libvirtcim.cmpi.abi cimport *


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef dict TYPES = {
    "boolean": CMPI_boolean, "char16": CMPI_char16, "real32": CMPI_real32, "real64": CMPI_real64,
    "uint8": CMPI_uint8, "uint16": CMPI_uint16, "uint32": CMPI_uint32, "uint64": CMPI_uint64,
    "sint8": CMPI_sint8, "sint16": CMPI_sint16, "sint32": CMPI_sint32, "sint64": CMPI_sint64,
    "string": CMPI_string, "datetime": CMPI_dateTime, "reference": CMPI_ref,
}
cdef dict NAMES = {code: name for name, code in TYPES.items()}
NAMES[CMPI_chars] = "string"
NAMES[CMPI_instance] = "string"  # an embedded instance: declared as string (DSP0004 5.6.3.15)

cdef object loader = None
cdef object Given = None
cdef object GivenInstance = None
cdef object InstancePath = None
cdef object Instance = None
cdef object RequestContext = None
cdef object Failed = None
cdef object Unmade = None
cdef object UnmadePaths = None
cdef object config_file = None
cdef int attached = 0
cdef dict plans = {}


# --- the life of the service -------------------------------------------------------------------

cdef public int libvirtcim_attach(const char* config, char* text, size_t size) noexcept with gil:
    """Counts one more MI; opens the service. 0, or -1 with the reason in `text`."""
    global attached, config_file
    try:
        import_modules()
        config_file = config.decode()
        loader.service(config_file)
        attached += 1
        return 0
    except BaseException as error:
        tell(error, text, size)
        return -1


cdef void tell(object error, char* text, size_t size) noexcept:
    """Writes what went wrong into `text`."""
    text[0] = 0
    try:
        message = f"{type(error).__name__}: {error}".encode("utf-8", "replace")[: size - 1]
        strncpy(text, <const char*>message, size - 1)
        text[size - 1] = 0
    except BaseException:
        pass


cdef public void libvirtcim_detach() noexcept with gil:
    """Counts one MI less; the last one closes the service."""
    global attached
    attached -= 1
    if attached > 0:
        return
    try:
        loader.close()
    except BaseException as error:
        log_only(error)


cdef int log_only(object error) except -1:
    loader.failure(error)
    return 0


cdef int import_modules() except -1:
    global loader, Given, GivenInstance, InstancePath, Instance, RequestContext, Failed
    global Unmade, UnmadePaths
    if loader is not None:
        return 0
    from libvirtcim.cim import errors, objects, provider
    from libvirtcim.cmpi import loader as found

    Given, GivenInstance = objects.Given, objects.GivenInstance
    InstancePath, Instance = objects.InstancePath, objects.Instance
    RequestContext, Failed = objects.RequestContext, errors.Failed
    Unmade, UnmadePaths = provider.Unmade, provider.UnmadePaths
    loader = found
    return 0


cdef object service():
    return loader.service(config_file)


# --- statuses ----------------------------------------------------------------------------------

cdef inline int check(CMPIStatus status, str what) except -1:
    """Raises Failed where the CIM server refused something."""
    if status.rc != 0:
        refused(status, what)
    return 0


cdef int refused(CMPIStatus status, str what) except -1:
    raise Failed(f"The CIM server refused {what} (code {status.rc}): {text_of(status.msg) or ''}")


cdef CMPIStatus failure(const CMPIBroker* broker, object error) noexcept:
    """The status that an exception becomes, with its message."""
    cdef CMPIStatus status
    cdef CMPIStatus made
    status.rc, status.msg = 1, NULL
    made.rc, made.msg = 0, NULL
    try:
        code, message = loader.failure(error)
        status.rc = code
        status.msg = broker.eft.newString(broker, <const char*>message, &made)
        if made.rc != 0:
            status.msg = NULL
    except BaseException:
        pass
    return status


cdef CMPIStatus ok() noexcept:
    cdef CMPIStatus status
    status.rc, status.msg = 0, NULL
    return status


include "incoming.pxi"
include "packing.pxi"
include "building.pxi"
include "sending.pxi"
include "operations.pxi"
include "delivery.pxi"
