/* RAS through pybuf.h: a conversation over a port, by threads that Python never saw. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define PYBUF_STATUS_NAMES
#include <pybuf.h>
#include <pthread.h>
#include <string.h>

static const pybuf_api *pybuf;

typedef struct {
    pybuf_machine *machine;
    HANDLE port;
    int wrong; /* the line that went wrong, else 0 */
} talk;

#define EXPECT(condition)         \
    if (!(condition)) {           \
        t->wrong = __LINE__;      \
        return NULL;              \
    }

/* Sends "ping" and expects four bytes from a peer that answers at once. */
static void *speak(void *given) {
    talk *t = given;
    PBYTE buffer;
    DWORD size = 4;
    HANDLE event;
    RASCOMMSETTINGS settings = {sizeof settings, 2, 0, 7, 0};
    EXPECT(pybuf_machine_enter(t->machine) == NULL)
    EXPECT(pybuf_machine_current() == t->machine)
    event = PYBUF_CreateEvent(NULL, 1, 0, NULL);
    EXPECT(event != NULL)
    EXPECT(PYBUF_WaitForSingleObject(event, 0) == 258)
    EXPECT(pybuf->now.RasSetCommSettings(t->port, &settings, NULL) == ERROR_SUCCESS)
    EXPECT(pybuf->now.RasGetBuffer(&buffer, &size) == ERROR_SUCCESS && size == 4)
    memcpy(buffer, "ping", 4);
    EXPECT(pybuf->now.RasSendBuffer(t->port, buffer, 4) == ERROR_SUCCESS)
    EXPECT(pybuf->now.RasReceiveBuffer(t->port, buffer, &size, 60000, event) == ERROR_SUCCESS && size == 0)
    EXPECT(PYBUF_WaitForSingleObject(event, INFINITE) == 0)
    EXPECT(pybuf->now.RasRetrieveBuffer(t->port, buffer, &size) == ERROR_SUCCESS && size == 4)
    EXPECT(memcmp(buffer, "pong", 4) == 0)
    EXPECT(pybuf->with.RasFreeBuffer(t->machine, buffer) == ERROR_SUCCESS)
    EXPECT(PYBUF_ResetEvent(event) && PYBUF_WaitForSingleObject(event, 0) == 258)
    EXPECT(PYBUF_SetEvent(event) && PYBUF_WaitForSingleObject(event, 0) == 0)
    EXPECT(PYBUF_CloseHandle(event) && !PYBUF_CloseHandle(event))
    EXPECT(PYBUF_WaitForSingleObject(event, INFINITE) == 0xFFFFFFFF)
    EXPECT(pybuf_machine_enter(NULL) == t->machine)
    return NULL;
}

/* converse(machine, ports): one thread for each port; the first line that went wrong, else 0. */
static PyObject *converse(PyObject *self, PyObject *args) {
    PyObject *object, *ports;
    pthread_t threads[16];
    talk talks[16];
    Py_ssize_t n, i;
    int wrong = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!", &object, &PyTuple_Type, &ports)) return NULL;
    n = PyTuple_GET_SIZE(ports);
    for (i = 0; i < n && i < 16; i++) {
        talks[i].machine = pybuf->machine_from_object(object);
        talks[i].port = (HANDLE)(uintptr_t)PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(ports, i));
        talks[i].wrong = 0;
        if (talks[i].machine == NULL || PyErr_Occurred()) return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    for (i = 0; i < n; i++) pthread_create(&threads[i], NULL, speak, &talks[i]);
    for (i = 0; i < n; i++) pthread_join(threads[i], NULL);
    Py_END_ALLOW_THREADS
    for (i = 0; i < n && wrong == 0; i++) wrong = talks[i].wrong;
    return PyLong_FromLong(wrong);
}

/* send(machine, port, size): what RasSendBuffer of a buffer of that size answers. */
static PyObject *send(PyObject *self, PyObject *args) {
    PyObject *object;
    unsigned long long port;
    unsigned int size;
    DWORD status, granted;
    PBYTE buffer;
    pybuf_machine *machine;
    (void)self;
    if (!PyArg_ParseTuple(args, "OKI", &object, &port, &size)) return NULL;
    machine = pybuf->machine_from_object(object);
    if (machine == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS
    granted = size;
    status = pybuf->with.RasGetBuffer(machine, &buffer, &granted);
    if (status == ERROR_SUCCESS) {
        memset(buffer, 'x', granted);
        status = pybuf->with.RasSendBuffer(machine, (HANDLE)(uintptr_t)port, buffer, granted);
        pybuf->with.RasFreeBuffer(machine, buffer);
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLong(status);
}

static PyMethodDef methods[] = {
    {"converse", converse, METH_VARARGS, NULL}, {"send", send, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "talk", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_talk(void) {
    pybuf = pybuf_import();
    return pybuf == NULL ? NULL : PyModule_Create(&module);
}
