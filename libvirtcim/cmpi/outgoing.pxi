# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the CIM server is given, out of the broker's values."""

cdef class Plan:
    """Names and types of a class's properties, ready for C. Holds text only."""

    cdef object cls
    cdef tuple names
    cdef list texts
    cdef dict key_types
    cdef dict key_types_lower
    cdef tuple key_texts
    cdef int count
    cdef bytes classname
    cdef const char** c_names
    cdef CMPIType* types
    cdef const char** c_keys

    def __cinit__(self, object cls):
        cdef int i
        self.cls = cls
        self.classname = cls.name.encode()
        self.names = tuple([p.name for p in cls.properties])
        self.texts = [p.name.encode() for p in cls.properties]
        self.key_types = {p.name: TYPES[p.type] for p in cls.keys}
        self.key_types_lower = {name.lower(): kind for name, kind in self.key_types.items()}
        self.key_texts = tuple([p.name.encode() for p in cls.keys])
        self.count = len(self.names)
        self.c_names = <const char**>malloc((self.count + 1) * sizeof(char*))
        self.types = <CMPIType*>malloc((self.count + 1) * sizeof(CMPIType))
        self.c_keys = <const char**>malloc((len(self.key_texts) + 1) * sizeof(char*))
        if self.c_names is NULL or self.types is NULL or self.c_keys is NULL:
            raise MemoryError()
        for i, prop in enumerate(cls.properties):
            self.c_names[i] = <const char*>(<bytes>self.texts[i])
            self.types[i] = TYPES[prop.type]
            if prop.embedded is not None:
                self.types[i] = CMPI_instance
            if prop.array:
                self.types[i] |= CMPI_ARRAY
        for i in range(len(self.key_texts)):
            self.c_keys[i] = <const char*>(<bytes>self.key_texts[i])
        self.c_keys[len(self.key_texts)] = NULL

    def __dealloc__(self):
        free(self.c_names)
        free(self.types)
        free(self.c_keys)


cdef Plan plan_of(object cls):
    cdef Plan plan = plans.get(cls.name)
    if plan is None or plan.cls is not cls:
        plan = plans[cls.name] = Plan(cls)
    return plan


cdef Plan plan_named(str classname, str namespace):
    """The plan of a class that a path names."""
    cdef Plan plan = plans.get(classname)
    if plan is None:
        plan = plan_of(service().broker.schema.get(namespace, classname))
    return plan


cdef struct Made:
    # A value as setProperty, addKey, addArg, setElementAt and returnData take it
    CMPIValue value
    const CMPIValue* pointer  # to `value`, or the text itself for CMPI_chars, or NULL
    CMPIType type


cdef const char* sendable(object text) except NULL:
    """UTF-8 of a text, as long as the text lives; raises for what XML can't carry."""
    cdef Py_ssize_t size = 0, i
    cdef const char* chars
    if not isinstance(text, str):
        raise TypeError(f"text expected, not {type(text).__name__}")
    chars = PyUnicode_AsUTF8AndSize(text, &size)
    for i in range(size):
        if <unsigned char>chars[i] < 32 and chars[i] not in (9, 10, 13):
            raise ValueError(f"the control character U+{<unsigned char>chars[i]:04X} can't be sent")
    return chars


