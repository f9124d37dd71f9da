/* Every function of the table as a function of Python: addresses are ints, refusals and verdicts too. */
#include <Python.h>
#include <poolcore.h>

static const poolcore_api *api;

/* Reads (pool, ...) and goes on, or returns with the exception. */
#define ARGUMENTS(format, ...)                                                          \
    PyObject *object;                                                                   \
    poolcore_pool *pool;                                                                \
    (void)self;                                                                         \
    if (!PyArg_ParseTuple(args, "O" format, &object, __VA_ARGS__)) return NULL;         \
    if ((pool = pool_of(object)) == NULL) return NULL

#define ADDRESS(block) ((unsigned long long)(uintptr_t)(block))
#define BLOCK(address) ((void *)(uintptr_t)(address))

/* An int is a pointer from earlier: a pool that may be closed by now. */
static poolcore_pool *pool_of(PyObject *object) {
    return PyLong_Check(object) ? (poolcore_pool *)PyLong_AsVoidPtr(object) : api->pool_from_object(object);
}

static PyObject *pool(PyObject *self, PyObject *object) {
    poolcore_pool *found = api->pool_from_object(object);
    (void)self;
    return found == NULL ? NULL : PyLong_FromVoidPtr(found);
}

static PyObject *alloc(PyObject *self, PyObject *args) {
    Py_ssize_t size;
    ARGUMENTS("n", &size);
    return Py_BuildValue("K", ADDRESS(api->alloc(pool, (size_t)size)));
}

static PyObject *alloc_ex(PyObject *self, PyObject *args) {
    Py_ssize_t size, alignment = 0;
    unsigned flags = 0, tag = 0;
    int refusal = -1;
    void *block;
    ARGUMENTS("n|nII", &size, &alignment, &flags, &tag);
    block = api->alloc_ex(pool, (size_t)size, (size_t)alignment, flags, tag, &refusal);
    return Py_BuildValue("Ki", ADDRESS(block), refusal);
}

static PyObject *free_block(PyObject *self, PyObject *args) {
    unsigned long long address;
    ARGUMENTS("K", &address);
    return PyLong_FromLong(api->free(pool, BLOCK(address)));
}

static PyObject *free_ex(PyObject *self, PyObject *args) {
    unsigned long long address;
    unsigned flags;
    ARGUMENTS("KI", &address, &flags);
    return PyLong_FromLong(api->free_ex(pool, BLOCK(address), flags));
}

static PyObject *realloc_block(PyObject *self, PyObject *args) {
    unsigned long long address;
    Py_ssize_t size;
    ARGUMENTS("Kn", &address, &size);
    return Py_BuildValue("K", ADDRESS(api->realloc(pool, BLOCK(address), (size_t)size)));
}

static PyObject *realloc_ex(PyObject *self, PyObject *args) {
    unsigned long long address;
    Py_ssize_t size;
    int verdict = -1, refusal = -1;
    void *block;
    ARGUMENTS("Kn", &address, &size);
    block = api->realloc_ex(pool, BLOCK(address), (size_t)size, &verdict, &refusal);
    return Py_BuildValue("Kii", ADDRESS(block), verdict, refusal);
}

static PyObject *alloc_many(PyObject *self, PyObject *args) {
    Py_ssize_t size;
    Py_buffer room;
    int refusal = -1;
    size_t count;
    ARGUMENTS("nw*", &size, &room);
    count = api->alloc_many(pool, (size_t)size, (size_t)room.len / sizeof(void *), (void **)room.buf, &refusal);
    PyBuffer_Release(&room);
    return Py_BuildValue("ni", (Py_ssize_t)count, refusal);
}

static PyObject *free_many(PyObject *self, PyObject *args) {
    Py_buffer blocks, verdicts;
    size_t count;
    ARGUMENTS("y*w*", &blocks, &verdicts);
    count = api->free_many(pool, (void *const *)blocks.buf, (size_t)blocks.len / sizeof(void *), (int *)verdicts.buf);
    PyBuffer_Release(&blocks);
    PyBuffer_Release(&verdicts);
    return PyLong_FromSize_t(count);
}

/* Whether a request is refused by the functions that need not be told where to say why. */
static PyObject *is_refused(PyObject *self, PyObject *args) {
    Py_ssize_t size;
    void *block;
    ARGUMENTS("n", &size);
    return PyBool_FromLong(api->alloc_ex(pool, (size_t)size, 0, 0, 0, NULL) == NULL &&
                           api->alloc_many(pool, (size_t)size, 1, &block, NULL) == 0);
}

static PyObject *size_of(PyObject *self, PyObject *args) {
    unsigned long long address;
    ARGUMENTS("K", &address);
    return PyLong_FromSize_t(api->size_of(pool, BLOCK(address)));
}

static PyObject *block_at(PyObject *self, PyObject *args) {
    unsigned long long address;
    poolcore_block block;
    ARGUMENTS("K", &address);
    if (!api->block_at(pool, BLOCK(address), &block)) Py_RETURN_NONE;
    return Py_BuildValue("KKKII", (unsigned long long)block.address, (unsigned long long)block.size,
                         (unsigned long long)block.capacity, block.tag, block.state);
}

static PyObject *verdict_of(PyObject *self, PyObject *args) {
    unsigned long long address;
    ARGUMENTS("K", &address);
    return PyLong_FromLong(api->verdict_of(pool, BLOCK(address)));
}

static PyObject *heap_here(PyObject *self, PyObject *object) {
    poolcore_pool *pool = pool_of(object);
    (void)self;
    return pool == NULL ? NULL : PyLong_FromVoidPtr(api->heap_here(pool));
}

static PyMethodDef functions[] = {
    {"pool", pool, METH_O, NULL},
    {"alloc", alloc, METH_VARARGS, NULL},
    {"alloc_ex", alloc_ex, METH_VARARGS, NULL},
    {"free", free_block, METH_VARARGS, NULL},
    {"free_ex", free_ex, METH_VARARGS, NULL},
    {"realloc", realloc_block, METH_VARARGS, NULL},
    {"realloc_ex", realloc_ex, METH_VARARGS, NULL},
    {"alloc_many", alloc_many, METH_VARARGS, NULL},
    {"free_many", free_many, METH_VARARGS, NULL},
    {"is_refused", is_refused, METH_VARARGS, NULL},
    {"size_of", size_of, METH_VARARGS, NULL},
    {"block_at", block_at, METH_VARARGS, NULL},
    {"verdict_of", verdict_of, METH_VARARGS, NULL},
    {"heap_here", heap_here, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "table", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_table(void) {
    return (api = poolcore_import()) ? PyModule_Create(&module) : NULL;
}
