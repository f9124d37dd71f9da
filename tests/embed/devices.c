/* VideoPort and HD Audio through pybuf.h, compiled in both calling conventions. Every function answers the number of the
 * line that was not as expected, else 0. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define PYBUF_STATUS_NAMES
#include <pybuf.h>

#ifdef PYBUF_MS_ABI
#define WITH api->with_ms
#define NOW api->now_ms
#define QUERY api->hdaudio_query_interface_ms
#else
#define WITH api->with
#define NOW api->now
#define QUERY api->hdaudio_query_interface
#endif
#define STATUS(value) ((NTSTATUS)(value))
#define EXPECT(condition) do { if (!(condition)) return __LINE__; } while (0)

static const pybuf_api *api;

/* ---- VideoPort ---- */

static PYBUF_BUGCHECK stopped;

static void on_bug_check(void *context, const PYBUF_BUGCHECK *bug_check) {
    ++*(int *)context;
    stopped = *bug_check;
}

static int pool(pybuf_machine *machine, PVOID device, unsigned int count) {
    static const VP_POOL_TYPE types[] = {VpNonPagedPool, VpPagedPool, VpNonPagedPoolCacheAligned,
                                         VpPagedPoolCacheAligned};
    unsigned int i;
    for (i = 1; i <= count; i++) {
        PVOID block = WITH.VideoPortAllocatePool(machine, device, types[i % 4], i, 0x44727644u);
        PVOID other = NULL;
        EXPECT(block != NULL);
        EXPECT((uintptr_t)block / 4096 == ((uintptr_t)block + i - 1) / 4096 || (uintptr_t)block % 4096 == 0);
        ((unsigned char *)block)[i - 1] = 1;
        EXPECT(WITH.VideoPortAllocateBuffer(machine, device, i, &other) == NO_ERROR);
        EXPECT(other != NULL && other != block);
        WITH.VideoPortReleaseBuffer(machine, device, other);
        WITH.VideoPortFreePool(machine, device, block);
    }
    return 0;
}

static int stops(pybuf_machine *machine, PVOID device) {
    int count = 0;
    PVOID block = WITH.VideoPortAllocatePool(machine, device, VpPagedPool, 100, 0x44727644u);
    PVOID other = block;
    api->set_bug_check_handler(machine, on_bug_check, &count);
    WITH.VideoPortFreePool(machine, device, block);
    EXPECT(count == 0);
    WITH.VideoPortFreePool(machine, device, block);
    EXPECT(count == 1 && stopped.code == BAD_POOL_CALLER && stopped.parameters[0] == 7);
    EXPECT(stopped.parameters[3] == (uintptr_t)block && stopped.block == (uintptr_t)block && stopped.size == 100);
    EXPECT(strcmp(api->routine_name(stopped.allocated), "VideoPortAllocatePool") == 0);
    EXPECT(strcmp(api->routine_name(stopped.freed), "VideoPortFreePool") == 0);
    EXPECT(stopped.device == (uintptr_t)device && stopped.tag == 0x44727644u);
    WITH.VideoPortReleaseBuffer(machine, device, NULL);
    EXPECT(count == 2 && stopped.parameters[0] == 0x46);
    EXPECT(api->irql_raise(2) == 0);
    EXPECT(WITH.VideoPortAllocatePool(machine, device, VpPagedPool, 100, 0x44727644u) == NULL);
    EXPECT(count == 3 && stopped.parameters[0] == 8 && stopped.parameters[1] == 2);
    EXPECT(WITH.VideoPortAllocateBuffer(machine, device, 10, &other) == ERROR_NOT_ENOUGH_MEMORY);
    EXPECT(count == 4 && other == NULL);
    EXPECT(api->irql_lower(0) == 2);
    EXPECT(WITH.VideoPortAllocateBuffer(machine, device, 1u << 30, &other) == ERROR_INSUFFICIENT_BUFFER);
    api->set_bug_check_handler(machine, NULL, NULL);
    /* A device that nobody knows is the machine's own, which has no allowance. */
    EXPECT(WITH.VideoPortAllocateBuffer(machine, &count, 1u << 20, &other) == NO_ERROR);
    api->machine_enter(machine);
    NOW.VideoPortReleaseBuffer(NULL, other);
    api->machine_enter(NULL);
    return 0;
}

