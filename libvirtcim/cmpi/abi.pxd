# SPDX-License-Identifier: LGPL-2.1-or-later
"""`cmpi.h` as Cython sees it: what the adapter uses of it."""

from libc.stdint cimport (
    int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t,
)


cdef extern from "cmpi.h":
    ctypedef uint16_t CMPIType
    ctypedef uint16_t CMPIValueState
    ctypedef unsigned int CMPICount
    ctypedef unsigned char CMPIBoolean
    ctypedef int CMPIrc
    CMPIrc CMPI_RC_ERR_NO_SUCH_PROPERTY
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
    ctypedef struct CMPISelectExp:
        const CMPISelectExpFT* ft
    ctypedef struct CMPIBroker:
        const CMPIBrokerFT* bft
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
        CMPIStatus (*release)(CMPIArray*) noexcept nogil
        CMPICount (*getSize)(const CMPIArray*, CMPIStatus*)
        CMPIData (*getElementAt)(const CMPIArray*, CMPICount, CMPIStatus*)
        CMPIStatus (*setElementAt)(CMPIArray*, CMPICount, const CMPIValue*, CMPIType) noexcept nogil
    ctypedef struct CMPIDateTimeFT:
        CMPIStatus (*release)(CMPIDateTime*) noexcept nogil
        CMPIString* (*getStringFormat)(const CMPIDateTime*, CMPIStatus*)
    ctypedef struct CMPIObjectPathFT:
        CMPIStatus (*release)(CMPIObjectPath*) noexcept nogil
        CMPIString* (*getNameSpace)(const CMPIObjectPath*, CMPIStatus*)
        CMPIString* (*getClassName)(const CMPIObjectPath*, CMPIStatus*)
        CMPIStatus (*addKey)(CMPIObjectPath*, const char*, const CMPIValue*, CMPIType) noexcept nogil
        CMPIData (*getKeyAt)(const CMPIObjectPath*, CMPICount, CMPIString**, CMPIStatus*)
        CMPICount (*getKeyCount)(const CMPIObjectPath*, CMPIStatus*)
    ctypedef struct CMPIInstanceFT:
        CMPIStatus (*release)(CMPIInstance*) noexcept nogil
        CMPIData (*getPropertyAt)(const CMPIInstance*, CMPICount, CMPIString**, CMPIStatus*)
        CMPICount (*getPropertyCount)(const CMPIInstance*, CMPIStatus*)
        CMPIStatus (*setProperty)(CMPIInstance*, const char*, const CMPIValue*, CMPIType) noexcept nogil
        CMPIObjectPath* (*getObjectPath)(const CMPIInstance*, CMPIStatus*)
        CMPIStatus (*setPropertyFilter)(CMPIInstance*, const char**, const char**) noexcept nogil
    ctypedef struct CMPIArgsFT:
        CMPIStatus (*addArg)(CMPIArgs*, const char*, const CMPIValue*, CMPIType) noexcept nogil
        CMPIData (*getArgAt)(const CMPIArgs*, CMPICount, CMPIString**, CMPIStatus*)
        CMPICount (*getArgCount)(const CMPIArgs*, CMPIStatus*)
    ctypedef struct CMPIContextFT:
        CMPIData (*getEntry)(const CMPIContext*, const char*, CMPIStatus*)
    ctypedef struct CMPIResultFT:
        CMPIStatus (*returnData)(const CMPIResult*, const CMPIValue*, CMPIType) noexcept nogil
        CMPIStatus (*returnInstance)(const CMPIResult*, const CMPIInstance*) noexcept nogil
        CMPIStatus (*returnObjectPath)(const CMPIResult*, const CMPIObjectPath*) noexcept nogil
        CMPIStatus (*returnDone)(const CMPIResult*)
    ctypedef struct CMPISelectExpFT:
        CMPIString* (*getString)(const CMPISelectExp*, CMPIStatus*)
    ctypedef struct CMPIBrokerFT:
        CMPIContext* (*prepareAttachThread)(const CMPIBroker*, const CMPIContext*)
        CMPIStatus (*attachThread)(const CMPIBroker*, const CMPIContext*)
        CMPIStatus (*detachThread)(const CMPIBroker*, const CMPIContext*)
        CMPIStatus (*deliverIndication)(
            const CMPIBroker*, const CMPIContext*, const char*, const CMPIInstance*
        ) noexcept nogil
    ctypedef struct CMPIBrokerEncFT:
        CMPIInstance* (*newInstance)(const CMPIBroker*, const CMPIObjectPath*, CMPIStatus*) noexcept nogil
        CMPIObjectPath* (*newObjectPath)(const CMPIBroker*, const char*, const char*, CMPIStatus*) noexcept nogil
        CMPIString* (*newString)(const CMPIBroker*, const char*, CMPIStatus*)
        CMPIArray* (*newArray)(const CMPIBroker*, CMPICount, CMPIType, CMPIStatus*) noexcept nogil
        CMPIDateTime* (*newDateTimeFromChars)(const CMPIBroker*, const char*, CMPIStatus*) noexcept nogil

    ctypedef struct CMPIInstanceMI:
        void* hdl
    ctypedef struct CMPIAssociationMI:
        void* hdl
    ctypedef struct CMPIMethodMI:
        void* hdl
    ctypedef struct CMPIIndicationMI:
        void* hdl
