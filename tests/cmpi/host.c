/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A CMPI host for tests: loads a plugin as a CIM server does, and is stricter than any of them.
 *
 *     host LIBRARY        JSON requests on stdin, one a line; JSON answers on stdout
 *
 * What OpenPegasus or SFCB refuse is refused; what either lets pass although it goes wrong is a
 * *violation*, told in the answer. Every call has a thread and an arena of its own; what was made in the
 * call, or handed to it, is poisoned and freed when it ends.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cmpi.h"

#define MAGIC 0x43494d21u
#define MAX_CLASSES 512

static void *need(void *memory)
{
	if (!memory) {
		perror("host");
		exit(70);
	}
	return memory;
}

/* --- text being written ---------------------------------------------------------------------- */

struct text {
	char *chars;
	size_t used, size;
};

static void put(struct text *t, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (t->used + length + 1 > t->size) {
		t->size = (t->used + length + 1) * 2;
		t->chars = need(realloc(t->chars, t->size));
	}
	va_start(args, format);
	vsnprintf(t->chars + t->used, length + 1, format, args);
	va_end(args);
	t->used += length;
}

static void put_string(struct text *t, const char *chars)
{
	if (!chars) {
		put(t, "null");
		return;
	}
	put(t, "\"");
	for (; *chars; chars++) {
		if (*chars == '"' || *chars == '\\')
			put(t, "\\%c", *chars);
		else if ((unsigned char)*chars < 32)
			put(t, "\\u%04x", *chars);
		else
			put(t, "%c", *chars);
	}
	put(t, "\"");
}

/* --- JSON being read --------------------------------------------------------------------------- */

struct json {
	enum { J_NULL, J_TRUE, J_FALSE, J_NUMBER, J_STRING, J_ARRAY, J_OBJECT } kind;
	char *text; /* string, or number as written */
	char *name; /* in an object */
	struct json *first, *next;
};

static char *read_chars(const char **at)
{
	struct text t = {0};

	put(&t, "%s", "");
	for ((*at)++; **at && **at != '"'; (*at)++) {
		unsigned code;

		if (**at != '\\') {
			put(&t, "%c", **at);
			continue;
		}
		switch (*++(*at)) {
		case 'n': put(&t, "\n"); break;
		case 't': put(&t, "\t"); break;
		case 'r': put(&t, "\r"); break;
		case 'u': /* the tests send everything else as UTF-8 */
			sscanf(*at + 1, "%4x", &code);
			put(&t, "%c", (char)code);
			*at += 4;
			break;
		default: put(&t, "%c", **at);
		}
	}
	(*at)++;
	return t.chars;
}

static void skip(const char **at)
{
	while (isspace((unsigned char)**at) || **at == ',' || **at == ':')
		(*at)++;
}

static struct json *read_json(const char **at)
{
	struct json *made = need(calloc(1, sizeof *made)), **last = &made->first;

	skip(at);
	if (**at == '"') {
		made->kind = J_STRING;
		made->text = read_chars(at);
	} else if (**at == '{' || **at == '[') {
		char end = **at == '{' ? '}' : ']';

		made->kind = end == '}' ? J_OBJECT : J_ARRAY;
		(*at)++;
		for (skip(at); **at && **at != end; skip(at)) {
			char *name = end == '}' ? read_chars(at) : NULL;

			*last = read_json(at);
			(*last)->name = name;
			last = &(*last)->next;
		}
		(*at)++;
	} else if (strchr("tfn", **at)) {
		made->kind = **at == 't' ? J_TRUE : **at == 'f' ? J_FALSE : J_NULL;
		*at += **at == 'f' ? 5 : 4;
	} else {
		size_t length = strspn(*at, "+-.0123456789eE");

		made->kind = J_NUMBER;
		made->text = need(strndup(*at, length));
		*at += length ? length : 1;
	}
	return made;
}

static void free_json(struct json *j)
{
	while (j) {
		struct json *next = j->next;

		free_json(j->first);
		free(j->text);
		free(j->name);
		free(j);
		j = next;
	}
}

static struct json *member(struct json *j, const char *name)
{
	struct json *m;

	for (m = j && j->kind == J_OBJECT ? j->first : NULL; m; m = m->next)
		if (!strcmp(m->name, name))
			return m->kind == J_NULL ? NULL : m;
	return NULL;
}

static const char *string(struct json *j, const char *name)
{
	struct json *m = member(j, name);

	return m ? m->text : NULL;
}

static long number(struct json *j, const char *name, long otherwise)
{
	const char *found = string(j, name);

	return found ? atol(found) : otherwise;
}

/* --- types and classes --------------------------------------------------------------------------- */

static const struct {
	const char *name;
	CMPIType type;
} TYPES[] = {
	{"null", CMPI_null}, {"boolean", CMPI_boolean}, {"char16", CMPI_char16}, {"real32", CMPI_real32},
	{"real64", CMPI_real64}, {"uint8", CMPI_uint8}, {"uint16", CMPI_uint16}, {"uint32", CMPI_uint32},
	{"uint64", CMPI_uint64}, {"sint8", CMPI_sint8}, {"sint16", CMPI_sint16}, {"sint32", CMPI_sint32},
	{"sint64", CMPI_sint64}, {"string", CMPI_string}, {"datetime", CMPI_dateTime}, {"reference", CMPI_ref},
	{"instance", CMPI_instance},
};