/* What every routine answers of a machine that was closed. */
static int closed(pybuf_machine *machine) {
    PVOID block = &machine;
    HDAUDIO_BUS_INTERFACE bus;
    EXPECT(WITH.VideoPortAllocateBuffer(machine, NULL, 10, &block) == ERROR_NOT_ENOUGH_MEMORY && block == NULL);
    EXPECT(WITH.VideoPortAllocatePool(machine, NULL, VpPagedPool, 10, 0x44727644u) == NULL);
    WITH.VideoPortReleaseBuffer(machine, NULL, &block);
    WITH.VideoPortFreePool(machine, NULL, NULL);
    EXPECT(QUERY(machine, 0, 0, &GUID_HDAUDIO_BUS_INTERFACE, sizeof(bus), 0x0100, &bus)
           == STATUS(STATUS_NO_SUCH_DEVICE));
    return 0;
}

/* ---- HD Audio ---- */

static ULONG interrupts, mask_seen;
static ULONGLONG heard;
static PHDAUDIO_CODEC_TRANSFER transferred;

static VOID WINAPI on_interrupt(PVOID context, ULONG mask) {
    interrupts += *(ULONG *)context;
    mask_seen |= mask;
}

static VOID WINAPI on_response(HDAUDIO_CODEC_RESPONSE response, PVOID context) {
    *(ULONGLONG *)context = response.CompleteResponse;
}

static VOID WINAPI on_transfer(PHDAUDIO_CODEC_TRANSFER transfers, PVOID context) {
    *(PHDAUDIO_CODEC_TRANSFER *)context = transfers;
}

/* Lets the machine's clock go on; Python's side does it. */
static int advance(PyObject *call) {
    PyObject *answer = PyObject_CallFunctionObjArgs(call, NULL);
    Py_XDECREF(answer);
    return answer != NULL;
}

static int notified(pybuf_machine *machine, PyObject *wait) {
    HDAUDIO_BUS_INTERFACE_V2 bus;
    HDAUDIO_STREAM_FORMAT format = {48000, 16, 16, 2};
    HDAUDIO_CONVERTER_FORMAT converter;
    HDAUDIO_CODEC_TRANSFER verb = {{0x000F0004}, {{0}}};
    HANDLE engine, event = api->CreateEvent(machine, NULL, 0, 0, NULL);
    PMDL mdl;
    SIZE_T size, offset;
    UCHAR stream, tag;
    ULONG fifo, i, *position, *wall;
    EXPECT(QUERY(machine, 0, 1, &GUID_HDAUDIO_BUS_INTERFACE_V2, sizeof(bus), 0x0100, &bus) == STATUS_SUCCESS);
    EXPECT(bus.Size == sizeof(bus) && bus.Version == 0x0100);
    EXPECT(bus.AllocateRenderDmaEngine(bus.Context, &format, 0, &engine, &converter) == STATUS_SUCCESS);
    EXPECT(converter.ConverterFormat == 0x0011);
    EXPECT(bus.AllocateDmaBufferWithNotification(bus.Context, engine, 2, 3840, &mdl, &size, &offset, &stream, &fifo)
           == STATUS_SUCCESS);
    EXPECT(size == 3840 && offset == 0 && stream == 1 && mdl->ByteCount == 3840 && mdl->ByteOffset == 0);
    EXPECT(mdl->MdlFlags & MDL_MAPPED_TO_SYSTEM_VA);
    for (i = 0; i < size; i++) ((unsigned char *)mdl->MappedSystemVa)[i] = (unsigned char)i;
    EXPECT(bus.RegisterNotificationEvent(bus.Context, engine, event) == STATUS_SUCCESS);
    EXPECT(bus.GetLinkPositionRegister(bus.Context, engine, &position) == STATUS_SUCCESS);
    bus.GetWallClockRegister(bus.Context, &wall);
    EXPECT(*position == 0);
    EXPECT(bus.SetDmaEngineState(bus.Context, RunState, 1, &engine) == STATUS(STATUS_INVALID_DEVICE_REQUEST));
    EXPECT(bus.SetDmaEngineState(bus.Context, PauseState, 1, &engine) == STATUS_SUCCESS);
    EXPECT(bus.SetDmaEngineState(bus.Context, RunState, 1, &engine) == STATUS_SUCCESS);
    i = *wall;
    EXPECT(api->WaitForSingleObject(machine, event, 0) == 258);
    EXPECT(advance(wait));
    EXPECT(*position == 1920 && *wall - i == 240000);
    EXPECT(api->WaitForSingleObject(machine, event, 0) == 0);
    EXPECT(bus.FreeDmaBuffer(bus.Context, engine) == STATUS(STATUS_INVALID_DEVICE_REQUEST));
    EXPECT(bus.SetDmaEngineState(bus.Context, StopState, 1, &engine) == STATUS_SUCCESS);
    EXPECT(bus.SetDmaEngineState(bus.Context, ResetState, 1, &engine) == STATUS_SUCCESS);
    EXPECT(bus.FreeDmaBufferWithNotification(bus.Context, engine, mdl, size) == STATUS_SUCCESS);
    EXPECT(bus.FreeDmaEngine(bus.Context, engine) == STATUS_SUCCESS);
    EXPECT(bus.FreeDmaEngine(bus.Context, engine) == STATUS(STATUS_INVALID_HANDLE));

    EXPECT(bus.RegisterEventCallback(bus.Context, on_response, &heard, &tag) == STATUS_SUCCESS && tag == 0);
    EXPECT(bus.TransferCodecVerbs(bus.Context, 1, &verb, on_transfer, &transferred) == STATUS_SUCCESS);
    EXPECT(transferred == NULL);
    EXPECT(advance(wait));
    EXPECT(transferred == &verb && verb.Input.Parts.IsValid && verb.Input.Parts.Response == 0x1234);
    EXPECT(heard == (1ull << 63 | 1ull << 36 | 0x55));
    EXPECT(bus.UnregisterEventCallback(bus.Context, tag) == STATUS_SUCCESS);
    bus.InterfaceReference(bus.Context);
    bus.InterfaceDereference(bus.Context);
    EXPECT(bus.FreeDmaEngine(bus.Context, engine) == STATUS(STATUS_INVALID_HANDLE));
    bus.InterfaceDereference(bus.Context);
    EXPECT(bus.FreeDmaEngine(bus.Context, engine) == STATUS(STATUS_NO_SUCH_DEVICE));
    EXPECT(api->CloseHandle(machine, event));
    return 0;
}

