# SPDX-License-Identifier: LGPL-2.1-or-later
"""The broker's values, packed: copies in plain C that need neither Python nor the CIM server.

They are made under the interpreter lock; the CIM server's objects are built of them without it.
"""

cdef enum:
    ARENA_BLOCK = 32768  # bytes; a longer text has a block of its own
    BLOCK_HEADER = 32  # bytes: a Block, rounded up to what any value is aligned to

cdef struct Block:
    # Memory of an arena, which begins with this
    Block* next
    size_t size
    size_t used

cdef struct Arena:
    # Memory that is given back all at once
    Block* blocks


cdef void* take(Arena* arena, size_t size) except NULL:
    """Memory that lasts until the arena is emptied."""
    cdef Block* block = arena.blocks
    cdef void* found
    size = (size + 15) & ~<size_t>15
    if block is NULL or block.size - block.used < size:
        block = add_block(arena, size)
    found = <char*>block + block.used
    block.used += size
    return found


cdef Block* add_block(Arena* arena, size_t needed) except NULL:
    cdef size_t size = ARENA_BLOCK
    cdef Block* block
    if needed > size - BLOCK_HEADER:
        size = needed + BLOCK_HEADER
    block = <Block*>malloc(size)
    if block is NULL:
        raise MemoryError()
    block.next, block.size, block.used = arena.blocks, size, BLOCK_HEADER
    arena.blocks = block
    return block


cdef void empty(Arena* arena) noexcept nogil:
    """Gives all memory back."""
    cdef Block* block
    while arena.blocks is not NULL:
        block = arena.blocks
        arena.blocks = block.next
        free(block)


# --- packed values -------------------------------------------------------------------------------

cdef struct Packed:
    # `type`: as the class declares it, CMPI_chars for a text, that of the elements | CMPI_ARRAY
    CMPIType type
    bint null
    CMPIValue plain  # of a number, a boolean, a text, a datetime (its text)
    void* inner  # of an array, a path, an embedded instance: what is packed of it

cdef struct Named:
    const char* name
    Packed value

cdef struct PackedArray:
    CMPIType element
    CMPICount count
    Packed* elements

cdef struct PackedPath:
    const char* namespace
    const char* classname
    int count
    Named* keys

cdef struct PackedRow:
    # An instance, or where only names are sent: its path
    PackedPath path
    const char** key_names  # ends with NULL
    int count
    Named* properties


cdef class Plan:
    """Names and types of a class's properties, ready for C; lasts as long as the process."""

    cdef object cls
    cdef tuple names
    cdef list texts
    cdef dict key_types
    cdef dict key_types_lower
    cdef tuple key_names
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
        self.key_names = tuple([p.name for p in cls.keys])
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
    if plan is None:
        plan = plans[cls.name] = Plan(cls)
    return plan


cdef Plan plan_named(str classname, str namespace):
    """The plan of a class that a path names."""
    cdef Plan plan = plans.get(classname)
    if plan is None:
        plan = plan_of(service().broker.schema.get(namespace, classname))
    return plan


# --- packing -------------------------------------------------------------------------------------

cdef const char* sendable(object text, Py_ssize_t* size) except NULL:
    """UTF-8 of a text, as long as the text lives; raises for what XML can't carry."""
    cdef Py_ssize_t i
    cdef const char* chars
    if not isinstance(text, str):
        raise TypeError(f"text expected, not {type(text).__name__}")
    chars = PyUnicode_AsUTF8AndSize(text, size)
    for i in range(size[0]):
        if <unsigned char>chars[i] < 32 and chars[i] not in (9, 10, 13):
            raise ValueError(f"the control character U+{<unsigned char>chars[i]:04X} can't be sent")
    return chars


cdef char* pack_text(Arena* arena, object text) except NULL:
    cdef Py_ssize_t size = 0
    cdef const char* chars = sendable(text, &size)
    cdef char* copy = <char*>take(arena, size + 1)
    memcpy(copy, chars, size + 1)
    return copy


