/* A module of C that calls the documented routines through pybuf.h. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pybuf.h>

static const pybuf_api *api;

/* churn(machine, times): how many pairs went well. */
static PyObject *churn(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_ssize_t times, good = 0;
    pybuf_machine *machine;
    (void)self;
    if (!PyArg_ParseTuple(args, "On", &object, &times)) return NULL;
    machine = api->machine_from_object(object);     /* NULL: an exception says why */
    if (machine == NULL) return NULL;
    Py_BEGIN_ALLOW_THREADS
    while (times-- > 0) {
        LPVOID block;
        if (api->with.NetApiBufferAllocate(machine, 1500, &block) != 0) continue;
        good += api->with.NetApiBufferFree(machine, block) == 0;
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromSsize_t(good);
}

static PyMethodDef methods[] = {{"churn", churn, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "routines", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_routines(void) {
    api = pybuf_import();
    return api == NULL ? NULL : PyModule_Create(&module);
}
