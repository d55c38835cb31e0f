/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A CMPI provider in plain C to measure against: the values of `rows/sample_row.py`, for whatever class it
 * is asked about. Like the plugin it gives objects back as soon as they are copied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmpi.h"

#define COUNT 1000

static const char *const keys[] = {"InstanceID", NULL};

static CMPIStatus ok(void)
{
	CMPIStatus status = {CMPI_RC_OK, NULL};

	return status;
}

static CMPIStatus unsupported(void)
{
	CMPIStatus status = {CMPI_RC_ERR_NOT_SUPPORTED, NULL};

	return status;
}

static void must(CMPIStatus status)
{
	if (status.rc != CMPI_RC_OK)
		fprintf(stderr, "provider: the CIM server says %d\n", status.rc);
}

static CMPIObjectPath *make_path(const CMPIBroker *broker, const char *ns, const char *classname, int n)
{
	CMPIStatus rc = ok();
	CMPIObjectPath *path = broker->eft->newObjectPath(broker, ns, classname, &rc);
	char id[32];

	must(rc);
	snprintf(id, sizeof id, "row:%d", n);
	must(path->ft->addKey(path, "InstanceID", (CMPIValue *)id, CMPI_chars));
	return path;
}

static void set_text(CMPIInstance *made, const char *name, int i, const char *text)
{
	char full[32];

	snprintf(full, sizeof full, "%s%d", name, i);
	must(made->ft->setProperty(made, full, (const CMPIValue *)text, CMPI_chars));
}

static void set(CMPIInstance *made, const char *name, int i, CMPIValue value, CMPIType type)
{
	char full[32];

	snprintf(full, sizeof full, "%s%d", name, i);
	must(made->ft->setProperty(made, full, &value, type));
}

static void set_time(const CMPIBroker *broker, CMPIInstance *made, int i, const char *text)
{
	CMPIStatus rc = ok();
	CMPIDateTime *time = broker->eft->newDateTimeFromChars(broker, text, &rc);

	must(rc);
	set(made, "Time", i, (CMPIValue){.dateTime = time}, CMPI_dateTime);
	must(time->ft->release(time));
}

static void set_arrays(const CMPIBroker *broker, CMPIInstance *made, int n)
{
	CMPIStatus rc = ok();
	CMPIArray *array;
	char text[32];
	int i;

	for (i = 0; i < 2; i++) {
		array = broker->eft->newArray(broker, 2, CMPI_chars, &rc);
		must(rc);
		snprintf(text, sizeof text, "a%d", i);
		must(array->ft->setElementAt(array, 0, (CMPIValue *)text, CMPI_chars));
		snprintf(text, sizeof text, "b%d", n);
		must(array->ft->setElementAt(array, 1, (CMPIValue *)text, CMPI_chars));
		set(made, "List", i, (CMPIValue){.array = array}, CMPI_string | CMPI_ARRAY);
		must(array->ft->release(array));
	}
	array = broker->eft->newArray(broker, 2, CMPI_uint16, &rc);
	must(rc);
	must(array->ft->setElementAt(array, 0, &(CMPIValue){.uint16 = 2}, CMPI_uint16));
	must(array->ft->setElementAt(array, 1, &(CMPIValue){.uint16 = n % 16}, CMPI_uint16));
	must(made->ft->setProperty(made, "Numbers", &(CMPIValue){.array = array}, CMPI_uint16 | CMPI_ARRAY));
	must(array->ft->release(array));
}

