# SPDX-License-Identifier: LGPL-2.1-or-later
"""The CIM server's objects, built of packed values, without the interpreter lock.

Whatever is built belongs to the thread and the duration of the call, and is given back as soon as it is
copied. Every status is looked at; what the CIM server refuses is noted as a fault.
"""

cdef struct Fault:
    # What the CIM server refused, or made nothing of (`status.rc` 0); `what` NULL: nothing
    CMPIStatus status
    const char* what
    const char* name

cdef struct Made:
    # A value as setProperty, addKey, addArg, setElementAt and returnData take it
    CMPIValue value
    const CMPIValue* pointer  # to `value`, or the text itself for CMPI_chars, or NULL
    CMPIType type


cdef int raise_fault(const Fault* fault) except -1:
    if fault.what is NULL:
        return 0
    whole = fault.what.decode()
    if fault.name is not NULL:
        whole += " " + fault.name.decode()
    if fault.status.rc == 0:
        raise Failed(f"The CIM server made nothing of {whole}")
    return refused(fault.status, whole)


cdef bint taken(Fault* fault, CMPIStatus status, const char* what, const char* name) noexcept nogil:
    """Whether the CIM server accepted something: `what`, of that name."""
    if status.rc != 0:
        fault.status, fault.what, fault.name = status, what, name
        return False
    return True


cdef bint made_of(
    Fault* fault, const void* made, CMPIStatus status, const char* what, const char* name
) noexcept nogil:
    """Whether the CIM server made an object."""
    if not taken(fault, status, what, name):
        return False
    if made is NULL:
        fault.status, fault.what, fault.name = status, what, name
        return False
    return True


cdef bint build(const CMPIBroker* broker, Made* made, const Packed* packed, Fault* fault) noexcept nogil:
    """Fills `made`; `discard` gives back what is built for it. False where there is a fault."""
    made.type = packed.type
    made.pointer = &made.value
    if packed.null:
        made.pointer = NULL
    elif packed.type & CMPI_ARRAY:
        made.value.array = build_array(broker, <const PackedArray*>packed.inner, fault)
        return made.value.array is not NULL
    elif packed.type == CMPI_chars:
        made.pointer = <const CMPIValue*>packed.plain.chars
    elif packed.type == CMPI_dateTime:
        made.value.dateTime = build_datetime(broker, packed.plain.chars, fault)
        return made.value.dateTime is not NULL
    elif packed.type == CMPI_ref:
        made.value.ref = build_path(broker, <const PackedPath*>packed.inner, fault)
        return made.value.ref is not NULL
    elif packed.type == CMPI_instance:
        made.value.inst = build_instance(broker, <const PackedRow*>packed.inner, NULL, fault)
        return made.value.inst is not NULL
    else:
        made.value = packed.plain
    return True


cdef bint discard(const Made* made, Fault* fault) noexcept nogil:
    """Gives an object back once it is copied. In the thread that made it, and only once."""
    if made.pointer is not &made.value:
        return True
    if made.type & CMPI_ARRAY:
        return taken(fault, made.value.array.ft.release(made.value.array), "the release of an array", NULL)
    if made.type == CMPI_dateTime:
        return taken(
            fault, made.value.dateTime.ft.release(made.value.dateTime), "the release of a datetime", NULL
        )
    if made.type == CMPI_ref:
        return taken(fault, made.value.ref.ft.release(made.value.ref), "the release of a path", NULL)
    if made.type == CMPI_instance:
        return taken(fault, made.value.inst.ft.release(made.value.inst), "the release of an instance", NULL)
    return True


cdef CMPIDateTime* build_datetime(const CMPIBroker* broker, const char* text, Fault* fault) noexcept nogil:
    cdef CMPIStatus rc
    cdef CMPIDateTime* made
    rc.rc, rc.msg = 0, NULL
    made = broker.eft.newDateTimeFromChars(broker, text, &rc)
    return made if made_of(fault, made, rc, "the datetime", text) else NULL


cdef CMPIArray* build_array(const CMPIBroker* broker, const PackedArray* packed, Fault* fault) noexcept nogil:
    """An array; elements stay NULL where the value is.

    Elements that are objects are left to the end of the call: OpenPegasus keeps pointers to them.
    """
    cdef CMPIStatus rc
    cdef CMPIArray* array
    cdef CMPICount i
    cdef Made element
    # only like this both OpenPegasus and SFCB take the elements as text
    cdef CMPIType kind = CMPI_chars if packed.element == CMPI_string else packed.element
    rc.rc, rc.msg = 0, NULL
    array = broker.eft.newArray(broker, packed.count, kind, &rc)
    if not made_of(fault, array, rc, "an array", NULL):
        return NULL
    for i in range(packed.count):
        if packed.elements[i].null:
            continue
        if not (
            build(broker, &element, &packed.elements[i], fault)
            and taken(
                fault, array.ft.setElementAt(array, i, element.pointer, element.type), "an array element", NULL
            )
        ):
            return NULL
    return array


cdef CMPIObjectPath* build_path(const CMPIBroker* broker, const PackedPath* packed, Fault* fault) noexcept nogil:
    cdef CMPIStatus rc
    cdef CMPIObjectPath* path
    cdef const Named* key
    cdef Made value
    cdef int i
    rc.rc, rc.msg = 0, NULL
    path = broker.eft.newObjectPath(broker, packed.namespace, packed.classname, &rc)
    if not made_of(fault, path, rc, "a path of", packed.classname):
        return NULL
    for i in range(packed.count):
        key = &packed.keys[i]
        if not (
            build(broker, &value, &key.value, fault)
            and taken(fault, path.ft.addKey(path, key.name, value.pointer, value.type), "key", key.name)
            and discard(&value, fault)
        ):
            return NULL
    return path


cdef CMPIInstance* build_instance(
    const CMPIBroker* broker, const PackedRow* packed, const char** properties, Fault* fault
) noexcept nogil:
    """`properties`: a property list, ending with NULL; or NULL."""
    cdef CMPIStatus rc
    cdef CMPIObjectPath* path = build_path(broker, &packed.path, fault)
    cdef CMPIInstance* made
    cdef const Named* prop
    cdef Made value
    cdef int i
    if path is NULL:
        return NULL
    rc.rc, rc.msg = 0, NULL
    made = broker.eft.newInstance(broker, path, &rc)
    if not (
        made_of(fault, made, rc, "an instance of", packed.path.classname)
        and taken(fault, path.ft.release(path), "the release of a path", NULL)
    ):
        return NULL
    if properties is not NULL and not taken(
        fault, made.ft.setPropertyFilter(made, properties, packed.key_names), "a property list", NULL
    ):
        return NULL
    for i in range(packed.count):
        prop = &packed.properties[i]
        if not (
            build(broker, &value, &prop.value, fault)
            and taken(
                fault, made.ft.setProperty(made, prop.name, value.pointer, value.type), "property", prop.name
            )
            and discard(&value, fault)
        ):
            return NULL
    return made
