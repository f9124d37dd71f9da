/* The routines through pybuf.h, compiled as C and as C++. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define PYBUF_STATUS_NAMES
#include <pybuf.h>

static const pybuf_api *api;

/* churn(machine, count): what the last status was that was not expected, else 0. */
static PyObject *churn(PyObject *self, PyObject *args) {
    PyObject *object;
    unsigned int count, i;
    DWORD wrong = 0, size;
    LPVOID block, other;
    pybuf_machine *machine;
    (void)self;
    if (!PyArg_ParseTuple(args, "OI", &object, &count)) return NULL;
    machine = api->machine_from_object(object);
    if (machine == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (i = 0; i < count; i++) {
        if (api->with.NetApiBufferAllocate(machine, i, &block) != NERR_Success) wrong = 1;
        if (api->with.NetApiBufferReallocate(machine, block, i + 100, &block) != NERR_Success) wrong = 2;
        if (api->with.NetApiBufferSize(machine, block, &size) != NERR_Success || size != i + 100) wrong = 3;
        if (api->with_ms.NetApiBufferFree != NULL && i % 2) {
            if (api->with_ms.NetApiBufferFree(machine, block) != NERR_Success) wrong = 4;
            if (api->with_ms.NetApiBufferFree(machine, block) != ERROR_INVALID_PARAMETER) wrong = 5;
        } else if (api->with.NetApiBufferFree(machine, block) != NERR_Success) {
            wrong = 6;
        }
    }
    /* Another thread's machine is not touched by this one's. */
    api->machine_enter(machine);
    if (api->machine_current() != machine) wrong = 7;
    if (api->now.NetapipBufferAllocate(10, &other) != NERR_Success) wrong = 8;
    if (api->with.NetApiBufferFree(machine, other) != NERR_Success) wrong = 9;
    if (api->machine_enter(NULL) != machine) wrong = 10;
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLong(wrong);
}

static PyMethodDef methods[] = {{"churn", churn, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "routines", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_routines(void) {
    api = pybuf_import();
    return api == NULL ? NULL : PyModule_Create(&module);
}
