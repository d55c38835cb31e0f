/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The part of the CMPI 2.0 binary interface (The Open Group, "Systems Management: Common Manageability
 * Programming Interface") that this plugin uses: types, codes and function tables.
 *
 * Tables are declared up to the last member that OpenPegasus and SFCB both have; CIM servers may append
 * to them. Members of tables that nothing here calls are `void (*)(void)` and only hold their place.
 */
#ifndef LIBVIRTCIM_CMPI_H
#define LIBVIRTCIM_CMPI_H

#include <stdint.h>

typedef unsigned char CMPIBoolean;
typedef uint16_t CMPIChar16;
typedef uint8_t CMPIUint8;
typedef uint16_t CMPIUint16;
typedef uint32_t CMPIUint32;
typedef uint64_t CMPIUint64;
typedef int8_t CMPISint8;
typedef int16_t CMPISint16;
typedef int32_t CMPISint32;
typedef int64_t CMPISint64;
typedef float CMPIReal32;
typedef double CMPIReal64;
typedef unsigned int CMPICount;
typedef uint16_t CMPIType;
typedef uint16_t CMPIValueState;
typedef void (*CMPIUnused)(void);

enum {
	CMPI_null = 0,
	CMPI_boolean = 2,
	CMPI_char16 = 3,
	CMPI_real32 = 2 << 2,
	CMPI_real64 = 3 << 2,
	CMPI_uint8 = 8 << 4,
	CMPI_uint16 = 9 << 4,
	CMPI_uint32 = 10 << 4,
	CMPI_uint64 = 11 << 4,
	CMPI_sint8 = 12 << 4,
	CMPI_sint16 = 13 << 4,
	CMPI_sint32 = 14 << 4,
	CMPI_sint64 = 15 << 4,
	CMPI_instance = 16 << 8,
	CMPI_ref = 17 << 8,
	CMPI_args = 18 << 8,
	CMPI_string = 22 << 8,
	CMPI_chars = 23 << 8,
	CMPI_dateTime = 24 << 8,
	CMPI_ARRAY = 1 << 13
};

enum {
	CMPI_goodValue = 0,
	CMPI_nullValue = 1 << 8,
	CMPI_keyValue = 2 << 8,
	CMPI_notFound = 4 << 8,
	CMPI_badValue = 0x8000
};

typedef enum {
	CMPI_RC_OK = 0,
	CMPI_RC_ERR_FAILED = 1,
	CMPI_RC_ERR_INVALID_PARAMETER = 4,
	CMPI_RC_ERR_NOT_FOUND = 6,
	CMPI_RC_ERR_NOT_SUPPORTED = 7,
	CMPI_RC_ERR_NO_SUCH_PROPERTY = 12,
	CMPI_RC_ERR_TYPE_MISMATCH = 13,
	CMPI_RC_DO_NOT_UNLOAD = 50,
	CMPI_RC_NEVER_UNLOAD = 51,
	CMPI_RC_ERR_INVALID_HANDLE = 60,
	CMPI_RC_ERR_INVALID_DATA_TYPE = 61
} CMPIrc;

typedef struct CMPIString CMPIString;
typedef struct CMPIArray CMPIArray;
typedef struct CMPIDateTime CMPIDateTime;
typedef struct CMPIObjectPath CMPIObjectPath;
typedef struct CMPIInstance CMPIInstance;
typedef struct CMPIArgs CMPIArgs;
typedef struct CMPIContext CMPIContext;
typedef struct CMPIResult CMPIResult;
typedef struct CMPISelectExp CMPISelectExp;
typedef struct CMPIBroker CMPIBroker;

typedef struct {
	CMPIrc rc;
	CMPIString *msg;
} CMPIStatus;

typedef union {
	CMPIUint64 uint64;
	CMPIUint32 uint32;
	CMPIUint16 uint16;
	CMPIUint8 uint8;
	CMPISint64 sint64;
	CMPISint32 sint32;
	CMPISint16 sint16;
	CMPISint8 sint8;
	CMPIReal64 real64;
	CMPIReal32 real32;
	CMPIBoolean boolean;
	CMPIChar16 char16;
	CMPIInstance *inst;
	CMPIObjectPath *ref;
	CMPIArgs *args;
	CMPIString *string;
	char *chars;
	CMPIDateTime *dateTime;
	CMPIArray *array;
	struct {
		void *ptr;
		CMPICount length;
	} dataPtr;
} CMPIValue;

typedef struct {
	CMPIType type;
	CMPIValueState state;
	CMPIValue value;
} CMPIData;

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIString *self);
	CMPIString *(*clone)(const CMPIString *self, CMPIStatus *rc);
	char *(*getCharPtr)(const CMPIString *self, CMPIStatus *rc);
} CMPIStringFT;