static int described(pybuf_machine *machine, PyObject *wait) {
    HDAUDIO_BUS_INTERFACE_BDL bus;
    HDAUDIO_BUS_INTERFACE base;
    HDAUDIO_STREAM_FORMAT format = {48000, 16, 16, 2};
    HDAUDIO_CONVERTER_FORMAT converter;
    HDAUDIO_DEVICE_INFORMATION information = {sizeof(information), 0, 0, 0, 0};
    PHDAUDIO_BUFFER_DESCRIPTOR list;
    HANDLE engine;
    PVOID data;
    UCHAR stream, codec, group;
    ULONG fifo, one = 1;
    EXPECT(QUERY(machine, 0, 1, &GUID_HDAUDIO_BUS_INTERFACE_BDL, sizeof(bus), 0x0100, &bus) == STATUS_SUCCESS);
    EXPECT(QUERY(machine, 0, 1, &GUID_HDAUDIO_BUS_INTERFACE, sizeof(base), 0x0100, &base) == STATUS_SUCCESS);
    EXPECT(base.Context == bus.Context);
    bus.GetResourceInformation(bus.Context, &codec, &group);
    EXPECT(codec == 0 && group == 1);
    EXPECT(bus.GetDeviceInformation(bus.Context, &information) == STATUS_SUCCESS && information.CodecsDetected == 1);
    EXPECT(bus.AllocateCaptureDmaEngine(bus.Context, 0, &format, &engine, &converter) == STATUS_SUCCESS);
    EXPECT(bus.AllocateContiguousDmaBuffer(bus.Context, engine, 4096, &data, &list) == STATUS_SUCCESS);
    list[0].Address = api->physical_address(machine, (uintptr_t)data);
    list[0].Length = 1024;
    list[0].InterruptOnCompletion = 0;
    list[1].Address = list[0].Address + 2048;
    list[1].Length = 896;
    list[1].InterruptOnCompletion = 1;
    EXPECT(base.FreeDmaBuffer(base.Context, engine) == STATUS(STATUS_INVALID_DEVICE_REQUEST));
    interrupts = mask_seen = 0;
    EXPECT(bus.SetupDmaEngineWithBdl(bus.Context, engine, 1920, 1, on_interrupt, &one, &stream, &fifo)
           == STATUS_SUCCESS);
    EXPECT(bus.SetDmaEngineState(bus.Context, StopState, 1, &engine) == STATUS_SUCCESS);
    EXPECT(bus.SetDmaEngineState(bus.Context, RunState, 1, &engine) == STATUS_SUCCESS);
    EXPECT(advance(wait));
    EXPECT(interrupts == 1 && mask_seen == 4);
    EXPECT(advance(wait));
    EXPECT(interrupts == 2);
    EXPECT(bus.SetDmaEngineState(bus.Context, StopState, 1, &engine) == STATUS_SUCCESS);
    EXPECT(bus.SetDmaEngineState(bus.Context, ResetState, 1, &engine) == STATUS_SUCCESS);
    EXPECT(bus.FreeContiguousDmaBuffer(bus.Context, engine) == STATUS_SUCCESS);
    EXPECT(bus.FreeDmaEngine(bus.Context, engine) == STATUS_SUCCESS);
    bus.InterfaceDereference(bus.Context);
    base.InterfaceDereference(base.Context);
    return 0;
}

