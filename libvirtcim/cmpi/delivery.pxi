# SPDX-License-Identifier: LGPL-2.1-or-later
"""Indications: a thread for each CIM server's broker takes them out of its queue and delivers them.

Delivering may block for seconds (SFCB), so nothing but this thread waits for it, and without the
interpreter lock. What CIM servers allocate while they deliver is freed only when the thread ends:
after `TERM` deliveries a successor takes over.
"""

cdef enum:
    TERM = 2000  # deliveries of one thread; SFCB leaves 0.7 kB of each in it

cdef struct Outlet:
    # One broker that has an indication MI, or several: SFCB makes one for each class
    long number
    const CMPIBroker* broker
    CMPIContext* context  # prepared for the thread that is about to start
    int users
    Outlet* next

cdef Outlet* outlets = NULL
cdef long last_number = 0
cdef dict subscribed = {}  # an outlet's number → its Subscriptions
cdef dict threads = {}  # an outlet's number → its delivery thread


cdef Outlet* outlet_of(const CMPIBroker* broker) noexcept:
    cdef Outlet* outlet = outlets
    while outlet is not NULL and outlet.broker is not broker:
        outlet = outlet.next
    return outlet


cdef public int libvirtcim_outlet_open(const CMPIBroker* broker, char* text, size_t size) noexcept with gil:
    """Counts one more indication MI of a broker. 0, or -1 with the reason in `text`."""
    global outlets, last_number
    cdef Outlet* outlet = outlet_of(broker)
    try:
        if outlet is NULL:
            made = service().subscriptions()
            outlet = <Outlet*>malloc(sizeof(Outlet))
            if outlet is NULL:
                raise MemoryError()
            last_number += 1
            outlet.number, outlet.broker, outlet.context, outlet.users = last_number, broker, NULL, 0
            outlet.next, outlets = outlets, outlet
            subscribed[outlet.number] = made
        outlet.users += 1
        return 0
    except BaseException as error:
        tell(error, text, size)
        return -1


cdef public void libvirtcim_outlet_close(const CMPIBroker* broker) noexcept with gil:
    """Counts one indication MI less; the last one of a broker ends its subscriptions and its thread."""
    cdef Outlet* outlet = outlet_of(broker)
    if outlet is NULL:
        return
    outlet.users -= 1
    if outlet.users > 0:
        return
    try:
        unlink(outlet)
        subscribed.pop(outlet.number).close()
        if loader.ended(threads, outlet.number):
            free(outlet)
    except BaseException as error:
        log_only(error)


cdef void unlink(Outlet* gone) noexcept:
    global outlets
    cdef Outlet** place = &outlets
    while place[0] is not NULL and place[0] is not gone:
        place = &place[0].next
    if place[0] is gone:
        place[0] = gone.next


# --- the thread ----------------------------------------------------------------------------------

cdef int need_thread(Outlet* outlet, const CMPIContext* ctx) except -1:
    """Sees to it that a thread delivers; `ctx`: of the call, from which the thread's context is made."""
    if outlet.number in threads:
        return 0
    outlet.context = outlet.broker.bft.prepareAttachThread(outlet.broker, ctx)
    if outlet.context is NULL:
        raise Failed("The CIM server has no context for a thread that delivers indications")
    start_thread(outlet, subscribed[outlet.number].queue)
    return 0


cdef int start_thread(Outlet* outlet, object queue) except -1:
    thread = threading.Thread(
        target=deliver_for_a_term, args=(<size_t>outlet, queue), daemon=True,
        name=f"libvirtcim-indications-{outlet.number}",
    )
    threads[outlet.number] = thread
    thread.start()
    return 0


