/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * The door through which a CIM server enters: four factories, and Python started behind them.
 *
 * Python runs in a thread of its own that never ends, because CIM servers call the first factory from
 * a request thread that does, and Python's idea of its main thread would end with it. Python is never
 * finalized: its extension modules can't be started twice, and threads of libvirt's event loop would be
 * caught in the middle. The library therefore stays mapped (-z nodelete).
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmpi.h"
#include "adapter.h"
#undef PyInit_adapter /* the generated header marks it deprecated; it is called below, after start-up */

#ifndef LIBVIRTCIM_PYTHON
#error "LIBVIRTCIM_PYTHON: path of the Python program whose modules are used"
#endif
#ifndef LIBVIRTCIM_CONFIG
#define LIBVIRTCIM_CONFIG "/etc/libvirtcim.toml"
#endif

#define EXPORTED __attribute__((visibility("default")))
#define MI_VERSION 200

PyMODINIT_FUNC PyInit_adapter(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum { ABSENT, IDLE, ASKED, RUNNING, BROKEN } state = ABSENT;
static char problem[512];

/* Extension modules aren't linked to libpython; they find its symbols only in the global scope. */
static void promote_libpython(void)
{
	Dl_info info;

	if (dladdr((void *)&Py_InitializeFromConfig, &info) && info.dli_fname)
		dlopen(info.dli_fname, RTLD_LAZY | RTLD_GLOBAL | RTLD_NOLOAD);
}

/* Loading libvirt takes as long as starting Python. What fails here, Python's libvirt module reports. */
static void load_libvirt(void)
{
	dlopen("libvirt.so.0", RTLD_NOW | RTLD_LOCAL);
}

/* Writing to a connection that libvirtd has closed must not end a CIM server that leaves the default. */
static void ignore_sigpipe(void)
{
	struct sigaction now;

	if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static int start_python(void)
{
	PyConfig config;
	PyStatus status;
	PyObject *signal_module;
	struct sigaction interrupt;
	int known;

	if (Py_IsInitialized()) /* another plugin of this process was first */
		return 0;
	known = sigaction(SIGINT, NULL, &interrupt) == 0;
	PyConfig_InitIsolatedConfig(&config);
	config.install_signal_handlers = 0;
	config.parse_argv = 0;
	status = PyConfig_SetBytesString(&config, &config.program_name, LIBVIRTCIM_PYTHON);
	if (!PyStatus_Exception(status))
		status = Py_InitializeFromConfig(&config);
	PyConfig_Clear(&config);
	if (PyStatus_Exception(status)) {
		snprintf(problem, sizeof problem, "Python %s can't be started: %s", LIBVIRTCIM_PYTHON,
			 status.err_msg ? status.err_msg : "no reason given");
		return -1;
	}
	/* the signal module takes SIGINT when it is first imported and finds the default: give it back */
	signal_module = PyImport_ImportModule("_signal");
	if (!signal_module)
		PyErr_Clear();
	Py_XDECREF(signal_module);
	if (known)
		sigaction(SIGINT, &interrupt, NULL);
	PyEval_SaveThread();
	return 0;
}

static void describe_python_error(const char *what)
{
	PyObject *type, *value, *traceback, *text;
	const char *chars = NULL;

	PyErr_Fetch(&type, &value, &traceback);
	PyErr_NormalizeException(&type, &value, &traceback);
	text = value ? PyObject_Str(value) : NULL;
	if (text)
		chars = PyUnicode_AsUTF8(text);
	snprintf(problem, sizeof problem, "%s: %s: %s", what, type ? ((PyTypeObject *)type)->tp_name : "error",
		 chars ? chars : "no reason given");
	PyErr_Clear();
	Py_XDECREF(text);
	Py_XDECREF(type);
	Py_XDECREF(value);
	Py_XDECREF(traceback);
}

/* The adapter is linked in, and Python may have been running already: too late for the inittab. */
static int load_adapter(void)
{
	static const char name[] = "libvirtcim.cmpi.adapter";
	PyObject *machinery = NULL, *spec = NULL, *module = NULL, *def = NULL;
	int result = -1;

	def = PyInit_adapter();
	machinery = PyImport_ImportModule("importlib.machinery");
	if (machinery)
		spec = PyObject_CallMethod(machinery, "ModuleSpec", "sO", name, Py_None);
	if (def && spec)
		module = PyModule_FromDefAndSpec((PyModuleDef *)def, spec);
	if (module && PyDict_SetItemString(PyImport_GetModuleDict(), name, module) == 0) {
		result = PyModule_ExecDef(module, (PyModuleDef *)def);
		if (result != 0) {
			describe_python_error("libvirtcim can't be loaded into " LIBVIRTCIM_PYTHON);
			PyDict_DelItemString(PyImport_GetModuleDict(), name);
			PyErr_Clear();
		}
	} else {
		describe_python_error("libvirtcim can't be loaded into " LIBVIRTCIM_PYTHON);
	}
	Py_XDECREF(module);
	Py_XDECREF(spec);
	Py_XDECREF(machinery);
	return result;
}

/* Starts Python, loads the adapter when asked to (again, where it failed), and stays. */
static void *python_thread(void *unused)
{
	int started = start_python() == 0;

	(void)unused;
	pthread_mutex_lock(&lock);
	while (started && state != RUNNING) {
		PyGILState_STATE gil;
		int loaded;

		while (state != ASKED)
			pthread_cond_wait(&changed, &lock);
		pthread_mutex_unlock(&lock);
		gil = PyGILState_Ensure();
		loaded = load_adapter() == 0;
		PyGILState_Release(gil);
		pthread_mutex_lock(&lock);
		state = loaded ? RUNNING : IDLE;
		pthread_cond_broadcast(&changed);
	}
	if (!started) {
		state = BROKEN;
		pthread_cond_broadcast(&changed);
		pthread_mutex_unlock(&lock);
		return NULL;
	}
	for (;;)
		pthread_cond_wait(&changed, &lock);
	return NULL;
}

static void start_thread(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, before;

	promote_libpython();
	ignore_sigpipe();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, python_thread, NULL) == 0) {
		state = ASKED;
	} else {
		snprintf(problem, sizeof problem, "no thread for Python can be started");
	}
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Whether the adapter runs; else `text` says why not. Safe from any number of threads. */
static int ready(char *text, size_t size)
{
	int running;

	pthread_mutex_lock(&lock);
	if (state == ABSENT) {
		start_thread();
		pthread_mutex_unlock(&lock);
		load_libvirt(); /* meanwhile: there is nothing to do here but to wait */
		pthread_mutex_lock(&lock);
	} else if (state == IDLE) {
		state = ASKED;
		pthread_cond_broadcast(&changed);
	}
	while (state == ASKED)
		pthread_cond_wait(&changed, &lock);
	running = state == RUNNING;
	if (!running)
		snprintf(text, size, "%s", problem);
	pthread_mutex_unlock(&lock);
	return running;
}

static void refuse(const CMPIBroker *broker, CMPIStatus *rc, CMPIrc code, const char *text)
{
	CMPIStatus made = {CMPI_RC_OK, NULL};

	if (!rc)
		return;
	rc->rc = code;
	rc->msg = broker->eft->newString(broker, text, &made);
	if (made.rc != CMPI_RC_OK)
		rc->msg = NULL;
}

struct mi {
	void *hdl; /* the broker: OpenPegasus has one for each provider, so it can't be kept globally */
	const void *ft;
};

static struct mi *make(const CMPIBroker *broker, CMPIStatus *rc, const void *ft)
{
	char text[sizeof problem] = "";
	struct mi *made;

	if (!broker || !broker->eft)
		return NULL;
	if (!ready(text, sizeof text) || libvirtcim_attach(LIBVIRTCIM_CONFIG, text, sizeof text) != 0) {
		refuse(broker, rc, CMPI_RC_ERR_FAILED, text);
		return NULL;
	}
	made = malloc(sizeof *made);
	if (!made) {
		libvirtcim_detach();
		refuse(broker, rc, CMPI_RC_ERR_FAILED, "out of memory");
		return NULL;
	}
	made->hdl = (void *)broker;
	made->ft = ft;
	if (rc) {
		rc->rc = CMPI_RC_OK;
		rc->msg = NULL;
	}
	return made;
}

/* A CIM server that only saves memory is told to keep the plugin: connections, caches and what watches
 * for indications would have to be made anew with the next request. */
#define CLEANUP(Kind, before) \
	static CMPIStatus cleanup_##Kind(Kind *mi, const CMPIContext *ctx, CMPIBoolean terminating) \
	{ \
		CMPIStatus status = {CMPI_RC_OK, NULL}; \
		(void)ctx; \
		if (!terminating) { \
			status.rc = CMPI_RC_NEVER_UNLOAD; \
			return status; \
		} \
		before; \
		free(mi); \
		libvirtcim_detach(); \
		return status; \
	}

CLEANUP(CMPIInstanceMI, )
CLEANUP(CMPIAssociationMI, )
CLEANUP(CMPIMethodMI, )
CLEANUP(CMPIIndicationMI, libvirtcim_outlet_close(mi->hdl))

static CMPIStatus exec_query(CMPIInstanceMI *mi, const CMPIContext *ctx, const CMPIResult *result,
			     const CMPIObjectPath *path, const char *query, const char *language)
{
	CMPIStatus status = {CMPI_RC_ERR_NOT_SUPPORTED, NULL};

	(void)ctx;
	(void)result;
	(void)path;
	(void)query;
	(void)language;
	refuse(mi->hdl, &status, CMPI_RC_ERR_NOT_SUPPORTED, "Queries are not supported");
	return status;
}

/* The CIM server has checked already who may subscribe to what. */
static CMPIStatus authorize_filter(CMPIIndicationMI *mi, const CMPIContext *ctx, const CMPISelectExp *filter,
				   const char *classname, const CMPIObjectPath *path, const char *owner)
{
	CMPIStatus status = {CMPI_RC_OK, NULL};

	(void)mi;
	(void)ctx;
	(void)filter;
	(void)classname;
	(void)path;
	(void)owner;
	return status;
}

/* Nothing here needs polling. CIM servers disagree about the arguments, so none is looked at. */
static CMPIStatus must_poll(CMPIIndicationMI *mi, const CMPIContext *ctx, const CMPISelectExp *filter,
			    const char *classname, const CMPIObjectPath *path)
{
	CMPIStatus status = {CMPI_RC_ERR_NOT_SUPPORTED, NULL};

	(void)mi;
	(void)ctx;
	(void)filter;
	(void)classname;
	(void)path;
	return status;
}

static const CMPIInstanceMIFT instance_ft = {
	MI_VERSION, MI_VERSION, "libvirtcim", cleanup_CMPIInstanceMI,
	libvirtcim_enumerate_instance_names, libvirtcim_enumerate_instances, libvirtcim_get_instance,
	libvirtcim_create_instance, libvirtcim_modify_instance, libvirtcim_delete_instance, exec_query,
};

static const CMPIAssociationMIFT association_ft = {
	MI_VERSION, MI_VERSION, "libvirtcim", cleanup_CMPIAssociationMI,
	libvirtcim_associators, libvirtcim_associator_names, libvirtcim_references, libvirtcim_reference_names,
};

static const CMPIMethodMIFT method_ft = {
	MI_VERSION, MI_VERSION, "libvirtcim", cleanup_CMPIMethodMI, libvirtcim_invoke_method,
};

static const CMPIIndicationMIFT indication_ft = {
	MI_VERSION, MI_VERSION, "libvirtcim", cleanup_CMPIIndicationMI, authorize_filter, must_poll,
	libvirtcim_activate_filter, libvirtcim_deactivate_filter, libvirtcim_enable_indications,
	libvirtcim_disable_indications,
};

EXPORTED CMPIInstanceMI *_Generic_Create_InstanceMI(const CMPIBroker *broker, const CMPIContext *ctx,
						    const char *name, CMPIStatus *rc)
{
	(void)ctx;
	(void)name;
	return (CMPIInstanceMI *)make(broker, rc, &instance_ft);
}

EXPORTED CMPIAssociationMI *_Generic_Create_AssociationMI(const CMPIBroker *broker, const CMPIContext *ctx,
							  const char *name, CMPIStatus *rc)
{
	(void)ctx;
	(void)name;
	return (CMPIAssociationMI *)make(broker, rc, &association_ft);
}

EXPORTED CMPIMethodMI *_Generic_Create_MethodMI(const CMPIBroker *broker, const CMPIContext *ctx,
						const char *name, CMPIStatus *rc)
{
	(void)ctx;
	(void)name;
	return (CMPIMethodMI *)make(broker, rc, &method_ft);
}

EXPORTED CMPIIndicationMI *_Generic_Create_IndicationMI(const CMPIBroker *broker, const CMPIContext *ctx,
							const char *name, CMPIStatus *rc)
{
	char text[sizeof problem] = "";
	struct mi *made = make(broker, rc, &indication_ft);

	(void)ctx;
	(void)name;
	if (made && libvirtcim_outlet_open(broker, text, sizeof text) != 0) {
		free(made);
		made = NULL;
		libvirtcim_detach();
		refuse(broker, rc, CMPI_RC_ERR_FAILED, text);
	}
	return (CMPIIndicationMI *)made;
}
