# SPDX-License-Identifier: LGPL-2.1-or-later
"""Answers on their way: a thread packs what comes out of the broker while the call's own thread builds and sends.

CIM servers take their objects in the call's thread only, and take most of the time; Python would wait for
them. An answer of one batch is sent without another thread.
"""

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_t:
        pass
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t* thread, const void* attributes, void* (*run)(void*) noexcept, void* given)
    int pthread_join(pthread_t thread, void** result)
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)
    int pthread_cond_init(pthread_cond_t* cond, const void* attributes)
    int pthread_cond_destroy(pthread_cond_t* cond)
    int pthread_cond_signal(pthread_cond_t* cond)
    int pthread_cond_wait(pthread_cond_t* cond, pthread_mutex_t* mutex)


cdef enum:
    BATCH = 48  # instances or paths that are handed from thread to thread at once
    DEPTH = 4  # batches that wait to be sent, at most

cdef struct Batch:
    Arena arena
    int count
    PackedRow rows[BATCH]

cdef struct Answer:
    # Where rows go: instances with the properties of a list (NULL: all), or their paths
    const CMPIBroker* broker
    const CMPIResult* result
    const char** properties
    bint names
    bint kept  # what is handed over is not released before the call ends
    Fault fault

cdef struct Pipe:
    # Batches on their way from the thread that packs to the one that sends
    pthread_mutex_t lock
    pthread_cond_t changed
    Batch batches[DEPTH]
    unsigned int packed
    unsigned int sent
    bint finished  # nothing more will be packed
    bint stopped  # nothing more is wanted
    void* source  # the Source, which the thread that sends keeps alive


cdef class Source:
    """Rows or paths out of the broker, packed batch by batch."""

    cdef object rows  # items, where there are columns
    cdef Columns columns  # None: rows or paths that are made
    cdef str namespace
    cdef bint names
    cdef object error  # what ended the packing in the other thread

    def __cinit__(self, object rows, str namespace, bint names):
        self.namespace = namespace
        self.names = names
        self.columns = None
        if isinstance(rows, (Unmade, UnmadePaths)):
            self.columns = Columns(rows.layout, frozenset() if names else rows.wanted)
            self.namespace = rows.namespace
            rows = rows.items
        self.rows = iter(rows)

    cdef bint fill(self, Batch* batch) except -1:
        """Packs the next rows; whether there may be more."""
        empty(&batch.arena)
        batch.count = 0
        for row in self.rows:
            if self.columns is not None and self.names:
                pack_keys(&batch.arena, &batch.rows[batch.count].path, row, self.columns, self.namespace)
            elif self.columns is not None:
                pack_item(&batch.arena, &batch.rows[batch.count], row, self.columns, self.namespace)
            elif self.names:
                pack_path(&batch.arena, &batch.rows[batch.count].path, row, self.namespace)
            else:
                pack_row(&batch.arena, &batch.rows[batch.count], row, self.namespace, False)
            batch.count += 1
            if batch.count == BATCH:
                return True
        return False


cdef int send_instances(
    const CMPIBroker* broker, const CMPIResult* result, object rows, str namespace, const char** properties
) except -1:
    cdef Answer answer
    answer.broker, answer.result, answer.properties = broker, result, properties
    answer.names, answer.kept = False, False
    return send(&answer, Source(rows, namespace, False))


cdef int send_paths(const CMPIBroker* broker, const CMPIResult* result, object paths, str namespace) except -1:
    cdef Answer answer
    answer.broker, answer.result, answer.properties = broker, result, NULL
    answer.names, answer.kept = True, False
    return send(&answer, Source(paths, namespace, True))


cdef int send_made(const CMPIBroker* broker, const CMPIResult* result, object path, str namespace) except -1:
    """Answers with the path of an instance that was made: SFCB keeps what it is given until the call ends."""
    cdef Answer answer
    answer.broker, answer.result, answer.properties = broker, result, NULL
    answer.names, answer.kept = True, True
    return send(&answer, Source((path,), namespace, True))


cdef int send(Answer* answer, Source source) except -1:
    cdef Pipe* pipe = <Pipe*>calloc(1, sizeof(Pipe))
    cdef int i
    if pipe is NULL:
        raise MemoryError()
    pthread_mutex_init(&pipe.lock, NULL)
    pthread_cond_init(&pipe.changed, NULL)
    pipe.source = <void*>source
    answer.fault.what = NULL
    try:
        send_through(pipe, answer, source)
    finally:
        for i in range(DEPTH):
            empty(&pipe.batches[i].arena)
        pthread_cond_destroy(&pipe.changed)
        pthread_mutex_destroy(&pipe.lock)
        free(pipe)
    raise_fault(&answer.fault)
    if source.error is not None:
        raise source.error
    return check(answer.result.ft.returnDone(answer.result), "the end of the answer")


