# SPDX-License-Identifier: LGPL-2.1-or-later
# cython: language_level=3, boundscheck=False, wraparound=False
"""Between CMPI and the broker: objects of the CIM server in C on one side, plain Python values on the other.

No Python object ever holds a CMPI pointer: whatever the CIM server hands over, or makes for us, belongs to
the thread and the duration of the call. The CIM type of a value is that of the class declaration, since
SFCB sends wrongly typed values as they are and OpenPegasus refuses them. Every status is looked at.

The interpreter lock is kept while objects are built (memory only) and released round batches of
`returnInstance` and `returnObjectPath`, which may block on the client; libvirt's own calls release it by themselves.
"""

# Python takes for its main thread the one that imports this first: it must be the plugin's own.
import threading

from libc.stdint cimport (
    int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)
from libc.stdlib cimport free, malloc
from libc.string cimport strlen, strncpy


cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL


cdef extern from "cmpi.h":
    ctypedef uint16_t CMPIType
    ctypedef uint16_t CMPIValueState
    ctypedef unsigned int CMPICount
    ctypedef unsigned char CMPIBoolean
    ctypedef int CMPIrc
    CMPIType CMPI_null, CMPI_boolean, CMPI_char16, CMPI_real32, CMPI_real64
    CMPIType CMPI_uint8, CMPI_uint16, CMPI_uint32, CMPI_uint64
    CMPIType CMPI_sint8, CMPI_sint16, CMPI_sint32, CMPI_sint64
    CMPIType CMPI_instance, CMPI_ref, CMPI_string, CMPI_chars, CMPI_dateTime, CMPI_ARRAY
    CMPIValueState CMPI_nullValue, CMPI_notFound, CMPI_badValue

    ctypedef struct CMPIString:
        const CMPIStringFT* ft
    ctypedef struct CMPIArray:
        const CMPIArrayFT* ft
    ctypedef struct CMPIDateTime:
        const CMPIDateTimeFT* ft
    ctypedef struct CMPIObjectPath:
        const CMPIObjectPathFT* ft
    ctypedef struct CMPIInstance:
        const CMPIInstanceFT* ft
    ctypedef struct CMPIArgs:
        const CMPIArgsFT* ft
    ctypedef struct CMPIContext:
        const CMPIContextFT* ft
    ctypedef struct CMPIResult:
        const CMPIResultFT* ft
    ctypedef struct CMPIBroker:
        const CMPIBrokerEncFT* eft
    ctypedef struct CMPIStatus:
        CMPIrc rc
        CMPIString* msg
    ctypedef union CMPIValue:
        uint64_t uint64
        uint32_t uint32
        uint16_t uint16
        uint8_t uint8
        int64_t sint64
        int32_t sint32
        int16_t sint16
        int8_t sint8
        double real64
        float real32
        CMPIBoolean boolean
        uint16_t char16
        CMPIInstance* inst
        CMPIObjectPath* ref
        CMPIString* string
        char* chars
        CMPIDateTime* dateTime
        CMPIArray* array
    ctypedef struct CMPIData:
        CMPIType type
        CMPIValueState state
        CMPIValue value

    ctypedef struct CMPIStringFT:
        CMPIStatus (*release)(CMPIString*)
        char* (*getCharPtr)(const CMPIString*, CMPIStatus*)
    ctypedef struct CMPIArrayFT:
        CMPIStatus (*release)(CMPIArray*)
        CMPICount (*getSize)(const CMPIArray*, CMPIStatus*)
        CMPIData (*getElementAt)(const CMPIArray*, CMPICount, CMPIStatus*)
        CMPIStatus (*setElementAt)(CMPIArray*, CMPICount, const CMPIValue*, CMPIType)
    ctypedef struct CMPIDateTimeFT:
        CMPIStatus (*release)(CMPIDateTime*)
        CMPIString* (*getStringFormat)(const CMPIDateTime*, CMPIStatus*)
    ctypedef struct CMPIObjectPathFT:
        CMPIStatus (*release)(CMPIObjectPath*)
        CMPIString* (*getNameSpace)(const CMPIObjectPath*, CMPIStatus*)
        CMPIString* (*getClassName)(const CMPIObjectPath*, CMPIStatus*)
        CMPIStatus (*addKey)(CMPIObjectPath*, const char*, const CMPIValue*, CMPIType)
        CMPIData (*getKeyAt)(const CMPIObjectPath*, CMPICount, CMPIString**, CMPIStatus*)
        CMPICount (*getKeyCount)(const CMPIObjectPath*, CMPIStatus*)
    ctypedef struct CMPIInstanceFT:
        CMPIStatus (*release)(CMPIInstance*)
        CMPIData (*getPropertyAt)(const CMPIInstance*, CMPICount, CMPIString**, CMPIStatus*)
        CMPICount (*getPropertyCount)(const CMPIInstance*, CMPIStatus*)
        CMPIStatus (*setProperty)(CMPIInstance*, const char*, const CMPIValue*, CMPIType)
        CMPIObjectPath* (*getObjectPath)(const CMPIInstance*, CMPIStatus*)
        CMPIStatus (*setPropertyFilter)(CMPIInstance*, const char**, const char**)
    ctypedef struct CMPIArgsFT:
        CMPIStatus (*addArg)(CMPIArgs*, const char*, const CMPIValue*, CMPIType)
        CMPIData (*getArgAt)(const CMPIArgs*, CMPICount, CMPIString**, CMPIStatus*)
        CMPICount (*getArgCount)(const CMPIArgs*, CMPIStatus*)
    ctypedef struct CMPIContextFT:
        CMPIData (*getEntry)(const CMPIContext*, const char*, CMPIStatus*)
    ctypedef struct CMPIResultFT:
        CMPIStatus (*returnData)(const CMPIResult*, const CMPIValue*, CMPIType)
        CMPIStatus (*returnInstance)(const CMPIResult*, const CMPIInstance*) noexcept nogil
        CMPIStatus (*returnObjectPath)(const CMPIResult*, const CMPIObjectPath*) noexcept nogil
        CMPIStatus (*returnDone)(const CMPIResult*)
    ctypedef struct CMPIBrokerEncFT:
        CMPIInstance* (*newInstance)(const CMPIBroker*, const CMPIObjectPath*, CMPIStatus*)
        CMPIObjectPath* (*newObjectPath)(const CMPIBroker*, const char*, const char*, CMPIStatus*)
        CMPIString* (*newString)(const CMPIBroker*, const char*, CMPIStatus*)
        CMPIArray* (*newArray)(const CMPIBroker*, CMPICount, CMPIType, CMPIStatus*)
        CMPIDateTime* (*newDateTimeFromChars)(const CMPIBroker*, const char*, CMPIStatus*)

    ctypedef struct CMPIInstanceMI:
        void* hdl
    ctypedef struct CMPIAssociationMI:
        void* hdl
    ctypedef struct CMPIMethodMI:
        void* hdl