static CMPIType type_named(const char *name)
{
	size_t i, length = strcspn(name, "[");

	for (i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
		if (strlen(TYPES[i].name) == length && !strncmp(TYPES[i].name, name, length))
			return TYPES[i].type | (name[length] ? CMPI_ARRAY : 0);
	fprintf(stderr, "host: no type %s\n", name);
	exit(64);
}

static const char *type_name(CMPIType type)
{
	size_t i;

	for (i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
		if (TYPES[i].type == (type & ~CMPI_ARRAY))
			return TYPES[i].name;
	return "unknown";
}

static struct json *classes[MAX_CLASSES]; /* {"name", "properties": [[name, type]...], "keys": [name...]} */
static int class_count;

static struct json *class_named(const char *name)
{
	int i;

	for (i = 0; i < class_count; i++)
		if (!strcasecmp(string(classes[i], "name"), name))
			return classes[i];
	return NULL;
}

static struct json *declared(struct json *cls, const char *property)
{
	struct json *p;

	for (p = member(cls, "properties")->first; p; p = p->next)
		if (!strcasecmp(p->first->text, property))
			return p;
	return NULL;
}

/* --- a call and its objects ---------------------------------------------------------------------- */

enum kind { STRING, ARRAY, DATETIME, PATH, INSTANCE, ARGS, CONTEXT, RESULT, FILTER };
static const char *const KINDS[] = {"string", "array", "datetime", "path", "instance", "args", "context", "result",
				    "filter"};

struct slot {
	char *name;
	CMPIData data;
	int set; /* by the plugin, not preset */
};

struct object {
	void *hdl;
	const void *ft;
	unsigned magic;
	enum kind kind;
	pthread_t owner;
	int released, given; /* given: made by the host, the plugin may not release it */
	struct object *next;
	char *chars, *ns; /* text; class name and namespace */
	CMPIType element;
	struct slot *slots;
	unsigned count;
	struct object *path;
	char **filter; /* names that the property list lets through, NULL: all */
	int filtered;
};

struct call {
	const CMPIBroker *broker;
	struct object *objects;
	struct text results, violations;
	int returned, done;
	int returning; /* 'i'nstances, 'p'aths, 'd'ata or nothing */
	int keeps; /* what is returned is used until the call ends, as SFCB does with the path of a made instance */
	long wanted; /* results that are taken before one is refused, as for a client that has gone */
};

static __thread struct call *call;

static const CMPIStringFT string_ft;
static const CMPIArrayFT array_ft;
static const CMPIDateTimeFT datetime_ft;
static const CMPIObjectPathFT path_ft;
static const CMPIInstanceFT instance_ft;
static const CMPIArgsFT args_ft;
static const CMPIContextFT context_ft;
static const CMPIResultFT result_ft;
static const CMPISelectExpFT filter_ft;

static void violation(const char *format, ...)
{
	char text[400];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (!call) {
		fprintf(stderr, "host: outside of any call: %s\n", text);
		abort();
	}
	if (call->violations.used > 4000)
		return;
	put(&call->violations, "%s", call->violations.used ? "," : "");
	put_string(&call->violations, text);
}

static CMPIStatus status(CMPIrc rc)
{
	CMPIStatus made = {rc, NULL};

	return made;
}

static void set_rc(CMPIStatus *rc, CMPIrc code)
{
	if (rc) {
		rc->rc = code;
		rc->msg = NULL;
	}
}

static struct object *make(enum kind kind)
{
	static const void *const tables[] = {&string_ft, &array_ft, &datetime_ft, &path_ft, &instance_ft, &args_ft,
					     &context_ft, &result_ft, &filter_ft};
	struct object *made = need(calloc(1, sizeof *made));

	if (!call) {
		fprintf(stderr, "host: a %s is made outside of any call\n", KINDS[kind]);
		abort();
	}
	made->hdl = made;
	made->ft = tables[kind];
	made->magic = MAGIC;
	made->kind = kind;
	made->owner = pthread_self();
	made->next = call->objects;
	call->objects = made;
	return made;
}

/* The object behind a pointer, if it is alive and of that kind. */
static struct object *alive(const void *pointer, enum kind kind, CMPIStatus *rc)
{
	struct object *found = (struct object *)pointer;

	set_rc(rc, CMPI_RC_OK);
	if (!found) {
		violation("NULL where a %s belongs", KINDS[kind]);
	} else if (found->magic != MAGIC) {
		fprintf(stderr, "host: a %s is used after its call ended, or is none\n", KINDS[kind]);
		abort();
	} else if (found->kind != kind) {
		violation("a %s where a %s belongs", KINDS[found->kind], KINDS[kind]);
	} else if (found->released) {
		violation("a %s is used after its release", KINDS[kind]);
	} else if (!pthread_equal(found->owner, pthread_self())) {
		violation("a %s is used in another thread", KINDS[kind]);
	} else {
		return found;
	}
	set_rc(rc, CMPI_RC_ERR_INVALID_HANDLE);
	return NULL;
}

static CMPIStatus release(const void *pointer, enum kind kind)
{
	struct object *found = alive(pointer, kind, NULL);

	if (!found)
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	if (found->given)
		violation("a %s that belongs to the host is released", KINDS[kind]);
	found->released = 1;
	return status(CMPI_RC_OK);
}

static void end_call(struct call *ending)
{
	while (ending->objects) {
		struct object *o = ending->objects;
		unsigned i;

		ending->objects = o->next;
		for (i = 0; i < o->count; i++)
			free(o->slots[i].name);
		for (i = 0; o->filter && o->filter[i]; i++)
			free(o->filter[i]);
		free(o->filter);
		free(o->slots);
		if (o->chars)
			memset(o->chars, 'X', strlen(o->chars));
		free(o->chars);
		free(o->ns);
		memset(o, 0xDD, sizeof *o);
		free(o);
	}
	free(ending->results.chars);
	free(ending->violations.chars);
}

/* Text as XML 1.0 and UTF-8 allow it. */
static void check_text(const char *chars)
{
	const unsigned char *c = (const unsigned char *)chars;

	for (; *c; c++) {
		int more = *c < 0x80 ? 0 : *c >= 0xC2 && *c < 0xE0 ? 1 : (*c & 0xF0) == 0xE0 ? 2 : *c >= 0xF0 && *c < 0xF5 ? 3 : -1;

		if (more < 0 || (*c < 32 && !strchr("\t\r\n", *c))) {
			violation("byte %#x in a text", *c);
			return;
		}
		if (*c == 0xED && c[1] >= 0xA0)
			violation("a surrogate in a text");
		for (; more; more--)
			if ((*++c & 0xC0) != 0x80) {
				violation("a broken UTF-8 sequence in a text");
				return;
			}
	}
}

static struct object *make_string(const char *chars)
{
	struct object *made = make(STRING);

	check_text(chars);
	made->chars = need(strdup(chars));
	return made;
}

static struct slot *slot_named(struct object *o, const char *name, int add)
{
	unsigned i;

	for (i = 0; i < o->count; i++)
		if (o->slots[i].name && !strcasecmp(o->slots[i].name, name))
			return &o->slots[i];
	if (!add)
		return NULL;
	o->slots = need(realloc(o->slots, (o->count + 1) * sizeof *o->slots));
	memset(&o->slots[o->count], 0, sizeof *o->slots);
	o->slots[o->count].name = need(strdup(name));
	return &o->slots[o->count++];
}

/* A deep copy of a value as it comes with its type; CMPI_chars becomes CMPI_string. */
static CMPIrc copy(CMPIData *to, const CMPIValue *value, CMPIType type);

static struct object *copy_object(struct object *from)
{
	struct object *made = make(from->kind);
	unsigned i;

	made->chars = from->chars ? need(strdup(from->chars)) : NULL;
	made->ns = from->ns ? need(strdup(from->ns)) : NULL;
	made->element = from->element;
	made->filtered = from->filtered;
	made->path = from->path ? copy_object(from->path) : NULL;
	made->slots = from->count ? need(calloc(from->count, sizeof *made->slots)) : NULL;
	made->count = from->count;
	for (i = 0; i < from->count; i++) {
		struct slot *s = &made->slots[i], *f = &from->slots[i];

		s->name = f->name ? need(strdup(f->name)) : NULL;
		s->set = f->set;
		if (f->data.state & CMPI_nullValue)
			s->data = f->data;
		else
			copy(&s->data, &f->data.value, f->data.type);
	}
	return made;
}

static CMPIrc copy(CMPIData *to, const CMPIValue *value, CMPIType type)
{
	static const enum kind kinds[] = {INSTANCE, PATH};
	struct object *found = NULL;

	memset(to, 0, sizeof *to);
	to->type = type == CMPI_chars ? CMPI_string : type;
	if (!value) {
		to->state = CMPI_nullValue;
		return CMPI_RC_OK;
	}
	if (type == CMPI_chars) {
		to->value.string = (CMPIString *)make_string((const char *)value);
		return CMPI_RC_OK;
	}
	if (type & CMPI_ARRAY)
		found = alive(value->array, ARRAY, NULL);
	else if (type == CMPI_string)
		found = alive(value->string, STRING, NULL);
	else if (type == CMPI_dateTime)
		found = alive(value->dateTime, DATETIME, NULL);
	else if (type == CMPI_ref || type == CMPI_instance)
		found = alive(value->ref, kinds[type == CMPI_ref], NULL);
	else {
		to->value = *value;
		return CMPI_RC_OK;
	}
	if (!found)
		return CMPI_RC_ERR_INVALID_HANDLE;
	if (type & CMPI_ARRAY && (found->element == CMPI_chars ? CMPI_string : found->element) != (type & ~CMPI_ARRAY)) {
		violation("an array of %s is handed over as one of %s", type_name(found->element), type_name(type));
		return CMPI_RC_ERR_TYPE_MISMATCH;
	}
	to->value.ref = (CMPIObjectPath *)copy_object(found);
	return CMPI_RC_OK;
}

static CMPIrc set_slot(struct object *o, const char *name, const CMPIValue *value, CMPIType type)
{
	CMPIData data;
	CMPIrc rc = copy(&data, value, type);
	struct slot *s;

	if (rc != CMPI_RC_OK)
		return rc;
	s = slot_named(o, name, 1);
	s->data = data;
	s->set = 1;
	return CMPI_RC_OK;
}

static CMPIData get_slot_at(struct object *o, CMPICount index, CMPIString **name, CMPIStatus *rc)
{
	CMPIData none = {CMPI_null, CMPI_notFound | CMPI_nullValue, {0}};

	if (!o || index >= o->count) {
		set_rc(rc, CMPI_RC_ERR_NO_SUCH_PROPERTY);
		return none;
	}
	if (name)
		*name = (CMPIString *)make_string(o->slots[index].name);
	return o->slots[index].data;
}

static CMPIData get_slot(struct object *o, const char *name, CMPIStatus *rc)
{
	struct slot *found = o ? slot_named(o, name, 0) : NULL;
	CMPIData none = {CMPI_null, CMPI_notFound | CMPI_nullValue, {0}};

	if (found)
		return found->data;
	set_rc(rc, CMPI_RC_ERR_NO_SUCH_PROPERTY);
	return none;
}

#define RELEASE_AND_CLONE(Type, name, kind) \
	static CMPIStatus name##_release(Type *self) { return release(self, kind); } \
	static Type *name##_clone(const Type *self, CMPIStatus *rc) \
	{ \
		(void)self; \
		violation("a " #name " is cloned: who releases it?"); \
		set_rc(rc, CMPI_RC_ERR_FAILED); \
		return NULL; \
	}

RELEASE_AND_CLONE(CMPIString, string, STRING)
RELEASE_AND_CLONE(CMPIArray, array, ARRAY)
RELEASE_AND_CLONE(CMPIDateTime, datetime, DATETIME)
RELEASE_AND_CLONE(CMPIObjectPath, path, PATH)
RELEASE_AND_CLONE(CMPIInstance, instance, INSTANCE)
RELEASE_AND_CLONE(CMPIArgs, args, ARGS)
RELEASE_AND_CLONE(CMPIContext, context, CONTEXT)
RELEASE_AND_CLONE(CMPIResult, result, RESULT)
RELEASE_AND_CLONE(CMPISelectExp, filter, FILTER)

static char *string_chars(const CMPIString *self, CMPIStatus *rc)
{
	struct object *o = alive(self, STRING, rc);

	return o ? o->chars : NULL;
}

static const CMPIStringFT string_ft = {1, string_release, string_clone, string_chars};

static CMPICount array_size(const CMPIArray *self, CMPIStatus *rc)
{
	struct object *o = alive(self, ARRAY, rc);

	return o ? o->count : 0;
}

static CMPIType array_type(const CMPIArray *self, CMPIStatus *rc)
{
	struct object *o = alive(self, ARRAY, rc);

	return o ? o->element : CMPI_null;
}

static CMPIData array_get(const CMPIArray *self, CMPICount index, CMPIStatus *rc)
{
	return get_slot_at(alive(self, ARRAY, rc), index, NULL, rc);
}

static CMPIStatus array_set(CMPIArray *self, CMPICount index, const CMPIValue *value, CMPIType type)
{
	struct object *o = alive(self, ARRAY, NULL);

	if (!o || index >= o->count)
		return status(CMPI_RC_ERR_NO_SUCH_PROPERTY);
	if (type != o->element) /* OpenPegasus refuses even chars for string */
		return status(CMPI_RC_ERR_TYPE_MISMATCH);
	return status(copy(&o->slots[index].data, value, type));
}

static const CMPIArrayFT array_ft = {1, array_release, array_clone, array_size, array_type, array_get, array_set};

static CMPIUint64 datetime_binary(const CMPIDateTime *self, CMPIStatus *rc)
{
	alive(self, DATETIME, rc);
	return 0;
}

static CMPIString *datetime_string(const CMPIDateTime *self, CMPIStatus *rc)
{
	struct object *o = alive(self, DATETIME, rc);

	return o ? (CMPIString *)make_string(o->chars) : NULL;
}

static CMPIBoolean datetime_interval(const CMPIDateTime *self, CMPIStatus *rc)
{
	struct object *o = alive(self, DATETIME, rc);

	return o && o->chars[21] == ':';
}

static const CMPIDateTimeFT datetime_ft = {1, datetime_release, datetime_clone, datetime_binary, datetime_string,
					   datetime_interval};

static CMPIStatus path_set_ns(CMPIObjectPath *self, const char *name)
{
	struct object *o = alive(self, PATH, NULL);

	if (o) {
		free(o->ns);
		o->ns = need(strdup(name));
	}
	return status(o ? CMPI_RC_OK : CMPI_RC_ERR_INVALID_HANDLE);
}

static CMPIString *path_ns(const CMPIObjectPath *self, CMPIStatus *rc)
{
	struct object *o = alive(self, PATH, rc);

	return o && o->ns ? (CMPIString *)make_string(o->ns) : NULL;
}

static CMPIStatus path_set_host(CMPIObjectPath *self, const char *name)
{
	(void)name;
	return status(alive(self, PATH, NULL) ? CMPI_RC_OK : CMPI_RC_ERR_INVALID_HANDLE);
}

static CMPIString *path_host(const CMPIObjectPath *self, CMPIStatus *rc)
{
	return alive(self, PATH, rc) ? (CMPIString *)make_string("host.example") : NULL;
}

static CMPIStatus path_set_class(CMPIObjectPath *self, const char *name)
{
	struct object *o = alive(self, PATH, NULL);

	if (o) {
		free(o->chars);
		o->chars = need(strdup(name));
	}
	return status(o ? CMPI_RC_OK : CMPI_RC_ERR_INVALID_HANDLE);
}

static CMPIString *path_class(const CMPIObjectPath *self, CMPIStatus *rc)
{
	struct object *o = alive(self, PATH, rc);

	return o ? (CMPIString *)make_string(o->chars) : NULL;
}

static CMPIType plain(CMPIType type) { return type == CMPI_chars ? CMPI_string : type; }

static CMPIStatus path_add(CMPIObjectPath *self, const char *name, const CMPIValue *value, CMPIType type)
{
	struct object *o = alive(self, PATH, NULL);
	struct json *cls = o ? class_named(o->chars) : NULL, *property = cls ? declared(cls, name) : NULL;

	if (!o)
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	if (!value)
		violation("key %s.%s is NULL", o->chars, name);
	if (cls && !property) {
		violation("class %s has no key %s", o->chars, name);
	} else if (cls && type_named(property->first->next->text) != plain(type)) {
		violation("key %s.%s is given as %s", o->chars, name, type_name(type));
	}
	return status(set_slot(o, name, value, type));
}

static CMPIData path_get(const CMPIObjectPath *self, const char *name, CMPIStatus *rc)
{
	return get_slot(alive(self, PATH, rc), name, rc);
}

static CMPIData path_get_at(const CMPIObjectPath *self, CMPICount index, CMPIString **name, CMPIStatus *rc)
{
	CMPIData found = get_slot_at(alive(self, PATH, rc), index, name, rc);

	if (found.state & CMPI_notFound) /* as OpenPegasus does for the keys of a class path */
		set_rc(rc, CMPI_RC_ERR_NO_SUCH_PROPERTY);
	return found;
}

static CMPICount path_count(const CMPIObjectPath *self, CMPIStatus *rc)
{
	struct object *o = alive(self, PATH, rc);

	return o ? o->count : 0;
}

static CMPIStatus path_take(CMPIObjectPath *self, const CMPIObjectPath *source)
{
	struct object *from = alive(source, PATH, NULL);

	return from && from->ns ? path_set_ns(self, from->ns) : status(CMPI_RC_ERR_FAILED);
}

static CMPIString *path_string(const CMPIObjectPath *self, CMPIStatus *rc)
{
	return path_class(self, rc);
}

static const CMPIObjectPathFT path_ft = {1, path_release, path_clone, path_set_ns, path_ns, path_set_host, path_host,
	path_set_class, path_class, path_add, path_get, path_get_at, path_count, path_take, path_take, NULL, NULL, NULL,
	NULL, path_string};

static CMPIData instance_get(const CMPIInstance *self, const char *name, CMPIStatus *rc)
{
	return get_slot(alive(self, INSTANCE, rc), name, rc);
}

static CMPIData instance_get_at(const CMPIInstance *self, CMPICount index, CMPIString **name, CMPIStatus *rc)
{
	return get_slot_at(alive(self, INSTANCE, rc), index, name, rc);
}

static CMPICount instance_count(const CMPIInstance *self, CMPIStatus *rc)
{
	struct object *o = alive(self, INSTANCE, rc);

	return o ? o->count : 0;
}

static int let_through(struct object *o, const char *name)
{
	unsigned i;

	for (i = 0; o->filter && o->filter[i]; i++)
		if (!strcasecmp(o->filter[i], name))
			return 1;
	return !o->filter;
}

static CMPIStatus instance_set(CMPIInstance *self, const char *name, const CMPIValue *value, CMPIType type)
{
	struct object *o = alive(self, INSTANCE, NULL);
	struct json *cls = o ? class_named(o->chars) : NULL, *property = cls ? declared(cls, name) : NULL;
	CMPIType wanted;

	if (!o)
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	if (!property) {
		violation("class %s has no property %s", o->chars, name);
		return status(CMPI_RC_OK);
	}
	wanted = type_named(property->first->next->text);
	/* an embedded instance may also come as text */
	if (plain(type) != wanted && !(wanted == CMPI_instance && plain(type) == CMPI_string)) {
		violation("property %s.%s is given as %s", o->chars, name, type_name(type));
		return status(CMPI_RC_ERR_INVALID_DATA_TYPE);
	}
	if (!let_through(o, name))
		return status(CMPI_RC_OK);
	return status(set_slot(o, name, value, type));
}

static CMPIObjectPath *instance_path(const CMPIInstance *self, CMPIStatus *rc)
{
	struct object *o = alive(self, INSTANCE, rc);

	return o ? (CMPIObjectPath *)copy_object(o->path) : NULL;
}

static CMPIStatus instance_filter(CMPIInstance *self, const char **properties, const char **keys)
{
	struct object *o = alive(self, INSTANCE, NULL);
	unsigned i, count = 0;

	if (!o)
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	for (i = 0; i < o->count; i++)
		if (o->slots[i].set == 1)
			violation("the property list comes after a property");
	if (!properties || !keys) {
		violation("a property list without list or keys");
		return status(CMPI_RC_ERR_INVALID_PARAMETER);
	}
	for (i = 0; properties[i]; i++)
		count++;
	for (i = 0; keys[i]; i++)
		count++;
	o->filter = need(calloc(count + 1, sizeof *o->filter));
	for (i = count = 0; properties[i]; i++)
		o->filter[count++] = need(strdup(properties[i]));
	for (i = 0; keys[i]; i++)
		o->filter[count++] = need(strdup(keys[i]));
	o->filtered = 1;
	return status(CMPI_RC_OK);
}

static CMPIStatus instance_set_path(CMPIInstance *self, const CMPIObjectPath *path)
{
	struct object *o = alive(self, INSTANCE, NULL), *p = alive(path, PATH, NULL);

	if (o && p)
		o->path = copy_object(p);
	return status(o && p ? CMPI_RC_OK : CMPI_RC_ERR_INVALID_HANDLE);
}

static const CMPIInstanceFT instance_ft = {1, instance_release, instance_clone, instance_get, instance_get_at,
	instance_count, instance_set, instance_path, instance_filter, instance_set_path};

static CMPIStatus args_add(CMPIArgs *self, const char *name, const CMPIValue *value, CMPIType type)
{
	struct object *o = alive(self, ARGS, NULL);

	return status(o ? set_slot(o, name, value, type) : CMPI_RC_ERR_INVALID_HANDLE);
}

static CMPIData args_get(const CMPIArgs *self, const char *name, CMPIStatus *rc)
{
	return get_slot(alive(self, ARGS, rc), name, rc);
}

static CMPIData args_get_at(const CMPIArgs *self, CMPICount index, CMPIString **name, CMPIStatus *rc)
{
	return get_slot_at(alive(self, ARGS, rc), index, name, rc);
}

static CMPICount args_count(const CMPIArgs *self, CMPIStatus *rc)
{
	struct object *o = alive(self, ARGS, rc);

	return o ? o->count : 0;
}

static const CMPIArgsFT args_ft = {1, args_release, args_clone, args_add, args_get, args_get_at, args_count};

static CMPIData context_get(const CMPIContext *self, const char *name, CMPIStatus *rc)
{
	return get_slot(alive(self, CONTEXT, rc), name, rc);
}

static CMPIData context_get_at(const CMPIContext *self, CMPICount index, CMPIString **name, CMPIStatus *rc)
{
	return get_slot_at(alive(self, CONTEXT, rc), index, name, rc);
}

static CMPICount context_count(const CMPIContext *self, CMPIStatus *rc)
{
	struct object *o = alive(self, CONTEXT, rc);

	return o ? o->count : 0;
}

static CMPIStatus context_add(const CMPIContext *self, const char *name, const CMPIValue *value, CMPIType type)
{
	struct object *o = alive(self, CONTEXT, NULL);

	return status(o ? set_slot(o, name, value, type) : CMPI_RC_ERR_INVALID_HANDLE);
}

static const CMPIContextFT context_ft = {1, context_release, context_clone, context_get, context_get_at, context_count,
	context_add};

static CMPIBoolean filter_evaluate(const CMPISelectExp *self, const CMPIInstance *instance, CMPIStatus *rc)
{
	alive(self, FILTER, rc);
	return alive(instance, INSTANCE, NULL) != NULL;
}

static CMPIString *filter_string(const CMPISelectExp *self, CMPIStatus *rc)
{
	struct object *o = alive(self, FILTER, rc);

	return o ? (CMPIString *)make_string(o->chars) : NULL;
}

static const CMPISelectExpFT filter_ft = {1, filter_release, filter_clone, filter_evaluate, filter_string};

/* --- results ------------------------------------------------------------------------------------- */

static void put_slots(struct text *t, struct object *o);

static void put_path(struct text *t, struct object *o)
{
	put(t, "{\"class\":");
	put_string(t, o->chars);
	put(t, ",\"ns\":");
	put_string(t, o->ns);
	put(t, ",\"keys\":");
	put_slots(t, o);
	put(t, "}");
}

static void put_instance(struct text *t, struct object *o)
{
	put(t, "{\"path\":");
	put_path(t, o->path);
	put(t, ",\"properties\":");
	put_slots(t, o);
	put(t, "}");
}

static void put_data(struct text *t, const CMPIData *d)
{
	unsigned i;
	struct object *o = (struct object *)d->value.ref;
	const CMPIValue *v = &d->value;

	if (d->state & CMPI_nullValue) {
		put(t, "null");
		return;
	}
	if (d->type & CMPI_ARRAY) {
		put(t, "[");
		for (i = 0; i < o->count; i++) {
			put(t, "%s", i ? "," : "");
			put_data(t, &o->slots[i].data);
		}
		put(t, "]");
		return;
	}
	switch (d->type) {
	case CMPI_boolean: put(t, v->boolean ? "true" : "false"); break;
	case CMPI_char16: put(t, "%u", v->char16); break;
	case CMPI_uint8: put(t, "%u", v->uint8); break;
	case CMPI_uint16: put(t, "%u", v->uint16); break;
	case CMPI_uint32: put(t, "%u", v->uint32); break;
	case CMPI_uint64: put(t, "%llu", (unsigned long long)v->uint64); break;
	case CMPI_sint8: put(t, "%d", v->sint8); break;
	case CMPI_sint16: put(t, "%d", v->sint16); break;
	case CMPI_sint32: put(t, "%d", v->sint32); break;
	case CMPI_sint64: put(t, "%lld", (long long)v->sint64); break;
	case CMPI_real32: put(t, "%.9g", v->real32); break;
	case CMPI_real64: put(t, "%.17g", v->real64); break;
	case CMPI_string:
	case CMPI_dateTime: put_string(t, o->chars); break;
	case CMPI_ref: put_path(t, o); break;
	case CMPI_instance: put_instance(t, o); break;
	default: violation("a value of type %#x", d->type); put(t, "null");
	}
}

static void put_slots(struct text *t, struct object *o)
{
	unsigned i;

	put(t, "[");
	for (i = 0; i < o->count; i++) {
		const CMPIData *d = &o->slots[i].data;

		put(t, "%s[", i ? "," : "");
		put_string(t, o->slots[i].name);
		put(t, ",\"%s%s\",", type_name(d->type), d->type & CMPI_ARRAY ? "[]" : "");
		put_data(t, d);
		put(t, "]");
	}
	put(t, "]");
}

static int may_return(const CMPIResult *self, int what)
{
	if (!alive(self, RESULT, NULL))
		return 0;
	if (call->returned > call->wanted)
		violation("something is returned although the last was refused");
	if (call->returned == call->wanted) {
		call->returned++;
		return 0;
	}
	if (call->done)
		violation("something is returned after the end of the answer");
	if (call->returning != what)
		violation("this operation returns something else");
	put(&call->results, "%s", call->returned++ ? "," : "");
	return 1;
}

static CMPIStatus return_data(const CMPIResult *self, const CMPIValue *value, CMPIType type)
{
	CMPIData data;
	CMPIrc rc;

	if (!may_return(self, 'd'))
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	if (type == CMPI_ref)
		violation("returnData with a reference ends SFCB");
	rc = copy(&data, value, type);
	if (rc != CMPI_RC_OK)
		return status(rc);
	put(&call->results, "[\"%s%s\",", type_name(data.type), data.type & CMPI_ARRAY ? "[]" : "");
	put_data(&call->results, &data);
	put(&call->results, "]");
	return status(CMPI_RC_OK);
}

static void check_keys(struct object *path)
{
	struct json *cls = class_named(path->chars), *key;

	for (key = cls ? member(cls, "keys")->first : NULL; key; key = key->next)
		if (!slot_named(path, key->text, 0))
			violation("a path of %s lacks the key %s", path->chars, key->text);
	if (!path->ns || !*path->ns)
		violation("a path of %s has no namespace", path->chars);
}

static void check_instance(struct object *o)
{
	unsigned i;

	check_keys(o->path);
	for (i = 0; i < o->count; i++)
		if (!o->slots[i].set && !o->filter)
			violation("property %s.%s stays at what the host preset", o->chars, o->slots[i].name);
}

static CMPIStatus return_instance(const CMPIResult *self, const CMPIInstance *instance)
{
	struct object *o = alive(instance, INSTANCE, NULL);

	if (!o || !may_return(self, 'i'))
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	check_instance(o);
	put_instance(&call->results, o);
	return status(CMPI_RC_OK);
}

static CMPIStatus return_path(const CMPIResult *self, const CMPIObjectPath *path)
{
	struct object *o = alive(path, PATH, NULL);

	if (!o || !may_return(self, 'p'))
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	check_keys(o);
	put_path(&call->results, o);
	o->given |= call->keeps;
	return status(CMPI_RC_OK);
}

static CMPIStatus return_done(const CMPIResult *self)
{
	if (alive(self, RESULT, NULL) && call->done++)
		violation("the end of the answer comes twice");
	return status(CMPI_RC_OK);
}

static const CMPIResultFT result_ft = {1, result_release, result_clone, return_data, return_instance, return_path,
	return_done};

/* --- the broker ---------------------------------------------------------------------------------- */

static void check_broker(const CMPIBroker *broker)
{
	if (!call || broker != call->broker)
		violation("the broker of another provider is used");
}

static CMPIInstance *new_instance(const CMPIBroker *broker, const CMPIObjectPath *path, CMPIStatus *rc)
{
	struct object *p = alive(path, PATH, rc), *made;
	struct json *cls, *property;
	unsigned i;

	check_broker(broker);
	if (!p)
		return NULL;
	cls = class_named(p->chars);
	if (!cls) {
		violation("an instance of class %s, which the host does not know", p->chars);
		set_rc(rc, CMPI_RC_ERR_NOT_FOUND);
		return NULL;
	}
	made = make(INSTANCE);
	made->chars = need(strdup(p->chars));
	made->path = copy_object(p);
	for (property = member(cls, "properties")->first; property; property = property->next) {
		struct slot *s = slot_named(made, property->first->text, 1);

		s->data.type = type_named(property->first->next->text);
		s->data.state = CMPI_nullValue;
	}
	for (i = 0; i < p->count; i++) {
		struct slot *s = slot_named(made, p->slots[i].name, 1);

		s->data = made->path->slots[i].data;
		s->set = 2;
	}
	return (CMPIInstance *)made;
}

static CMPIObjectPath *new_path(const CMPIBroker *broker, const char *ns, const char *classname, CMPIStatus *rc)
{
	struct object *made = make(PATH);

	check_broker(broker);
	set_rc(rc, CMPI_RC_OK);
	if (!ns || !classname)
		violation("a path without namespace or class");
	made->chars = need(strdup(classname ? classname : ""));
	made->ns = need(strdup(ns ? ns : ""));
	return (CMPIObjectPath *)made;
}

static CMPIArgs *new_args(const CMPIBroker *broker, CMPIStatus *rc)
{
	check_broker(broker);
	set_rc(rc, CMPI_RC_OK);
	return (CMPIArgs *)make(ARGS);
}

static CMPIString *new_string(const CMPIBroker *broker, const char *text, CMPIStatus *rc)
{
	check_broker(broker);
	set_rc(rc, CMPI_RC_OK);
	return (CMPIString *)make_string(text ? text : "");
}

static CMPIArray *new_array(const CMPIBroker *broker, CMPICount size, CMPIType type, CMPIStatus *rc)
{
	struct object *made = make(ARRAY);
	unsigned i;

	check_broker(broker);
	set_rc(rc, CMPI_RC_OK);
	made->element = type;
	made->slots = need(calloc(size ? size : 1, sizeof *made->slots));
	made->count = size;
	for (i = 0; i < size; i++) {
		made->slots[i].data.type = plain(type);
		made->slots[i].data.state = CMPI_nullValue;
	}
	return (CMPIArray *)made;
}

static CMPIDateTime *new_datetime_from(const CMPIBroker *broker, const char *text, CMPIStatus *rc)
{
	struct object *made;

	check_broker(broker);
	set_rc(rc, CMPI_RC_OK);
	if (!text || strlen(text) != 25 || text[14] != '.' || !strchr("+-:", text[21]) ||
	    strspn(text, "0123456789*.") < 21) {
		set_rc(rc, CMPI_RC_ERR_INVALID_PARAMETER);
		return NULL;
	}
	made = make(DATETIME);
	made->chars = need(strdup(text));
	return (CMPIDateTime *)made;
}

static CMPIDateTime *new_datetime(const CMPIBroker *broker, CMPIStatus *rc)
{
	return new_datetime_from(broker, "20000101000000.000000+000", rc);
}

static CMPIDateTime *new_datetime_binary(const CMPIBroker *broker, CMPIUint64 time, CMPIBoolean interval,
					 CMPIStatus *rc)
{
	(void)time;
	return new_datetime_from(broker, interval ? "00000000000000.000000:000" : "20000101000000.000000+000", rc);
}

static const CMPIBrokerEncFT enc_ft = {1, new_instance, new_path, new_args, new_string, new_array, new_datetime,
	new_datetime_binary, new_datetime_from, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};

/* --- threads of the plugin's own ------------------------------------------------------------------ */

/* A context for a thread: prepared in a call, attached once, gone when it is detached. */
struct attachment {
	struct object context; /* first: the plugin's CMPIContext is this */
	const CMPIBroker *broker;
	int attached;
	struct call call;
};

static pthread_mutex_t delivery_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t delivery_changed = PTHREAD_COND_INITIALIZER;
static struct text delivered, thread_violations;
static int delivered_count, attachments, enabled;
static long delivery_millis;

static CMPIContext *prepare_thread(const CMPIBroker *broker, const CMPIContext *ctx)
{
	struct attachment *made;

	check_broker(broker);
	if (!alive(ctx, CONTEXT, NULL))
		return NULL;
	made = need(calloc(1, sizeof *made));
	made->context.hdl = made;
	made->context.ft = &context_ft;
	made->context.magic = MAGIC;
	made->context.kind = CONTEXT;
	made->context.given = 1;
	made->broker = broker;
	pthread_mutex_lock(&delivery_lock);
	attachments++;
	pthread_mutex_unlock(&delivery_lock);
	return (CMPIContext *)made;
}

static CMPIStatus attach_thread(const CMPIBroker *broker, const CMPIContext *ctx)
{
	struct attachment *a = (struct attachment *)ctx;

	if (call || !a || a->context.magic != MAGIC || a->attached || a->broker != broker) {
		fprintf(stderr, "host: a thread is attached with a context that isn't prepared for it\n");
		abort();
	}
	a->attached = 1;
	a->context.owner = pthread_self();
	a->call.broker = broker;
	call = &a->call;
	return status(CMPI_RC_OK);
}

static CMPIStatus detach_thread(const CMPIBroker *broker, const CMPIContext *ctx)
{
	struct attachment *a = (struct attachment *)ctx;

	if (!a || call != &a->call || a->broker != broker) {
		fprintf(stderr, "host: a thread is detached that isn't attached like this\n");
		abort();
	}
	pthread_mutex_lock(&delivery_lock);
	if (call->violations.used)
		put(&thread_violations, "%s%s", thread_violations.used ? "," : "", call->violations.chars);
	attachments--;
	pthread_cond_broadcast(&delivery_changed);
	pthread_mutex_unlock(&delivery_lock);
	end_call(call);
	call = NULL;
	memset(a, 0xDD, sizeof *a);
	free(a);
	return status(CMPI_RC_OK);
}

static void sleep_millis(long millis)
{
	struct timespec time = {millis / 1000, millis % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static CMPIStatus deliver(const CMPIBroker *broker, const CMPIContext *ctx, const char *ns,
			  const CMPIInstance *indication)
{
	struct object *o = alive(indication, INSTANCE, NULL);
	struct text shown = {0};
	int taken;

	check_broker(broker);
	if (!alive(ctx, CONTEXT, NULL) || !o)
		return status(CMPI_RC_ERR_INVALID_HANDLE);
	check_instance(o);
	if (!ns || !o->path->ns || strcmp(ns, o->path->ns))
		violation("an indication is delivered into another namespace than its own");
	put_instance(&shown, o);
	pthread_mutex_lock(&delivery_lock);
	taken = enabled;
	if (taken) {
		put(&delivered, "%s%s", delivered_count++ ? "," : "", shown.chars);
		pthread_cond_broadcast(&delivery_changed);
	}
	pthread_mutex_unlock(&delivery_lock);
	free(shown.chars);
	sleep_millis(delivery_millis);
	return status(taken ? CMPI_RC_OK : CMPI_RC_ERR_FAILED); /* as OpenPegasus does */
}

/* Prints [indications, violations of the threads, contexts in use] once there are `count` indications and
 * no more than `contexts` contexts in use, or `seconds` have passed. */
static void show_delivered(long count, long contexts, long seconds)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += seconds;
	pthread_mutex_lock(&delivery_lock);
	while (delivered_count < count || attachments > contexts)
		if (pthread_cond_timedwait(&delivery_changed, &delivery_lock, &until))
			break;
	printf("[[%s],[%s],%d]\n", delivered.chars ? delivered.chars : "",
	       thread_violations.chars ? thread_violations.chars : "", attachments);
	free(delivered.chars);
	free(thread_violations.chars);
	memset(&delivered, 0, sizeof delivered);
	memset(&thread_violations, 0, sizeof thread_violations);
	delivered_count = 0;
	pthread_mutex_unlock(&delivery_lock);
}

static const CMPIBrokerFT broker_ft = {.brokerCapabilities = 0x1bf, .brokerVersion = 0, .brokerName = "strict host",
	.prepareAttachThread = prepare_thread, .attachThread = attach_thread, .detachThread = detach_thread,
	.deliverIndication = deliver};

/* OpenPegasus has one broker for each provider. */
static const CMPIBroker brokers[4] = {
	{NULL, &broker_ft, &enc_ft, NULL, NULL}, {NULL, &broker_ft, &enc_ft, NULL, NULL},
	{NULL, &broker_ft, &enc_ft, NULL, NULL}, {NULL, &broker_ft, &enc_ft, NULL, NULL},
};

/* --- requests ------------------------------------------------------------------------------------ */

static void *library;
static pthread_mutex_t mis_lock = PTHREAD_MUTEX_INITIALIZER;
static void *mis[4];
static const char *const MI_KINDS[] = {"Instance", "Association", "Method", "Indication"};

static void fill(struct object *o, struct json *slots);
static struct object *path_from(struct json *j);

static void data_from(CMPIData *d, CMPIType type, struct json *j)
{
	struct object *o;
	struct json *e;
	unsigned i = 0;

	memset(d, 0, sizeof *d);
	d->type = type;
	if (!j || j->kind == J_NULL) {
		d->state = type == CMPI_null ? CMPI_nullValue | CMPI_notFound : CMPI_nullValue;
	} else if (type & CMPI_ARRAY) {
		o = make(ARRAY);
		o->element = type & ~CMPI_ARRAY;
		for (e = j->first; e; e = e->next)
			o->count++;
		o->slots = need(calloc(o->count ? o->count : 1, sizeof *o->slots));
		for (e = j->first; e; e = e->next)
			data_from(&o->slots[i++].data, o->element, e);
		d->value.array = (CMPIArray *)o;
	} else if (type == CMPI_ref) {
		d->value.ref = (CMPIObjectPath *)path_from(j);
	} else if (type == CMPI_instance) {
		o = make(INSTANCE);
		o->chars = need(strdup(string(j, "class")));
		o->path = make(PATH);
		o->path->chars = need(strdup(o->chars));
		o->path->given = 1;
		fill(o, member(j, "properties"));
		d->value.inst = (CMPIInstance *)o;
	} else if (type == CMPI_string) {
		o = make(STRING);
		o->chars = need(strdup(j->text));
		d->value.string = (CMPIString *)o;
	} else if (type == CMPI_dateTime) {
		o = make(DATETIME);
		o->chars = need(strdup(j->text));
		d->value.dateTime = (CMPIDateTime *)o;
	} else if (type == CMPI_boolean) {
		d->value.boolean = j->kind == J_TRUE;
	} else if (type == CMPI_real32) {
		d->value.real32 = strtof(j->text, NULL);
	} else if (type == CMPI_real64) {
		d->value.real64 = strtod(j->text, NULL);
	} else if (j->text[0] == '-') {
		d->value.sint64 = strtoll(j->text, NULL, 10);
	} else {
		d->value.uint64 = strtoull(j->text, NULL, 10);
	}
	if (call->objects && !(d->state & CMPI_nullValue) && (type & (CMPI_ARRAY | 0x1000)))
		((struct object *)d->value.ref)->given = 1;
}

static void fill(struct object *o, struct json *slots)
{
	struct json *j;

	for (j = slots ? slots->first : NULL; j; j = j->next)
		data_from(&slot_named(o, j->first->text, 1)->data, type_named(j->first->next->text), j->first->next->next);
}

static struct object *path_from(struct json *j)
{
	struct object *made = make(PATH);

	made->given = 1;
	made->chars = need(strdup(string(j, "class")));
	made->ns = string(j, "ns") ? need(strdup(string(j, "ns"))) : NULL;
	fill(made, member(j, "keys"));
	return made;
}

static const char **names_from(struct json *j)
{
	struct json *e;
	const char **made;
	unsigned count = 0;

	if (!j)
		return NULL;
	for (e = j->first; e; e = e->next)
		count++;
	made = need(calloc(count + 1, sizeof *made));
	for (count = 0, e = j->first; e; e = e->next)
		made[count++] = e->text;
	return made;
}

/* The MI of a kind; NULL with the factory's status. */
static void *mi_of(int kind, CMPIStatus *rc)
{
	char name[64];
	void *(*factory)(const CMPIBroker *, const CMPIContext *, const char *, CMPIStatus *);
	void *made;

	set_rc(rc, CMPI_RC_OK);
	pthread_mutex_lock(&mis_lock);
	made = mis[kind];
	pthread_mutex_unlock(&mis_lock);
	if (made)
		return made;
	snprintf(name, sizeof name, "_Generic_Create_%sMI", MI_KINDS[kind]);
	*(void **)&factory = dlsym(library, name);
	if (!factory) {
		rc->rc = 99;
		return NULL;
	}
	made = factory(&brokers[kind], (CMPIContext *)make(CONTEXT), "libvirtcim", rc);
	if (made && rc->rc != CMPI_RC_OK)
		violation("a factory returns an MI and an error");
	if (!made && (rc->rc == CMPI_RC_OK || !rc->msg))
		violation("a factory fails without code or message");
	if (made) {
		/* all tables begin alike, and no slot may be empty */
		static const int slots[] = {8, 5, 2, 7};
		const CMPIInstanceMIFT *ft = ((CMPIInstanceMI *)made)->ft;
		int i;

		if (ft->ftVersion < 100 || ft->miVersion < 100 || !ft->miName)
			violation("versions or name of an MI");
		for (i = 0; i < slots[kind]; i++)
			if (!((void *const *)&ft->cleanup)[i])
				violation("slot %d of the %s table is empty", i, MI_KINDS[kind]);
		pthread_mutex_lock(&mis_lock);
		mis[kind] = made;
		pthread_mutex_unlock(&mis_lock);
	}
	return made;
}

static double micros(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static CMPIStatus perform_indication(CMPIIndicationMI *mi, const char *op, const CMPIContext *ctx,
				     const CMPISelectExp *filter, const CMPIObjectPath *path)
{
	const CMPIIndicationMIFT *ft = mi->ft;
	const char *classname = path ? ((struct object *)path)->chars : NULL;
	int enabling = !strcmp(op, "enableIndications");

	if (!strcmp(op, "authorizeFilter"))
		return ft->authorizeFilter(mi, ctx, filter, classname, path, "owner");
	if (!strcmp(op, "mustPoll"))
		return ft->mustPoll(mi, ctx, filter, classname, path);
	/* first and last as little to be relied on as with SFCB */
	if (!strcmp(op, "activateFilter"))
		return ft->activateFilter(mi, ctx, filter, classname, path, 1);
	if (!strcmp(op, "deActivateFilter"))
		return ft->deActivateFilter(mi, ctx, filter, classname, path, 1);
	pthread_mutex_lock(&delivery_lock);
	enabled = enabling;
	pthread_mutex_unlock(&delivery_lock);
	return enabling ? ft->enableIndications(mi, ctx) : ft->disableIndications(mi, ctx);
}

/* Carries out one operation; the answer's text is the caller's. */
static char *perform(struct json *r, double *took)
{
	static const struct {
		const char *op;
		int kind, returning;
	} ops[] = {
		{"factory", 0, 0}, {"enumerateInstanceNames", 0, 'p'}, {"enumerateInstances", 0, 'i'},
		{"getInstance", 0, 'i'}, {"createInstance", 0, 'p'}, {"modifyInstance", 0, 0}, {"deleteInstance", 0, 0},
		{"execQuery", 0, 0}, {"associators", 1, 'i'}, {"associatorNames", 1, 'p'}, {"references", 1, 'i'},
		{"referenceNames", 1, 'p'}, {"invokeMethod", 2, 'd'}, {"authorizeFilter", 3, 0}, {"mustPoll", 3, 0},
		{"activateFilter", 3, 0}, {"deActivateFilter", 3, 0}, {"enableIndications", 3, 0},
		{"disableIndications", 3, 0},
	};
	struct call mine = {0};
	struct text answer = {0};
	CMPIStatus rc = {CMPI_RC_OK, NULL};
	const char *op = string(r, "op"), **names = names_from(member(r, "properties"));
	const char *ac = string(r, "assocClass"), *rcl = string(r, "resultClass"), *role = string(r, "role"),
		   *rrole = string(r, "resultRole");
	struct object *ctx, *result, *path = NULL, *in, *out, *filter;
	CMPIData instance = {0};
	double began;
	void *mi;
	int at = 0, kind, of = sizeof ops / sizeof *ops;

	while (at < of && strcmp(ops[at].op, op))
		at++;
	if (at == of) {
		fprintf(stderr, "host: no operation %s\n", op);
		exit(64);
	}
	kind = at ? ops[at].kind : (int)number(r, "kind", 0);
	call = &mine;
	mine.broker = &brokers[kind];
	mine.returning = ops[at].returning;
	mine.wanted = number(r, "wanted", LONG_MAX);
	ctx = make(CONTEXT);
	ctx->given = 1;
	result = make(RESULT);
	result->given = 1;
	in = make(ARGS);
	out = make(ARGS);
	in->given = out->given = 1;
	filter = make(FILTER);
	filter->given = 1;
	filter->chars = need(strdup(string(r, "filter") ? string(r, "filter") : ""));
	data_from(&slot_named(ctx, "CMPIPrincipal", 1)->data, CMPI_string, member(r, "user"));
	if (member(r, "path"))
		path = path_from(member(r, "path"));
	fill(in, member(r, "args"));
	if (member(r, "instance")) {
		data_from(&instance, CMPI_instance, member(r, "instance"));
		free(((struct object *)instance.value.inst)->path->ns);
		((struct object *)instance.value.inst)->path->ns = path && path->ns ? need(strdup(path->ns)) : NULL;
	}
	began = micros();
	mi = mi_of(kind, &rc);
	if (at)
		began = micros();
#define CALL(Kind, function, ...) \
	((CMPI##Kind##MI *)mi)->ft->function(mi, (CMPIContext *)ctx, (CMPIResult *)result, (CMPIObjectPath *)path, ##__VA_ARGS__)
	if (mi) {
		switch (at) {
		case 0: mine.done = 1; break;
		case 1: rc = CALL(Instance, enumerateInstanceNames); break;
		case 2: rc = CALL(Instance, enumerateInstances, names); break;
		case 3: rc = CALL(Instance, getInstance, names); break;
		case 4: mine.keeps = 1; rc = CALL(Instance, createInstance, instance.value.inst); break;
		case 5: rc = CALL(Instance, modifyInstance, instance.value.inst, names); break;
		case 6: rc = CALL(Instance, deleteInstance); break;
		case 7: rc = CALL(Instance, execQuery, "SELECT * FROM X", "WQL"); break;
		case 8: rc = CALL(Association, associators, ac, rcl, role, rrole, names); break;
		case 9: rc = CALL(Association, associatorNames, ac, rcl, role, rrole); break;
		case 10: rc = CALL(Association, references, rcl, role, names); break;
		case 11: rc = CALL(Association, referenceNames, rcl, role); break;
		case 12: rc = CALL(Method, invokeMethod, string(r, "method"), (CMPIArgs *)in, (CMPIArgs *)out); break;
		}
		if (kind == 3 && at)
			rc = perform_indication(mi, op, (CMPIContext *)ctx, (CMPISelectExp *)filter, (CMPIObjectPath *)path);
		else if (rc.rc == CMPI_RC_OK && !mine.done)
			violation("success without the end of the answer");
	}
	*took = micros() - began;
	put(&answer, "{\"rc\":%d,\"msg\":", rc.rc);
	if (rc.msg && alive(rc.msg, STRING, NULL))
		put_string(&answer, ((struct object *)rc.msg)->chars);
	else
		put(&answer, "null");
	put(&answer, ",\"results\":[%s],\"out\":", mine.results.chars ? mine.results.chars : "");
	put_slots(&answer, out);
	put(&answer, ",\"violations\":[%s]}", mine.violations.chars ? mine.violations.chars : "");
	free(names);
	end_call(&mine);
	call = NULL;
	return answer.chars;
}

struct job {
	struct json *request;
	pthread_t thread;
	char *answer;
	double least;
	long different;
};

static void *work(void *argument)
{
	struct job *job = argument;
	long i, times = number(job->request, "repeat", 1);

	for (i = 0; i < times; i++) {
		double took;
		char *answer = perform(job->request, &took);

		if (!i || took < job->least)
			job->least = took;
		if (!job->answer) {
			job->answer = answer;
		} else {
			job->different += strcmp(answer, job->answer) != 0;
			free(answer);
		}
	}
	return NULL;
}

/* Every request in a thread of its own that ends with it, as in SFCB. */
static void run(struct json *first)
{
	struct json *r;
	struct job *jobs;
	unsigned i, count = 0;

	for (r = first; r; r = r->next)
		count++;
	jobs = need(calloc(count, sizeof *jobs));
	for (i = 0, r = first; r; r = r->next, i++) {
		jobs[i].request = r;
		if (pthread_create(&jobs[i].thread, NULL, work, &jobs[i])) {
			fprintf(stderr, "host: no more threads\n");
			exit(71);
		}
	}
	printf("[");
	for (i = 0; i < count; i++) {
		pthread_join(jobs[i].thread, NULL);
		printf("%s{\"micros\":%.1f,\"different\":%ld,\"answer\":%s}", i ? "," : "", jobs[i].least,
		       jobs[i].different, jobs[i].answer);
		free(jobs[i].answer);
	}
	printf("]\n");
	free(jobs);
}

/* Cleans up all MIs and prints the codes; one that is refused stays. */
static void cleanup(int terminating)
{
	struct call mine = {0};
	int i;

	printf("[");
	for (i = 0; i < 4; i++) {
		CMPIInstanceMI *mi = mis[i]; /* cleanup is the first function of every table */
		CMPIStatus rc = {CMPI_RC_OK, NULL};

		call = &mine;
		mine.broker = &brokers[i];
		if (mi)
			rc = mi->ft->cleanup(mi, (CMPIContext *)make(CONTEXT), terminating);
		if (rc.rc != CMPI_RC_DO_NOT_UNLOAD && rc.rc != CMPI_RC_NEVER_UNLOAD)
			mis[i] = NULL;
		else if (terminating)
			fprintf(stderr, "host: a cleanup that can't be refused is refused\n");
		printf("%s%d", i ? "," : "", rc.rc);
	}
	printf("]\n");
	end_call(&mine);
	call = NULL;
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t size = 0;

	if (argc != 2 || !(library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL))) {
		fprintf(stderr, "host: %s\n", argc == 2 ? dlerror() : "name one library");
		return 64;
	}
	while (getline(&line, &size, stdin) > 0) {
		const char *at = line;
		struct json *r = read_json(&at);
		const char *op = string(r, "op");

		if (r->kind == J_ARRAY) {
			run(r->first);
		} else if (!strcmp(op, "class") && class_count < MAX_CLASSES) {
			classes[class_count++] = r;
			r = NULL;
			printf("[]\n");
		} else if (!strcmp(op, "cleanup")) {
			cleanup(member(r, "refusable") == NULL);
		} else if (!strcmp(op, "indications")) {
			show_delivered(number(r, "count", 0), number(r, "contexts", 1000), number(r, "seconds", 10));
		} else if (!strcmp(op, "slowDelivery")) {
			delivery_millis = number(r, "millis", 0);
			printf("[]\n");
		} else if (!strcmp(op, "unload")) {
			printf("[%d]\n", dlclose(library));
			library = need(dlopen(argv[1], RTLD_NOW | RTLD_LOCAL));
		} else {
			run(r);
		}
		fflush(stdout);
		free_json(r);
	}
	while (class_count)
		free_json(classes[--class_count]);
	free(line);
	return 0;
}