cdef int pack(Arena* arena, Packed* made, object value, CMPIType kind, str namespace) except -1:
    """Fills `made`; raises TypeError, ValueError or OverflowError where the value can't have that type."""
    made.type = kind
    made.null = value is None
    if value is None:
        return 0
    if kind & CMPI_ARRAY:
        made.inner = pack_array(arena, value, kind & ~CMPI_ARRAY, namespace)
        made.type = (<PackedArray*>made.inner).element | CMPI_ARRAY
    elif kind == CMPI_string:
        made.type = CMPI_chars
        made.plain.chars = pack_text(arena, value)
    elif kind == CMPI_boolean:
        if not isinstance(value, bool):
            raise TypeError(f"true or false expected, not {type(value).__name__}")
        made.plain.boolean = 1 if value else 0
    elif kind == CMPI_uint8:
        made.plain.uint8 = value
    elif kind == CMPI_uint16:
        made.plain.uint16 = value
    elif kind == CMPI_uint32:
        made.plain.uint32 = value
    elif kind == CMPI_uint64:
        made.plain.uint64 = value
    elif kind == CMPI_sint8:
        made.plain.sint8 = value
    elif kind == CMPI_sint16:
        made.plain.sint16 = value
    elif kind == CMPI_sint32:
        made.plain.sint32 = value
    elif kind == CMPI_sint64:
        made.plain.sint64 = value
    elif kind == CMPI_real32:
        made.plain.real32 = value
    elif kind == CMPI_real64:
        made.plain.real64 = value
    elif kind == CMPI_char16:
        pack_text(arena, value)
        made.plain.char16 = ord(value)
    elif kind == CMPI_dateTime:
        made.plain.chars = pack_text(arena, value)
    elif kind == CMPI_ref:
        made.inner = take(arena, sizeof(PackedPath))
        pack_path(arena, <PackedPath*>made.inner, value, namespace)
    elif kind == CMPI_instance:
        if isinstance(value, str):
            made.type = CMPI_chars
            made.plain.chars = pack_text(arena, value)
        else:
            made.inner = take(arena, sizeof(PackedRow))
            pack_row(arena, <PackedRow*>made.inner, value, namespace, True)
    else:
        raise TypeError(f"no value can have the type {kind:#x}")
    return 0


cdef PackedArray* pack_array(Arena* arena, object values, CMPIType element, str namespace) except NULL:
    cdef PackedArray* made
    cdef CMPICount i
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"a list expected, not {type(values).__name__}")
    if element == CMPI_instance and any(isinstance(value, str) for value in values):
        element = CMPI_string
    made = <PackedArray*>take(arena, sizeof(PackedArray))
    made.element = element
    made.count = <CMPICount>len(values)
    made.elements = <Packed*>take(arena, made.count * sizeof(Packed))
    for i in range(made.count):
        pack(arena, &made.elements[i], values[i], element, namespace)
    return made


cdef int pack_path(Arena* arena, PackedPath* made, object path, str namespace) except -1:
    cdef Plan plan
    cdef tuple keys
    cdef int i
    if not isinstance(path, InstancePath):
        raise TypeError(f"a path expected, not {type(path).__name__}")
    where = path.namespace or namespace
    plan = plan_named(path.classname, where)
    made.namespace = pack_text(arena, where)
    made.classname = <const char*>plan.classname
    keys = path.keys
    made.count = <int>len(keys)
    made.keys = <Named*>take(arena, made.count * sizeof(Named))
    for i, (name, value) in enumerate(keys):
        if value is None:
            raise Failed(f"{path.classname}.{name}: a key has no value")
        kind = plan.key_types.get(name)
        if kind is None:  # a path that a client gave, handed back: its names may be in any case
            kind = plan.key_types_lower.get(name.lower())
        if kind is None:
            raise Failed(f"{plan.cls.name} has no key {name}")
        made.keys[i].name = pack_text(arena, name)
        try:
            pack(arena, &made.keys[i].value, value, kind, where)
        except (TypeError, ValueError, OverflowError) as error:
            raise Failed(f"{path.classname}.{name}: {error}") from None
    return 0