struct CMPIString {
	void *hdl;
	const CMPIStringFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIArray *self);
	CMPIArray *(*clone)(const CMPIArray *self, CMPIStatus *rc);
	CMPICount (*getSize)(const CMPIArray *self, CMPIStatus *rc);
	CMPIType (*getSimpleType)(const CMPIArray *self, CMPIStatus *rc);
	CMPIData (*getElementAt)(const CMPIArray *self, CMPICount index, CMPIStatus *rc);
	CMPIStatus (*setElementAt)(CMPIArray *self, CMPICount index, const CMPIValue *value, CMPIType type);
} CMPIArrayFT;

struct CMPIArray {
	void *hdl;
	const CMPIArrayFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIDateTime *self);
	CMPIDateTime *(*clone)(const CMPIDateTime *self, CMPIStatus *rc);
	CMPIUint64 (*getBinaryFormat)(const CMPIDateTime *self, CMPIStatus *rc);
	CMPIString *(*getStringFormat)(const CMPIDateTime *self, CMPIStatus *rc);
	CMPIBoolean (*isInterval)(const CMPIDateTime *self, CMPIStatus *rc);
} CMPIDateTimeFT;

struct CMPIDateTime {
	void *hdl;
	const CMPIDateTimeFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIObjectPath *self);
	CMPIObjectPath *(*clone)(const CMPIObjectPath *self, CMPIStatus *rc);
	CMPIStatus (*setNameSpace)(CMPIObjectPath *self, const char *name);
	CMPIString *(*getNameSpace)(const CMPIObjectPath *self, CMPIStatus *rc);
	CMPIStatus (*setHostname)(CMPIObjectPath *self, const char *name);
	CMPIString *(*getHostname)(const CMPIObjectPath *self, CMPIStatus *rc);
	CMPIStatus (*setClassName)(CMPIObjectPath *self, const char *name);
	CMPIString *(*getClassName)(const CMPIObjectPath *self, CMPIStatus *rc);
	CMPIStatus (*addKey)(CMPIObjectPath *self, const char *name, const CMPIValue *value, CMPIType type);
	CMPIData (*getKey)(const CMPIObjectPath *self, const char *name, CMPIStatus *rc);
	CMPIData (*getKeyAt)(const CMPIObjectPath *self, CMPICount index, CMPIString **name, CMPIStatus *rc);
	CMPICount (*getKeyCount)(const CMPIObjectPath *self, CMPIStatus *rc);
	CMPIStatus (*setNameSpaceFromObjectPath)(CMPIObjectPath *self, const CMPIObjectPath *source);
	CMPIStatus (*setHostAndNameSpaceFromObjectPath)(CMPIObjectPath *self, const CMPIObjectPath *source);
	CMPIUnused getClassQualifier, getPropertyQualifier, getMethodQualifier, getParameterQualifier;
	CMPIString *(*toString)(const CMPIObjectPath *self, CMPIStatus *rc);
} CMPIObjectPathFT;

struct CMPIObjectPath {
	void *hdl;
	const CMPIObjectPathFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIInstance *self);
	CMPIInstance *(*clone)(const CMPIInstance *self, CMPIStatus *rc);
	CMPIData (*getProperty)(const CMPIInstance *self, const char *name, CMPIStatus *rc);
	CMPIData (*getPropertyAt)(const CMPIInstance *self, CMPICount index, CMPIString **name, CMPIStatus *rc);
	CMPICount (*getPropertyCount)(const CMPIInstance *self, CMPIStatus *rc);
	CMPIStatus (*setProperty)(CMPIInstance *self, const char *name, const CMPIValue *value, CMPIType type);
	CMPIObjectPath *(*getObjectPath)(const CMPIInstance *self, CMPIStatus *rc);
	CMPIStatus (*setPropertyFilter)(CMPIInstance *self, const char **properties, const char **keys);
	CMPIStatus (*setObjectPath)(CMPIInstance *self, const CMPIObjectPath *path);
} CMPIInstanceFT;