cdef enum:
    BATCH = 48  # instances or paths built under the interpreter lock before it is released to send them

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
        try:
            message = f"{type(error).__name__}: {error}".encode("utf-8", "replace")[: size - 1]
            strncpy(text, <const char*>message, size - 1)
            text[size - 1] = 0
        except BaseException:
            text[0] = 0
        return -1


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
    if loader is not None:
        return 0
    from libvirtcim.cim import errors, objects
    from libvirtcim.cmpi import loader as found

    Given, GivenInstance = objects.Given, objects.GivenInstance
    InstancePath, Instance = objects.InstancePath, objects.Instance
    RequestContext, Failed = objects.RequestContext, errors.Failed
    loader = found
    return 0


cdef object service():
    return loader.service(config_file)


# --- statuses ----------------------------------------------------------------------------------

cdef int check(CMPIStatus status, str what) except -1:
    """Raises Failed where the CIM server refused something."""
    if status.rc != 0:
        raise Failed(f"The CIM server refused {what} (code {status.rc}): {text_of(status.msg) or ''}")
    return 0


cdef int check_made(const void* made, CMPIStatus status, str what) except -1:
    check(status, what)
    if made is NULL:
        raise Failed(f"The CIM server made nothing of {what}")
    return 0


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


# --- what the CIM server hands over --------------------------------------------------------------

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
        check(rc, "a key of a path")
        # OpenPegasus gives a class path all key names, without type and value
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


# --- what the CIM server is given ----------------------------------------------------------------

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
    check_made(made, rc, f"the datetime {value}")
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
    check_made(made, rc, f"a path of {path.classname}")
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
        check(made.ft.addKey(made, sendable(name), key.pointer, key.type), f"key {name}")
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
        check_made(path, rc, f"a path of {plan.cls.name}")
    else:
        path = make_path(broker, row.path, namespace)
    made = broker.eft.newInstance(broker, path, &rc)
    check_made(made, rc, f"an instance of {plan.cls.name}")
    check(path.ft.release(path), "the release of a path")
    if properties is not NULL:
        check(made.ft.setPropertyFilter(made, properties, plan.c_keys), "a property list")
    values = row.values
    selected = row.selected
    for i in range(plan.count):
        name = plan.names[i]
        if selected is not None and name not in selected:
            continue
        item = values.get(name)
        try:
            convert(broker, &value, item, plan.types[i], namespace)
        except (TypeError, ValueError, OverflowError) as error:
            raise Failed(f"{plan.cls.name}.{name}: {error}") from None
        check(made.ft.setProperty(made, plan.c_names[i], value.pointer, value.type), f"property {name}")
        discard(&value)
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


# --- instance operations -------------------------------------------------------------------------