static void return_row(const CMPIBroker *broker, const CMPIResult *result, const char *ns, const char *classname,
		       int n, const char **properties)
{
	CMPIStatus rc = ok();
	CMPIObjectPath *path = make_path(broker, ns, classname, n);
	CMPIInstance *made = broker->eft->newInstance(broker, path, &rc);
	char text[64];
	int i;

	must(rc);
	must(path->ft->release(path));
	if (properties)
		must(made->ft->setPropertyFilter(made, properties, (const char **)keys));
	snprintf(text, sizeof text, "row:%d", n);
	must(made->ft->setProperty(made, "InstanceID", (CMPIValue *)text, CMPI_chars));
	for (i = 0; i < 7; i++) {
		snprintf(text, sizeof text, "text %d of row %d", i, n);
		set_text(made, "Text", i, text);
	}
	for (i = 0; i < 5; i++)
		set(made, "Small", i, (CMPIValue){.uint16 = (n + i) % 65536}, CMPI_uint16);
	for (i = 0; i < 4; i++)
		set(made, "Large", i, (CMPIValue){.uint64 = n * 1000003ull + i}, CMPI_uint64);
	for (i = 0; i < 3; i++)
		set(made, "Flag", i, (CMPIValue){.boolean = (n + i) % 2 == 0}, CMPI_boolean);
	snprintf(text, sizeof text, "20260101%02d3000.000000+000", n % 24);
	set_time(broker, made, 0, text);
	snprintf(text, sizeof text, "000000%02d123456.000000:000", n % 24);
	set_time(broker, made, 1, text);
	set_arrays(broker, made, n);
	must(result->ft->returnInstance(result, made));
	must(made->ft->release(made));
}

static const char *chars(CMPIString *string)
{
	return string->ft->getCharPtr(string, NULL);
}

static CMPIStatus enumerate_instances(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
				      const CMPIObjectPath *path, const char **properties)
{
	const char *ns = chars(path->ft->getNameSpace(path, NULL)), *classname = chars(path->ft->getClassName(path, NULL));
	int n;

	(void)ctx;
	for (n = 0; n < COUNT; n++)
		return_row(mi->hdl, result, ns, classname, n, properties);
	return result->ft->returnDone(result);
}

static CMPIStatus enumerate_instance_names(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
					   const CMPIObjectPath *path)
{
	const char *ns = chars(path->ft->getNameSpace(path, NULL)), *classname = chars(path->ft->getClassName(path, NULL));
	int n;

	(void)ctx;
	for (n = 0; n < COUNT; n++) {
		CMPIObjectPath *made = make_path(mi->hdl, ns, classname, n);

		must(result->ft->returnObjectPath(result, made));
		must(made->ft->release(made));
	}
	return result->ft->returnDone(result);
}

static CMPIStatus get_instance(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
			       const CMPIObjectPath *path, const char **properties)
{
	CMPIStatus rc = ok();
	CMPIData id = path->ft->getKey(path, "InstanceID", &rc);

	(void)ctx;
	must(rc);
	return_row(mi->hdl, result, chars(path->ft->getNameSpace(path, NULL)), chars(path->ft->getClassName(path, NULL)),
		   atoi(chars(id.value.string) + strlen("row:")), properties);
	return result->ft->returnDone(result);
}

static CMPIStatus cleanup(CMPIInstanceMI *mi, const CMPIContext *ctx, CMPIBoolean terminating)
{
	(void)ctx;
	(void)terminating;
	free(mi);
	return ok();
}

static CMPIStatus create_instance(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
				  const CMPIObjectPath *path, const CMPIInstance *instance)
{
	(void)mi, (void)ctx, (void)result, (void)path, (void)instance;
	return unsupported();
}

static CMPIStatus modify_instance(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
				  const CMPIObjectPath *path, const CMPIInstance *instance, const char **properties)
{
	(void)mi, (void)ctx, (void)result, (void)path, (void)instance, (void)properties;
	return unsupported();
}

static CMPIStatus delete_instance(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
				  const CMPIObjectPath *path)
{
	(void)mi, (void)ctx, (void)result, (void)path;
	return unsupported();
}

static CMPIStatus exec_query(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
			     const CMPIObjectPath *path, const char *query, const char *language)
{
	(void)mi, (void)ctx, (void)result, (void)path, (void)query, (void)language;
	return unsupported();
}

static const CMPIInstanceMIFT table = {
	200, 200, "libvirtcim-sample", cleanup, enumerate_instance_names, enumerate_instances, get_instance,
	create_instance, modify_instance, delete_instance, exec_query,
};

CMPIInstanceMI *_Generic_Create_InstanceMI(const CMPIBroker *broker, const CMPIContext *ctx, const char *name,
					   CMPIStatus *rc)
{
	CMPIInstanceMI *made = malloc(sizeof *made);

	(void)ctx;
	(void)name;
	if (made) {
		made->hdl = (void *)broker;
		made->ft = &table;
	}
	if (rc)
		*rc = ok();
	return made;
}