cdef int send_through(Pipe* pipe, Answer* answer, Source source) except -1:
    """Sends all that the source has, but for faults and errors, which are left for afterwards."""
    cdef pthread_t thread
    cdef bint threaded = source.fill(&pipe.batches[0])
    pipe.packed = 1
    pipe.finished = not threaded
    if threaded and pthread_create(&thread, NULL, pack_the_rest, pipe) != 0:
        raise Failed("No thread can be started for the answer")
    with nogil:
        send_packed(pipe, answer)
        if threaded:
            pthread_join(thread, NULL)
    return 0


# --- the thread that packs -----------------------------------------------------------------------

cdef void* pack_the_rest(void* given) noexcept with gil:
    cdef Pipe* pipe = <Pipe*>given
    cdef Source source = <Source>pipe.source
    cdef bint more = True
    try:
        while more and has_room(pipe):
            more = source.fill(&pipe.batches[pipe.packed % DEPTH])
            hand_over(pipe)
    except BaseException as error:
        source.error = error
    with nogil:
        pthread_mutex_lock(&pipe.lock)
        pipe.finished = True
        pthread_cond_signal(&pipe.changed)
        pthread_mutex_unlock(&pipe.lock)
    return NULL


cdef bint has_room(Pipe* pipe) noexcept:
    """Waits for room for another batch; false where no more is wanted."""
    cdef bint stopped
    with nogil:
        pthread_mutex_lock(&pipe.lock)
        while pipe.packed - pipe.sent == DEPTH and not pipe.stopped:
            pthread_cond_wait(&pipe.changed, &pipe.lock)
        stopped = pipe.stopped
        pthread_mutex_unlock(&pipe.lock)
    return not stopped


cdef void hand_over(Pipe* pipe) noexcept:
    pthread_mutex_lock(&pipe.lock)
    pipe.packed += 1
    pthread_cond_signal(&pipe.changed)
    pthread_mutex_unlock(&pipe.lock)


# --- the thread that sends -----------------------------------------------------------------------

cdef void send_packed(Pipe* pipe, Answer* answer) noexcept nogil:
    """Sends batches as they come, until there are no more or the CIM server refuses one."""
    cdef bint going = True
    while going and comes_another(pipe):
        going = send_batch(answer, &pipe.batches[pipe.sent % DEPTH])
        pthread_mutex_lock(&pipe.lock)
        pipe.sent += 1
        pipe.stopped = not going
        pthread_cond_signal(&pipe.changed)
        pthread_mutex_unlock(&pipe.lock)


cdef bint comes_another(Pipe* pipe) noexcept nogil:
    cdef bint found
    pthread_mutex_lock(&pipe.lock)
    while pipe.sent == pipe.packed and not pipe.finished:
        pthread_cond_wait(&pipe.changed, &pipe.lock)
    found = pipe.sent != pipe.packed
    pthread_mutex_unlock(&pipe.lock)
    return found


cdef bint send_batch(Answer* answer, const Batch* batch) noexcept nogil:
    cdef int i
    for i in range(batch.count):
        if not (send_path if answer.names else send_instance)(answer, &batch.rows[i]):
            return False
    return True


cdef bint send_instance(Answer* answer, const PackedRow* row) noexcept nogil:
    cdef Fault* fault = &answer.fault
    cdef CMPIInstance* made = build_instance(answer.broker, row, answer.properties, fault)
    return (
        made is not NULL
        and taken(fault, answer.result.ft.returnInstance(answer.result, made), "an instance", NULL)
        and taken(fault, made.ft.release(made), "the release of an instance", NULL)
    )


cdef bint send_path(Answer* answer, const PackedRow* row) noexcept nogil:
    cdef Fault* fault = &answer.fault
    cdef CMPIObjectPath* made = build_path(answer.broker, &row.path, fault)
    return (
        made is not NULL
        and taken(fault, answer.result.ft.returnObjectPath(answer.result, made), "a path", NULL)
        and (answer.kept or taken(fault, made.ft.release(made), "the release of a path", NULL))
    )