cdef public CMPIStatus libvirtcim_enumerate_instance_names(
    CMPIInstanceMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        where = asked.namespace or ""
        found = service().enumerate_instance_names(context_of(ctx), where, asked.classname)
        send_paths(broker, result, found, where)
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_enumerate_instances(
    CMPIInstanceMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const char** properties
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        where = asked.namespace or ""
        found = service().enumerate_instances(context_of(ctx), where, asked.classname, names_of(properties))
        send_instances(broker, result, found, where, properties)
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_get_instance(
    CMPIInstanceMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const char** properties
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        found = service().broker.get_instance(context_of(ctx), asked, names_of(properties))
        send_instances(broker, result, (found,), asked.namespace or "", properties)
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_create_instance(
    CMPIInstanceMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const CMPIInstance* instance
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        where = asked.namespace or ""
        made = service().broker.create_instance(context_of(ctx), where, instance_of(instance))
        send_paths(broker, result, (made,), where)
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_modify_instance(
    CMPIInstanceMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const CMPIInstance* instance, const char** properties
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        names = names_of(properties)
        listed = None if names is None else {name.lower() for name in names}
        changed = instance_of(instance, listed)
        service().broker.modify_instance(context_of(ctx), path_of(path), changed, names)
        check(result.ft.returnDone(result), "the end of the answer")
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_delete_instance(
    CMPIInstanceMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        service().broker.delete_instance(context_of(ctx), path_of(path))
        check(result.ft.returnDone(result), "the end of the answer")
    except BaseException as error:
        return failure(broker, error)
    return ok()


# --- association operations ----------------------------------------------------------------------

cdef public CMPIStatus libvirtcim_associators(
    CMPIAssociationMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const char* assoc_class, const char* result_class, const char* role, const char* result_role,
    const char** properties
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        found = service().associators(
            context_of(ctx), asked, text_or_none(assoc_class), text_or_none(result_class),
            text_or_none(role), text_or_none(result_role), names_of(properties),
        )
        send_instances(broker, result, found, asked.namespace or "", properties)
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_associator_names(
    CMPIAssociationMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const char* assoc_class, const char* result_class, const char* role, const char* result_role
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        found = service().associator_names(
            context_of(ctx), asked, text_or_none(assoc_class), text_or_none(result_class),
            text_or_none(role), text_or_none(result_role),
        )
        send_paths(broker, result, found, asked.namespace or "")
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_references(
    CMPIAssociationMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const char* result_class, const char* role, const char** properties
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        found = service().references(
            context_of(ctx), asked, text_or_none(result_class), text_or_none(role), names_of(properties)
        )
        send_instances(broker, result, found, asked.namespace or "", properties)
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_reference_names(
    CMPIAssociationMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const char* result_class, const char* role
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        found = service().reference_names(
            context_of(ctx), asked, text_or_none(result_class), text_or_none(role)
        )
        send_paths(broker, result, found, asked.namespace or "")
    except BaseException as error:
        return failure(broker, error)
    return ok()


# --- methods -------------------------------------------------------------------------------------

cdef object arguments_of(const CMPIArgs* args):
    cdef CMPIStatus rc
    cdef CMPIString* name
    cdef CMPIData data
    cdef CMPICount i, size
    found = {}
    if args is NULL:
        return found
    rc.rc, rc.msg = 0, NULL
    size = args.ft.getArgCount(args, &rc)
    check(rc, "the arguments")
    for i in range(size):
        name = NULL
        data = args.ft.getArgAt(args, i, &name, &rc)
        check(rc, "an argument")
        found[text_of(name) or ""] = given_of(&data)
    return found


cdef CMPIType type_of(object declared) except 0:
    cdef CMPIType kind = TYPES[declared.type]
    if getattr(declared, "embedded", None) is not None:
        kind = CMPI_instance
    if getattr(declared, "array", False):
        kind |= CMPI_ARRAY
    return kind


cdef int send_method_result(
    const CMPIBroker* broker, const CMPIResult* result, CMPIArgs* out, object declared, object value,
    dict outputs, str namespace
) except -1:
    cdef Made made
    if declared.type == "reference":
        raise Failed(f"{declared.name}: CIM servers can't take a reference as return value")
    for parameter in declared.parameters:
        if parameter.name not in outputs:
            continue
        try:
            convert(broker, &made, outputs[parameter.name], type_of(parameter), namespace)
        except (TypeError, ValueError, OverflowError) as error:
            raise Failed(f"{declared.name}.{parameter.name}: {error}") from None
        check(
            out.ft.addArg(out, sendable(parameter.name), made.pointer, made.type),
            f"output parameter {parameter.name}",
        )
        discard(&made)
    if value is not None:
        try:
            convert(broker, &made, value, type_of(declared), namespace)
        except (TypeError, ValueError, OverflowError) as error:
            raise Failed(f"{declared.name}: {error}") from None
        check(result.ft.returnData(result, made.pointer, made.type), "the return value")
        discard(&made)
    check(result.ft.returnDone(result), "the end of the answer")
    return 0


cdef public CMPIStatus libvirtcim_invoke_method(
    CMPIMethodMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path,
    const char* method, const CMPIArgs* args, CMPIArgs* out
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        name = text_or_none(method) or ""
        serving = service().broker
        value, outputs = serving.invoke_method(context_of(ctx), asked, name, arguments_of(args))
        declared = serving.schema.get(asked.namespace or "", asked.classname).method(name)
        send_method_result(broker, result, out, declared, value, outputs, asked.namespace or "")
    except BaseException as error:
        return failure(broker, error)
    return ok()