cdef int convert(const CMPIBroker* broker, Made* made, object value, CMPIType kind, str namespace) except -1:
    """Fills `made`; objects that it creates are the call's, and `discard` gives them back early."""
    made.type = kind
    made.pointer = &made.value
    if value is None:
        made.pointer = NULL
        if kind == CMPI_chars:
            made.type = CMPI_string
    elif kind & CMPI_ARRAY:
        made.value.array = make_array(broker, value, kind & ~CMPI_ARRAY, namespace, &made.type)
    elif kind == CMPI_string or kind == CMPI_chars:
        made.type = CMPI_chars
        made.pointer = <const CMPIValue*>sendable(value)
    elif kind == CMPI_boolean:
        if not isinstance(value, bool):
            raise TypeError(f"true or false expected, not {type(value).__name__}")
        made.value.boolean = 1 if value else 0
    elif kind == CMPI_uint8:
        made.value.uint8 = value
    elif kind == CMPI_uint16:
        made.value.uint16 = value
    elif kind == CMPI_uint32:
        made.value.uint32 = value
    elif kind == CMPI_uint64:
        made.value.uint64 = value
    elif kind == CMPI_sint8:
        made.value.sint8 = value
    elif kind == CMPI_sint16:
        made.value.sint16 = value
    elif kind == CMPI_sint32:
        made.value.sint32 = value
    elif kind == CMPI_sint64:
        made.value.sint64 = value
    elif kind == CMPI_real32:
        made.value.real32 = value
    elif kind == CMPI_real64:
        made.value.real64 = value
    elif kind == CMPI_char16:
        sendable(value)
        made.value.char16 = ord(value)
    elif kind == CMPI_dateTime:
        made.value.dateTime = make_datetime(broker, value)
    elif kind == CMPI_ref:
        made.value.ref = make_path(broker, value, namespace)
    elif kind == CMPI_instance:
        if isinstance(value, str):
            made.type = CMPI_chars
            made.pointer = <const CMPIValue*>sendable(value)
        else:
            made.value.inst = make_instance(broker, value, namespace, NULL, True)
    else:
        raise TypeError(f"no value can have the type {kind:#x}")
    return 0


cdef int discard(Made* made) except -1:
    """Gives an object back once it is copied. In the thread that made it, and only once."""
    if made.pointer is not &made.value:
        return 0
    if made.type & CMPI_ARRAY:
        check(made.value.array.ft.release(made.value.array), "the release of an array")
    elif made.type == CMPI_dateTime:
        check(made.value.dateTime.ft.release(made.value.dateTime), "the release of a datetime")
    elif made.type == CMPI_ref:
        check(made.value.ref.ft.release(made.value.ref), "the release of a path")
    elif made.type == CMPI_instance:
        check(made.value.inst.ft.release(made.value.inst), "the release of an instance")
    return 0


cdef CMPIDateTime* make_datetime(const CMPIBroker* broker, object value) except NULL:
    cdef CMPIStatus rc
    cdef CMPIDateTime* made
    rc.rc, rc.msg = 0, NULL
    made = broker.eft.newDateTimeFromChars(broker, sendable(value), &rc)
    check_made(made, rc, "the datetime", value)
    return made


cdef CMPIArray* make_array(
    const CMPIBroker* broker, object values, CMPIType element, str namespace, CMPIType* kind
) except NULL:
    """An array; elements stay NULL where the value is. `kind`: the type under which it is handed over.

    Elements that are objects are left to the end of the call: OpenPegasus keeps pointers to them.
    """
    cdef CMPIStatus rc
    cdef CMPIArray* array
    cdef CMPICount i
    cdef Made made
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"a list expected, not {type(values).__name__}")
    if element == CMPI_instance and any(isinstance(value, str) for value in values):
        element = CMPI_string
    kind[0] = element | CMPI_ARRAY
    rc.rc, rc.msg = 0, NULL
    # only like this both OpenPegasus and SFCB take the elements as text
    array = broker.eft.newArray(broker, len(values), CMPI_chars if element == CMPI_string else element, &rc)
    check_made(array, rc, "an array")
    for i in range(<CMPICount>len(values)):
        value = values[i]
        if value is None:
            continue
        convert(broker, &made, value, element, namespace)
        check(array.ft.setElementAt(array, i, made.pointer, made.type), "an array element")
    return array


cdef CMPIObjectPath* make_path(const CMPIBroker* broker, object path, str namespace) except NULL:
    cdef CMPIStatus rc
    cdef CMPIObjectPath* made
    cdef Plan plan
    cdef Made key
    if not isinstance(path, InstancePath):
        raise TypeError(f"a path expected, not {type(path).__name__}")
    where = path.namespace or namespace
    plan = plan_named(path.classname, where)
    rc.rc, rc.msg = 0, NULL
    made = broker.eft.newObjectPath(broker, sendable(where), <const char*>plan.classname, &rc)
    check_made(made, rc, "a path of", path.classname)
    for name, value in path.keys:
        if value is None:
            raise Failed(f"{path.classname}.{name}: a key has no value")
        kind = plan.key_types.get(name)
        if kind is None:  # a path that a client gave, handed back: its names may be in any case
            kind = plan.key_types_lower.get(name.lower())
        if kind is None:
            raise Failed(f"{plan.cls.name} has no key {name}")
        try:
            convert(broker, &key, value, kind, where)
        except (TypeError, ValueError, OverflowError) as error:
            raise Failed(f"{path.classname}.{name}: {error}") from None
        check(made.ft.addKey(made, sendable(name), key.pointer, key.type), "key", name)
        discard(&key)
    return made