struct CMPIInstance {
	void *hdl;
	const CMPIInstanceFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIArgs *self);
	CMPIArgs *(*clone)(const CMPIArgs *self, CMPIStatus *rc);
	CMPIStatus (*addArg)(CMPIArgs *self, const char *name, const CMPIValue *value, CMPIType type);
	CMPIData (*getArg)(const CMPIArgs *self, const char *name, CMPIStatus *rc);
	CMPIData (*getArgAt)(const CMPIArgs *self, CMPICount index, CMPIString **name, CMPIStatus *rc);
	CMPICount (*getArgCount)(const CMPIArgs *self, CMPIStatus *rc);
} CMPIArgsFT;

struct CMPIArgs {
	void *hdl;
	const CMPIArgsFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIContext *self);
	CMPIContext *(*clone)(const CMPIContext *self, CMPIStatus *rc);
	CMPIData (*getEntry)(const CMPIContext *self, const char *name, CMPIStatus *rc);
	CMPIData (*getEntryAt)(const CMPIContext *self, CMPICount index, CMPIString **name, CMPIStatus *rc);
	CMPICount (*getEntryCount)(const CMPIContext *self, CMPIStatus *rc);
	CMPIStatus (*addEntry)(const CMPIContext *self, const char *name, const CMPIValue *value, CMPIType type);
} CMPIContextFT;

struct CMPIContext {
	void *hdl;
	const CMPIContextFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPIResult *self);
	CMPIResult *(*clone)(const CMPIResult *self, CMPIStatus *rc);
	CMPIStatus (*returnData)(const CMPIResult *self, const CMPIValue *value, CMPIType type);
	CMPIStatus (*returnInstance)(const CMPIResult *self, const CMPIInstance *instance);
	CMPIStatus (*returnObjectPath)(const CMPIResult *self, const CMPIObjectPath *path);
	CMPIStatus (*returnDone)(const CMPIResult *self);
} CMPIResultFT;

struct CMPIResult {
	void *hdl;
	const CMPIResultFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIStatus (*release)(CMPISelectExp *self);
	CMPISelectExp *(*clone)(const CMPISelectExp *self, CMPIStatus *rc);
	CMPIBoolean (*evaluate)(const CMPISelectExp *self, const CMPIInstance *instance, CMPIStatus *rc);
	CMPIString *(*getString)(const CMPISelectExp *self, CMPIStatus *rc);
} CMPISelectExpFT;

struct CMPISelectExp {
	void *hdl;
	const CMPISelectExpFT *ft;
};

typedef struct {
	int ftVersion;
	CMPIInstance *(*newInstance)(const CMPIBroker *broker, const CMPIObjectPath *path, CMPIStatus *rc);
	CMPIObjectPath *(*newObjectPath)(const CMPIBroker *broker, const char *ns, const char *classname, CMPIStatus *rc);
	CMPIArgs *(*newArgs)(const CMPIBroker *broker, CMPIStatus *rc);
	CMPIString *(*newString)(const CMPIBroker *broker, const char *text, CMPIStatus *rc);
	CMPIArray *(*newArray)(const CMPIBroker *broker, CMPICount size, CMPIType type, CMPIStatus *rc);
	CMPIDateTime *(*newDateTime)(const CMPIBroker *broker, CMPIStatus *rc);
	CMPIDateTime *(*newDateTimeFromBinary)(const CMPIBroker *broker, CMPIUint64 time, CMPIBoolean interval, CMPIStatus *rc);
	CMPIDateTime *(*newDateTimeFromChars)(const CMPIBroker *broker, const char *text, CMPIStatus *rc);
	CMPIUnused newSelectExp, classPathIsA, toString, isOfType, getType, getMessage, logMessage, trace;
} CMPIBrokerEncFT;

typedef struct {
	unsigned int brokerCapabilities;
	int brokerVersion;
	const char *brokerName;
	CMPIContext *(*prepareAttachThread)(const CMPIBroker *broker, const CMPIContext *ctx);
	CMPIStatus (*attachThread)(const CMPIBroker *broker, const CMPIContext *ctx);
	CMPIStatus (*detachThread)(const CMPIBroker *broker, const CMPIContext *ctx);
	CMPIStatus (*deliverIndication)(const CMPIBroker *broker, const CMPIContext *ctx, const char *ns,
		const CMPIInstance *indication);
	CMPIUnused enumerateInstanceNames, getInstance, createInstance, modifyInstance, deleteInstance,
		execQuery, enumerateInstances, associators, associatorNames, references, referenceNames, invokeMethod,
		setProperty, getProperty;
} CMPIBrokerFT;

struct CMPIBroker {
	void *hdl;
	const CMPIBrokerFT *bft;
	const CMPIBrokerEncFT *eft;
	const void *xft;
	const void *mft;
};

