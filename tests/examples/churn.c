#include <Python.h>
#include <poolcore.h>

static const poolcore_api *api;

/* churn(pool, size, times) allocates and frees without Python; how many frees were good. */
static PyObject *churn(PyObject *self, PyObject *args) {
    PyObject *object;
    Py_ssize_t size, times, good = 0;
    poolcore_pool *pool;
    (void)self;
    if (!PyArg_ParseTuple(args, "Onn", &object, &size, &times) || !(pool = api->pool_from_object(object))) return NULL;
    Py_BEGIN_ALLOW_THREADS
    while (times-- > 0) {
        void *block = api->alloc(pool, (size_t)size);
        if (block != NULL && api->free(pool, block) == POOLCORE_LIVE) good++;
    }
    Py_END_ALLOW_THREADS
    return PyLong_FromSsize_t(good);
}

static PyMethodDef functions[] = {{"churn", churn, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "churn", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_churn(void) {
    return (api = poolcore_import()) ? PyModule_Create(&module) : NULL;
}
