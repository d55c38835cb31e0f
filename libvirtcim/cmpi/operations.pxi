# SPDX-License-Identifier: LGPL-2.1-or-later
"""The operations: instance, association and method MI."""

# --- instance operations -------------------------------------------------------------------------

cdef public CMPIStatus libvirtcim_enumerate_instance_names(
    CMPIInstanceMI* mi, const CMPIContext* ctx, const CMPIResult* result, const CMPIObjectPath* path
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        where = asked.namespace or ""
        found = service().broker.paths_of(context_of(ctx), where, asked.classname)
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
        found = service().broker.instances_of(
            context_of(ctx), where, asked.classname, names_of(properties)
        )
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
        send_made(broker, result, made, where)
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
    cdef Arena arena
    if declared.type == "reference":
        raise Failed(f"{declared.name}: CIM servers can't take a reference as return value")
    arena.blocks = NULL
    try:
        for parameter in declared.parameters:
            if parameter.name in outputs:
                send_output(broker, out, &arena, declared.name, parameter, outputs[parameter.name], namespace)
        if value is not None:
            send_return_value(broker, result, &arena, declared, value, namespace)
    finally:
        empty(&arena)
    return check(result.ft.returnDone(result), "the end of the answer")


cdef int send_output(
    const CMPIBroker* broker, CMPIArgs* out, Arena* arena, str method, object parameter, object value,
    str namespace
) except -1:
    cdef Packed packed
    cdef Made made
    cdef Fault fault
    cdef const char* name = pack_text(arena, parameter.name)
    fault.what = NULL
    pack_declared(arena, &packed, value, parameter, f"{method}.{parameter.name}", namespace)
    if build(broker, &made, &packed, &fault) and taken(
        &fault, out.ft.addArg(out, name, made.pointer, made.type), "output parameter", name
    ):
        discard(&made, &fault)
    return raise_fault(&fault)


cdef int send_return_value(
    const CMPIBroker* broker, const CMPIResult* result, Arena* arena, object declared, object value,
    str namespace
) except -1:
    cdef Packed packed
    cdef Made made
    cdef Fault fault
    fault.what = NULL
    pack_declared(arena, &packed, value, declared, declared.name, namespace)
    if build(broker, &made, &packed, &fault) and taken(
        &fault, result.ft.returnData(result, made.pointer, made.type), "the return value", NULL
    ):
        discard(&made, &fault)
    return raise_fault(&fault)


cdef int pack_declared(
    Arena* arena, Packed* packed, object value, object declared, str where, str namespace
) except -1:
    """Packs a value in its declared type; an error names `where` it belongs."""
    try:
        pack(arena, packed, value, type_of(declared), namespace)
    except (TypeError, ValueError, OverflowError) as error:
        raise Failed(f"{where}: {error}") from None
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
