# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the CIM server hands over, as the broker takes it."""

cdef object text_of(const CMPIString* string):
    cdef CMPIStatus rc
    cdef const char* chars
    if string is NULL:
        return None
    rc.rc, rc.msg = 0, NULL
    chars = string.ft.getCharPtr(string, &rc)
    if rc.rc != 0 or chars is NULL:
        return None
    return chars.decode("utf-8", "replace")


cdef object text_or_none(const char* chars):
    return None if chars is NULL else chars.decode("utf-8", "replace")


cdef object names_of(const char** names):
    """A property list: None for all, an empty tuple for keys only."""
    cdef size_t i = 0
    if names is NULL:
        return None
    found = []
    while names[i] is not NULL:
        found.append(names[i].decode("utf-8", "replace"))
        i += 1
    return tuple(found)


cdef object context_of(const CMPIContext* ctx):
    cdef CMPIStatus rc
    cdef CMPIData data
    rc.rc, rc.msg = 0, NULL
    user = None
    if ctx is not NULL:
        data = ctx.ft.getEntry(ctx, "CMPIPrincipal", &rc)
        if rc.rc == 0 and not missing(&data) and data.type in (CMPI_string, CMPI_chars):
            user = value_of(&data) or None
    return RequestContext(user, None)


cdef bint missing(const CMPIData* data) noexcept:
    return (
        data.type == CMPI_null
        or (data.state & (CMPI_nullValue | CMPI_notFound | CMPI_badValue)) != 0
    )


cdef object value_of(const CMPIData* data):
    """The Python value of a datum that is not missing."""
    cdef CMPIType kind = data.type
    if kind & CMPI_ARRAY:
        return array_of(data.value.array)
    if kind == CMPI_boolean:
        return bool(data.value.boolean)
    if kind == CMPI_uint8:
        return data.value.uint8
    if kind == CMPI_uint16:
        return data.value.uint16
    if kind == CMPI_uint32:
        return data.value.uint32
    if kind == CMPI_uint64:
        return data.value.uint64
    if kind == CMPI_sint8:
        return data.value.sint8
    if kind == CMPI_sint16:
        return data.value.sint16
    if kind == CMPI_sint32:
        return data.value.sint32
    if kind == CMPI_sint64:
        return data.value.sint64
    if kind == CMPI_real32:
        return data.value.real32
    if kind == CMPI_real64:
        return data.value.real64
    if kind == CMPI_char16:
        return chr(data.value.char16)
    if kind == CMPI_string:
        return text_of(data.value.string)
    if kind == CMPI_chars:
        return text_or_none(data.value.chars)
    if kind == CMPI_dateTime:
        return datetime_of(data.value.dateTime)
    if kind == CMPI_ref:
        return path_of(data.value.ref)
    if kind == CMPI_instance:
        return instance_of(data.value.inst)
    raise Failed(f"The CIM server handed over a value of unknown type {kind:#x}")


cdef object datetime_of(const CMPIDateTime* datetime):
    cdef CMPIStatus rc
    cdef CMPIString* string
    if datetime is NULL:
        return None
    rc.rc, rc.msg = 0, NULL
    string = datetime.ft.getStringFormat(datetime, &rc)
    check(rc, "a datetime")
    return text_of(string)


cdef object array_of(const CMPIArray* array):
    cdef CMPIStatus rc
    cdef CMPIData data
    cdef CMPICount i, size
    if array is NULL:
        return None
    rc.rc, rc.msg = 0, NULL
    size = array.ft.getSize(array, &rc)
    check(rc, "an array")
    found = []
    for i in range(size):
        data = array.ft.getElementAt(array, i, &rc)
        check(rc, "an array element")
        found.append(None if missing(&data) else value_of(&data))
    return found


cdef object given_of(const CMPIData* data):
    """A datum as the broker takes it: with the type that the client stated."""
    kind = NAMES.get(data.type & ~CMPI_ARRAY)
    return Given(None if missing(data) else value_of(data), kind)


cdef object path_of(const CMPIObjectPath* path):
    cdef CMPIStatus rc
    cdef CMPIString* name
    cdef CMPIData data
    cdef CMPICount i, size
    if path is NULL:
        raise Failed("The CIM server handed over no object path")
    rc.rc, rc.msg = 0, NULL
    namespace = text_of(path.ft.getNameSpace(path, &rc)) or None
    rc.rc = 0
    classname = text_of(path.ft.getClassName(path, &rc)) or ""
    check(rc, "a class name")
    size = path.ft.getKeyCount(path, &rc)
    check(rc, "the keys of a path")
    keys = []
    for i in range(size):
        name = NULL
        data = path.ft.getKeyAt(path, i, &name, &rc)
        # OpenPegasus gives a class path all key names without values, and says that it has none such
        if rc.rc == CMPI_RC_ERR_NO_SUCH_PROPERTY:
            rc.rc = 0
            continue
        check(rc, "a key of a path")
        if not missing(&data):
            keys.append((text_of(name) or "", value_of(&data)))
    return InstancePath(classname, tuple(keys), namespace)


cdef object instance_of(const CMPIInstance* instance, object listed=None):
    """An instance as the broker takes it.

    CIM servers fill up what a client sends with all properties of the class, so a NULL says nothing
    unless the property is `listed` (in lower case).
    """
    cdef CMPIStatus rc
    cdef CMPIString* name
    cdef CMPIData data
    cdef CMPICount i, size
    if instance is NULL:
        raise Failed("The CIM server handed over no instance")
    rc.rc, rc.msg = 0, NULL
    classname = path_of(instance.ft.getObjectPath(instance, &rc)).classname
    check(rc, "the path of an instance")
    size = instance.ft.getPropertyCount(instance, &rc)
    check(rc, "the properties of an instance")
    values = {}
    for i in range(size):
        name = NULL
        data = instance.ft.getPropertyAt(instance, i, &name, &rc)
        check(rc, "a property of an instance")
        shown = text_of(name) or ""
        if missing(&data):
            if listed is not None and shown.lower() in listed:
                values[shown] = Given(None)
        else:
            values[shown] = given_of(&data)
    return GivenInstance(classname, values)