typedef struct CMPIInstanceMI CMPIInstanceMI;
typedef struct CMPIAssociationMI CMPIAssociationMI;
typedef struct CMPIMethodMI CMPIMethodMI;
typedef struct CMPIIndicationMI CMPIIndicationMI;

typedef struct {
	int ftVersion;
	int miVersion;
	const char *miName;
	CMPIStatus (*cleanup)(CMPIInstanceMI *mi, const CMPIContext *ctx, CMPIBoolean terminating);
	CMPIStatus (*enumerateInstanceNames)(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path);
	CMPIStatus (*enumerateInstances)(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char **properties);
	CMPIStatus (*getInstance)(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char **properties);
	CMPIStatus (*createInstance)(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const CMPIInstance *instance);
	CMPIStatus (*modifyInstance)(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const CMPIInstance *instance, const char **properties);
	CMPIStatus (*deleteInstance)(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path);
	CMPIStatus (*execQuery)(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char *query, const char *language);
} CMPIInstanceMIFT;

struct CMPIInstanceMI {
	void *hdl;
	const CMPIInstanceMIFT *ft;
};

typedef struct {
	int ftVersion;
	int miVersion;
	const char *miName;
	CMPIStatus (*cleanup)(CMPIAssociationMI *mi, const CMPIContext *ctx, CMPIBoolean terminating);
	CMPIStatus (*associators)(CMPIAssociationMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char *assocClass, const char *resultClass, const char *role,
		const char *resultRole, const char **properties);
	CMPIStatus (*associatorNames)(CMPIAssociationMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char *assocClass, const char *resultClass, const char *role,
		const char *resultRole);
	CMPIStatus (*references)(CMPIAssociationMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char *resultClass, const char *role, const char **properties);
	CMPIStatus (*referenceNames)(CMPIAssociationMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char *resultClass, const char *role);
} CMPIAssociationMIFT;

struct CMPIAssociationMI {
	void *hdl;
	const CMPIAssociationMIFT *ft;
};

typedef struct {
	int ftVersion;
	int miVersion;
	const char *miName;
	CMPIStatus (*cleanup)(CMPIMethodMI *mi, const CMPIContext *ctx, CMPIBoolean terminating);
	CMPIStatus (*invokeMethod)(CMPIMethodMI *mi, const CMPIContext *ctx, const CMPIResult *result,
		const CMPIObjectPath *path, const char *method, const CMPIArgs *in, CMPIArgs *out);
} CMPIMethodMIFT;

struct CMPIMethodMI {
	void *hdl;
	const CMPIMethodMIFT *ft;
};

/* mustPoll: the standard has a result before the expression, OpenPegasus and SFCB have none. */
typedef struct {
	int ftVersion;
	int miVersion;
	const char *miName;
	CMPIStatus (*cleanup)(CMPIIndicationMI *mi, const CMPIContext *ctx, CMPIBoolean terminating);
	CMPIStatus (*authorizeFilter)(CMPIIndicationMI *mi, const CMPIContext *ctx, const CMPISelectExp *filter,
		const char *classname, const CMPIObjectPath *path, const char *owner);
	CMPIStatus (*mustPoll)(CMPIIndicationMI *mi, const CMPIContext *ctx, const CMPISelectExp *filter,
		const char *classname, const CMPIObjectPath *path);
	CMPIStatus (*activateFilter)(CMPIIndicationMI *mi, const CMPIContext *ctx, const CMPISelectExp *filter,
		const char *classname, const CMPIObjectPath *path, CMPIBoolean first);
	CMPIStatus (*deActivateFilter)(CMPIIndicationMI *mi, const CMPIContext *ctx, const CMPISelectExp *filter,
		const char *classname, const CMPIObjectPath *path, CMPIBoolean last);
	CMPIStatus (*enableIndications)(CMPIIndicationMI *mi, const CMPIContext *ctx);
	CMPIStatus (*disableIndications)(CMPIIndicationMI *mi, const CMPIContext *ctx);
} CMPIIndicationMIFT;

struct CMPIIndicationMI {
	void *hdl;
	const CMPIIndicationMIFT *ft;
};

_Static_assert(sizeof(CMPIStatus) == 2 * sizeof(void *), "CMPIStatus as in the CIM servers");
_Static_assert(sizeof(CMPIValue) == 16 && sizeof(CMPIData) == 24, "CMPIData as in the CIM servers (64 bit)");

#endif