def deliver_for_a_term(size_t address, object queue):
    """Attaches this thread to the CIM server, delivers, detaches; then starts its successor."""
    cdef Outlet* outlet = <Outlet*>address
    cdef const CMPIBroker* broker = outlet.broker
    cdef CMPIContext* context = outlet.context
    cdef CMPIContext* following = NULL
    try:
        check(broker.bft.attachThread(broker, context), "a thread that delivers indications")
        try:
            if deliver_some(broker, context, queue):
                following = broker.bft.prepareAttachThread(broker, context)
        finally:
            check(broker.bft.detachThread(broker, context), "the end of a thread")
    except BaseException as error:
        log_only(error)
    if following is NULL:
        threads.pop(outlet.number, None)
        return
    outlet.context = following
    start_thread(outlet, queue)


cdef bint deliver_some(const CMPIBroker* broker, const CMPIContext* context, object queue) except -1:
    """Delivers until the term is over (true) or the queue is closed (false)."""
    for _ in range(TERM):
        indication = queue.take()
        if indication is None:
            return False
        try:
            deliver(broker, context, indication)
        except Exception as error:
            log_only(error)
    return True


cdef int deliver(const CMPIBroker* broker, const CMPIContext* context, object indication) except -1:
    cdef Arena arena
    cdef PackedRow row
    arena.blocks = NULL
    try:
        pack_row(&arena, &row, indication.instance, indication.namespace, False)
        deliver_packed(broker, context, pack_text(&arena, indication.namespace), &row, indication)
    finally:
        empty(&arena)
    return 0


cdef int deliver_packed(
    const CMPIBroker* broker, const CMPIContext* context, const char* namespace, const PackedRow* row,
    object indication,
) except -1:
    cdef Fault fault
    cdef CMPIStatus status
    cdef CMPIInstance* made
    fault.what = NULL
    with nogil:
        made = build_instance(broker, row, NULL, &fault)
        if made is not NULL:
            status = broker.bft.deliverIndication(broker, context, namespace, made)
    raise_fault(&fault)
    refusal = text_of(status.msg) if status.rc != 0 else None
    check(made.ft.release(made), "the release of an indication")
    if status.rc != 0:
        loader.undelivered(indication, status.rc, refusal)
    return 0


# --- the MI ---------------------------------------------------------------------------------------

cdef object filter_of(const CMPISelectExp* filter):
    """The text of a filter's query; "" where the CIM server hands over none."""
    cdef CMPIStatus rc
    if filter is NULL or filter.ft is NULL:
        return ""
    rc.rc, rc.msg = 0, NULL
    return text_of(filter.ft.getString(filter, &rc)) or ""


cdef public CMPIStatus libvirtcim_activate_filter(
    CMPIIndicationMI* mi, const CMPIContext* ctx, const CMPISelectExp* filter, const char* classname,
    const CMPIObjectPath* path, CMPIBoolean first
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    cdef Outlet* outlet = outlet_of(broker)
    try:
        asked = path_of(path)
        need_thread(outlet, ctx)
        subscribed[outlet.number].activate(filter_of(filter), asked.namespace or "", asked.classname)
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_deactivate_filter(
    CMPIIndicationMI* mi, const CMPIContext* ctx, const CMPISelectExp* filter, const char* classname,
    const CMPIObjectPath* path, CMPIBoolean last
) noexcept with gil:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        asked = path_of(path)
        subscribed[outlet_of(broker).number].deactivate(
            filter_of(filter), asked.namespace or "", asked.classname
        )
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef CMPIStatus set_enabled(CMPIIndicationMI* mi, bint enabled) noexcept:
    cdef const CMPIBroker* broker = <const CMPIBroker*>mi.hdl
    try:
        subscribed[outlet_of(broker).number].enable(bool(enabled))
    except BaseException as error:
        return failure(broker, error)
    return ok()


cdef public CMPIStatus libvirtcim_enable_indications(CMPIIndicationMI* mi, const CMPIContext* ctx) noexcept with gil:
    return set_enabled(mi, True)


cdef public CMPIStatus libvirtcim_disable_indications(CMPIIndicationMI* mi, const CMPIContext* ctx) noexcept with gil:
    return set_enabled(mi, False)