/* What is no interface of the bus. */
static int refused(pybuf_machine *machine) {
    HDAUDIO_BUS_INTERFACE bus;
    GUID unknown = {1, 2, 3, {4}};
    EXPECT(QUERY(machine, 0, 0, &unknown, sizeof(bus), 0x0100, &bus) == STATUS(STATUS_NOT_SUPPORTED));
    EXPECT(QUERY(machine, 0, 0, &GUID_HDAUDIO_BUS_INTERFACE, sizeof(bus) - 8, 0x0100, &bus)
           == STATUS(STATUS_NOT_SUPPORTED));
    EXPECT(QUERY(machine, 0, 0, &GUID_HDAUDIO_BUS_INTERFACE, sizeof(bus), 0x0101, &bus)
           == STATUS(STATUS_NOT_SUPPORTED));
    EXPECT(QUERY(machine, 9, 0, &GUID_HDAUDIO_BUS_INTERFACE, sizeof(bus), 0x0100, &bus)
           == STATUS(STATUS_NO_SUCH_DEVICE));
    EXPECT(QUERY(machine, 0, 0, NULL, sizeof(bus), 0x0100, &bus) == STATUS(STATUS_INVALID_PARAMETER));
    return 0;
}

/* ---- the module ---- */

static PyObject *call(PyObject *self, PyObject *args) {
    const char *name;
    PyObject *object, *more = Py_None;
    unsigned long long device = 0;
    pybuf_machine *machine;
    int wrong = -1;
    (void)self;
    if (!PyArg_ParseTuple(args, "sO|KO", &name, &object, &device, &more)) return NULL;
    if (strcmp(name, "closed") == 0) {
        /* Its machine was had before it was closed. */
        return PyLong_FromLong(closed((pybuf_machine *)PyLong_AsVoidPtr(object)));
    }
    machine = api->machine_from_object(object);
    if (machine == NULL) return NULL;
    if (strcmp(name, "behind") == 0) return PyLong_FromVoidPtr(machine);
    if (strcmp(name, "notified") == 0) wrong = notified(machine, more);
    else if (strcmp(name, "described") == 0) wrong = described(machine, more);
    else {
        Py_BEGIN_ALLOW_THREADS
        if (strcmp(name, "pool") == 0) wrong = pool(machine, (PVOID)(uintptr_t)device, 9000);
        else if (strcmp(name, "stops") == 0) wrong = stops(machine, (PVOID)(uintptr_t)device);
        else if (strcmp(name, "refused") == 0) wrong = refused(machine);
        Py_END_ALLOW_THREADS
    }
    return PyErr_Occurred() ? NULL : PyLong_FromLong(wrong);
}

static PyMethodDef methods[] = {{"call", call, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "devices", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_devices(void) {
    api = pybuf_import();
    return api == NULL ? NULL : PyModule_Create(&module);
}