cdef CMPIInstance* make_instance(
    const CMPIBroker* broker, object row, str namespace, const char** properties, bint embedded
) except NULL:
    """An instance with all its properties, NULL ones too: CIM servers preset the class's defaults."""
    cdef CMPIStatus rc
    cdef CMPIObjectPath* path
    cdef CMPIInstance* made
    cdef Plan plan
    cdef Made value
    cdef dict values
    cdef int i
    if not isinstance(row, Instance):
        raise TypeError(f"an instance expected, not {type(row).__name__}")
    plan = plan_of(row.cls)
    rc.rc, rc.msg = 0, NULL
    if row.path is None or embedded:
        path = broker.eft.newObjectPath(broker, sendable(namespace), <const char*>plan.classname, &rc)
        check_made(path, rc, "a path of", plan.cls.name)
    else:
        path = make_path(broker, row.path, namespace)
    made = broker.eft.newInstance(broker, path, &rc)
    check_made(made, rc, "an instance of", plan.cls.name)
    check(path.ft.release(path), "the release of a path")
    if properties is not NULL:
        check(made.ft.setPropertyFilter(made, properties, plan.c_keys), "a property list")
    values = row.values
    selected = row.selected
    name = None
    try:
        for i in range(plan.count):
            name = plan.names[i]
            if selected is not None and name not in selected:
                continue
            convert(broker, &value, values.get(name), plan.types[i], namespace)
            check(
                made.ft.setProperty(made, plan.c_names[i], value.pointer, value.type), "property", name
            )
            discard(&value)
    except (TypeError, ValueError, OverflowError) as error:
        raise Failed(f"{plan.cls.name}.{name}: {error}") from None
    return made


cdef int send_batch(const CMPIResult* result, CMPIInstance** batch, int count) except -1:
    cdef CMPIStatus status
    cdef int i
    status.rc, status.msg = 0, NULL
    with nogil:
        for i in range(count):
            status = result.ft.returnInstance(result, batch[i])
            if status.rc != 0:
                break
    check(status, "an instance")
    for i in range(count):
        check(batch[i].ft.release(batch[i]), "the release of an instance")
    return 0


cdef int send_instances(
    const CMPIBroker* broker, const CMPIResult* result, object rows, str namespace, const char** properties
) except -1:
    cdef CMPIInstance* batch[BATCH]
    cdef int count = 0
    for row in rows:
        batch[count] = make_instance(broker, row, namespace, properties, False)
        count += 1
        if count == BATCH:
            send_batch(result, batch, count)
            count = 0
    send_batch(result, batch, count)
    check(result.ft.returnDone(result), "the end of the answer")
    return 0


cdef int send_path_batch(const CMPIResult* result, CMPIObjectPath** batch, int count) except -1:
    cdef CMPIStatus status
    cdef int i
    status.rc, status.msg = 0, NULL
    with nogil:
        for i in range(count):
            status = result.ft.returnObjectPath(result, batch[i])
            if status.rc != 0:
                break
    check(status, "a path")
    for i in range(count):
        check(batch[i].ft.release(batch[i]), "the release of a path")
    return 0


cdef int send_paths(const CMPIBroker* broker, const CMPIResult* result, object paths, str namespace) except -1:
    cdef CMPIObjectPath* batch[BATCH]
    cdef int count = 0
    for path in paths:
        batch[count] = make_path(broker, path, namespace)
        count += 1
        if count == BATCH:
            send_path_batch(result, batch, count)
            count = 0
    send_path_batch(result, batch, count)
    check(result.ft.returnDone(result), "the end of the answer")
    return 0