cdef int pack_row(Arena* arena, PackedRow* made, object row, str namespace, bint embedded) except -1:
    """An instance with all its properties, NULL ones too: CIM servers preset the class's defaults."""
    cdef Plan plan
    cdef dict values
    cdef int i
    cdef Named* next
    if not isinstance(row, Instance):
        raise TypeError(f"an instance expected, not {type(row).__name__}")
    plan = plan_of(row.cls)
    if row.path is None or embedded:
        made.path.namespace = pack_text(arena, namespace)
        made.path.classname = <const char*>plan.classname
        made.path.count = 0
    else:
        pack_path(arena, &made.path, row.path, namespace)
    made.key_names = plan.c_keys
    made.properties = next = <Named*>take(arena, plan.count * sizeof(Named))
    values = row.values
    selected = row.selected
    name = None
    try:
        for i in range(plan.count):
            name = plan.names[i]
            if selected is not None and name not in selected:
                continue
            next.name = plan.c_names[i]
            pack(arena, &next.value, values.get(name), plan.types[i], namespace)
            next += 1
    except (TypeError, ValueError, OverflowError) as error:
        raise Failed(f"{plan.cls.name}.{name}: {error}") from None
    made.count = <int>(next - made.properties)
    return 0


cdef class Columns:
    """How items of one layout become packed instances, without a Python object for each."""

    cdef Plan plan
    cdef list computed  # for each property that is sent: a function of the item, or None
    cdef list otherwise  # what stands where that gives None
    cdef list values  # of the item at hand
    cdef list keys  # a function of the item for each key
    cdef int count
    cdef int* places  # of the properties that are sent, in the plan

    def __cinit__(self, object layout, object wanted):
        cdef int i, next = 0
        table = layout.table(wanted)
        self.plan = plan_of(layout.cls)
        self.computed = [compute for compute, _value in table]
        self.otherwise = [value for _compute, value in table]
        self.values = list(self.otherwise)
        self.keys = [compute for _name, compute in layout.keys]
        self.count = len(table)
        self.places = <int*>malloc((self.count + 1) * sizeof(int))
        if self.places is NULL:
            raise MemoryError()
        for i in range(self.plan.count):
            if wanted is None or self.plan.names[i] in wanted:
                self.places[next] = i
                next += 1

    def __dealloc__(self):
        free(self.places)


cdef int pack_item(Arena* arena, PackedRow* made, object item, Columns columns, str namespace) except -1:
    """The instance of an item, as `pack_row` packs it."""
    cdef Plan plan = columns.plan
    cdef list values = columns.values
    cdef Named* next
    cdef int i
    for i in range(columns.count):
        compute = columns.computed[i]
        if compute is not None:
            value = compute(item)
            values[i] = columns.otherwise[i] if value is None else value
    pack_keys(arena, &made.path, item, columns, namespace)
    made.key_names = plan.c_keys
    made.count = columns.count
    made.properties = next = <Named*>take(arena, columns.count * sizeof(Named))
    try:
        for i in range(columns.count):
            next.name = plan.c_names[columns.places[i]]
            pack(arena, &next.value, values[i], plan.types[columns.places[i]], namespace)
            next += 1
    except (TypeError, ValueError, OverflowError) as error:
        raise Failed(f"{plan.cls.name}.{plan.names[columns.places[i]]}: {error}") from None
    return 0


cdef int pack_keys(Arena* arena, PackedPath* made, object item, Columns columns, str namespace) except -1:
    cdef Plan plan = columns.plan
    cdef int i
    made.namespace = pack_text(arena, namespace)
    made.classname = <const char*>plan.classname
    made.count = <int>len(columns.keys)
    made.keys = <Named*>take(arena, made.count * sizeof(Named))
    for i in range(made.count):
        name = plan.key_names[i]
        value = columns.keys[i](item)
        if value is None:
            raise Failed(f"{plan.cls.name}.{name}: a key has no value")
        made.keys[i].name = plan.c_keys[i]
        try:
            pack(arena, &made.keys[i].value, value, plan.key_types[name], namespace)
        except (TypeError, ValueError, OverflowError) as error:
            raise Failed(f"{plan.cls.name}.{name}: {error}") from None
    return 0
