# ---- Python: the interfaces of a bus, and what their routines answer ------------------------------------

cdef class Mdl(Reference):
    """A memory descriptor list: what AllocateDmaBuffer answers. It is dead once the buffer is freed."""

    cdef readonly uint64_t address
    """Of the MDL itself, which C sees in its real layout."""
    cdef readonly uint32_t byte_count
    """Bytes of the buffer."""
    cdef readonly uint32_t byte_offset
    """Of the buffer in its first page: 0."""
    cdef readonly tuple pages
    """Numbers of the physical pages."""
    cdef readonly object buffer
    """The buffer's bytes, a Buffer."""

    def __init__(self):
        raise TypeError("an Mdl is what AllocateDmaBuffer answers")

    cdef uint64_t number(self) except? 0:
        # Another buffer may have the address by now.
        return 1 if buffer_address(<Buffer>self.buffer) == 0 else self.address

    def __repr__(self):
        state = ", freed" if buffer_address(<Buffer>self.buffer) == 0 else ""
        return f"<Mdl {self.address:#x} of {self.byte_count} bytes{state}>"


cdef Mdl mdl_object(MachineBase machine, uint64_t address):
    cdef mdl_t *described = <mdl_t *>address
    cdef uint64_t *frames = <uint64_t *>(described + 1)
    cdef Mdl self = Mdl.__new__(Mdl)
    cdef uint32_t i
    self.address = address
    self.byte_count = described.byte_count
    self.byte_offset = described.byte_offset
    self.pages = tuple([frames[i] for i in range((described.byte_count + PAGE_BYTES - 1) // PAGE_BYTES)])
    self.buffer = buffer_adopt(<Pool>machine.pools[POOL_AUDIO], <uint64_t>described.mapped)
    return self


cdef class Bdl(Reference):
    """A buffer descriptor list of 256 entries: ``bdl[i] = (address, length, interrupt_on_completion)``.

    The address is physical (`Machine.physical_address`) and a multiple of 128. What was not written is what it happens
    to be. After FreeContiguousDmaBuffer its use raises ValueError.
    """

    cdef readonly uint64_t address
    """Of its page."""
    cdef readonly object buffer
    """Its page, a Buffer."""

    def __init__(self):
        raise TypeError("a Bdl is what AllocateContiguousDmaBuffer answers")

    cdef uint64_t number(self) except? 0:
        return self.address

    cdef PyObject *held(self) noexcept:
        return <PyObject *>self.buffer

    cdef fragment_t *entry(self, index) except NULL:
        cdef uint64_t address = buffer_address(<Buffer>self.buffer)
        if address == 0:
            raise ValueError("the buffer descriptor list is freed")
        if not 0 <= index < FRAGMENTS_MAX:
            raise IndexError(f"a buffer descriptor list has {FRAGMENTS_MAX} entries; {index} is none of them")
        return &(<fragment_t *>address)[<uint32_t>index]

    def __len__(self):
        return FRAGMENTS_MAX

    def __getitem__(self, index):
        cdef fragment_t *entry = self.entry(index)
        return entry.address, entry.length, entry.is_interrupting

    def __setitem__(self, index, value):
        cdef fragment_t *entry
        cdef uint64_t number
        cdef PyObject *held
        address, length, is_interrupting = value
        address_of_argument(address, &number, &held)
        bytes_ = dword_of_argument(length, "length")
        flag = dword_of_argument(is_interrupting, "interrupt_on_completion")
        entry = self.entry(index)
        entry.address = number
        entry.length = bytes_
        entry.is_interrupting = flag

    def __repr__(self):
        return f"<Bdl {self.address:#x}>"


cdef class Register(Reference):
    """A register of the controller: ``int(register)`` is what it shows now.

    A link position is dead after FreeDmaEngine, every register after the machine's end: ValueError.
    """

    cdef MachineBase machine
    cdef readonly uint64_t address
    """Where C reads it, a ULONG."""
    cdef uint64_t handle        # of its engine; 0: the wall clock

    def __init__(self):
        raise TypeError("a Register is what GetWallClockRegister and GetLinkPositionRegister answer")

    cdef uint64_t number(self) except? 0:
        return self.address

    def __int__(self):
        cdef audio_t *audio
        cdef object outer
        cdef uint32_t value
        machine_is_open_or_raise(self.machine)
        audio = <audio_t *>self.machine.machine.families[FAMILY_AUDIO]
        if self.handle != 0 and handle_find(self.machine.machine, self.handle, HANDLE_ENGINE, 0) == NULL:
            raise ValueError("the register's DMA engine is freed")
        outer = callbacks_enter(self.machine)
        try:
            audio_catch_up(audio)
            os_lock(&audio.lock)
            registers_write(audio, clock_now(self.machine.machine))
            os_unlock(&audio.lock)
            value = (<uint32_t *>self.address)[0]
        finally:
            callbacks_leave(self.machine, outer)
        return value

    def __repr__(self):
        return f"<Register at {self.address:#x}>"


cdef Register register_object(MachineBase machine, uint64_t address, uint64_t handle):
    cdef Register self = Register.__new__(Register)
    self.machine = machine
    self.address = address
    self.handle = handle
    return self


cdef uint64_t number_of(object value) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t number
    cdef PyObject *held
    address_of_argument(value, &number, &held)
    return number


cdef format_t *format_of(object given, format_t *format) except? NULL:
    """A HDAUDIO_STREAM_FORMAT, or anything with its attributes; None is NULL."""
    if given is None:
        return NULL
    try:
        rate, valid = given.SampleRate, given.ValidBitsPerSample
        container, channels = given.ContainerSize, given.NumberOfChannels
    except AttributeError:
        raise TypeError(f"a format is a HDAUDIO_STREAM_FORMAT, not {type(given).__name__} ({given!r})") from None
    format.rate = dword_of_argument(rate, "SampleRate")
    format.valid_bits = <uint16_t>unsigned_of_argument(valid, "ValidBitsPerSample", 16)
    format.container_bits = <uint16_t>unsigned_of_argument(container, "ContainerSize", 16)
    format.channels = <uint16_t>unsigned_of_argument(channels, "NumberOfChannels", 16)
    return format


cdef list verbs_of(object transfers):
    """A list of CodecTransfer, or of what has its two attributes."""
    if not hasattr(transfers, "__iter__"):
        raise TypeError(f"transfers is a sequence of CodecTransfer, not {type(transfers).__name__} ({transfers!r})")
    given = list(transfers)
    for each in given:
        if not hasattr(each, "command") or not hasattr(each, "response"):
            raise TypeError(f"transfers has a CodecTransfer for each verb, not {type(each).__name__} ({each!r})")
    return given


cdef object answered(uint32_t status):
    return status_object(SPACE_NT, status)


cdef object structure_of = None


def structures_by(call):
    """What makes the ctypes Structure of an interface: its module stands above this one."""
    global structure_of
    structure_of = call


cdef class BusInterface:
    """What the interfaces of an HD Audio bus have in common: twelve routines, and a context that they act on.

    `HdAudioBus.query_interface` makes them. Every routine answers STATUS_NO_SUCH_DEVICE once the context was released.
    """

    cdef readonly object machine
    """The Machine; None for a context that was none from the beginning."""
    cdef readonly uint64_t context
    """The number by which C names the client."""
    cdef dict made              # ctypes Structures, by what stands before the routines' names
    cdef bint is_used           # its use of the context is not given back

    def __init__(self):
        raise TypeError(f"{type(self).__name__} is what machine.hdaudio.query_interface({type(self).__name__}) answers")

    @classmethod
    def at(cls, context):
        """The interface for a context, which may be any number.

        Parameters
        ----------
        context : int
            As `context` of another interface; or one that is none, for which every routine answers so.
        """
        cdef uint64_t number = number_of(context)
        reference_add(<void *>number)
        return interface_new(cls, number)

    def __repr__(self):
        return f"<{type(self).__name__} {self.context:#x}>"

    cdef client_t *client(self) except? NULL:
        if self.machine is not None:
            machine_is_open_or_raise(<MachineBase>self.machine)
        return audio_client_find(self.context)

    def release(self):
        """InterfaceDereference: with the last use of the context its engines, buffers and callbacks go, and every
        routine answers STATUS_NO_SUCH_DEVICE. Releasing again does nothing.
        """
        self.client()
        if self.is_used:
            self.is_used = False
            reference_drop(<void *>self.context)

    def AllocateCaptureDmaEngine(self, codec, format):
        """Reserves a DMA engine that brings data from a codec, and what its format takes of the link.

        Parameters
        ----------
        codec : int
            The codec's address, from 0 to 15.
        format : HDAUDIO_STREAM_FORMAT
            Rate, bits and channels.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS: the engine is in Reset. STATUS_BUFFER_TOO_SMALL: the FIFO does not hold two frames of the
            format. STATUS_INSUFFICIENT_RESOURCES: no capture and no bidirectional engine is left, or too little
            bandwidth of the link. STATUS_INVALID_PARAMETER: no such format, no codec at the address, or (C, ctypes) a
            NULL pointer. STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL. STATUS_NO_SUCH_DEVICE: the context is
            none.
        handle : int or None
            The engine's; None unless STATUS_SUCCESS.
        converter_format : int or None
            The format as a codec's converter is told; None unless STATUS_SUCCESS.

        Notes
        -----
        IRQL: PASSIVE_LEVEL. FreeDmaEngine undoes it.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pallocate_capture_dma_engine
        """
        cdef client_t *client = self.client()
        cdef format_t given
        cdef uint64_t handle = 0
        cdef uint16_t converter = 0
        cdef uint32_t status = audio_allocate_capture(client, <uint8_t>unsigned_of_argument(codec, "codec", 8),
                                                      format_of(format, &given), &handle, &converter)
        return (answered(0), handle, converter) if status == 0 else (answered(status), None, None)

    def AllocateRenderDmaEngine(self, format, stripe):
        """Reserves a DMA engine that takes data to codecs, and what its format takes of the link.

        Parameters
        ----------
        format : HDAUDIO_STREAM_FORMAT
            Rate, bits and channels.
        stripe : bool
            Spread it over the two lines of a bus that has them: each carries half.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS: the engine is in Reset. STATUS_BUFFER_TOO_SMALL: the FIFO does not hold two frames of the
            format. STATUS_INSUFFICIENT_RESOURCES: no render and no bidirectional engine is left, or too little
            bandwidth of the link. STATUS_INVALID_PARAMETER: no such format, or (C, ctypes) a NULL pointer.
            STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL. STATUS_NO_SUCH_DEVICE: the context is none.
        handle : int or None
            The engine's; None unless STATUS_SUCCESS.
        converter_format : int or None
            The format as a codec's converter is told; None unless STATUS_SUCCESS.

        Notes
        -----
        IRQL: PASSIVE_LEVEL. FreeDmaEngine undoes it.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pallocate_render_dma_engine
        """
        cdef client_t *client = self.client()
        cdef format_t given
        cdef uint64_t handle = 0
        cdef uint16_t converter = 0
        cdef uint32_t status = audio_allocate_render(client, format_of(format, &given), bool(stripe), &handle,
                                                     &converter)
        return (answered(0), handle, converter) if status == 0 else (answered(status), None, None)

    def ChangeBandwidthAllocation(self, handle, format):
        """Gives a DMA engine another format, and what that takes of the link.

        Parameters
        ----------
        handle : int
            The engine's.
        format : HDAUDIO_STREAM_FORMAT
            Rate, bits and channels.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS; otherwise the engine is as it was. STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL.
            STATUS_INVALID_HANDLE: it is no engine of this client. STATUS_INVALID_PARAMETER: no such format, or a NULL
            pointer. STATUS_INVALID_DEVICE_REQUEST: the engine is not in Reset, or has a buffer.
            STATUS_BUFFER_TOO_SMALL: the FIFO does not hold two frames of the format. STATUS_INSUFFICIENT_RESOURCES: too
            little bandwidth. STATUS_NO_SUCH_DEVICE: the context is none.
        converter_format : int or None
            The format as a codec's converter is told; None unless STATUS_SUCCESS.

        Notes
        -----
        IRQL: PASSIVE_LEVEL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pchange_bandwidth_allocation
        """
        cdef client_t *client = self.client()
        cdef format_t given
        cdef uint16_t converter = 0
        cdef uint32_t status = audio_change_bandwidth(client, number_of(handle), format_of(format, &given), &converter)
        return answered(status), (converter if status == 0 else None)

    def FreeDmaEngine(self, handle):
        """Gives back a DMA engine and its bandwidth. Its notification events are dropped, its registers dead.

        Parameters
        ----------
        handle : int
            The engine's.

        Returns
        -------
        NtStatus
            STATUS_SUCCESS. STATUS_INVALID_HANDLE: it is no engine of this client (any more).
            STATUS_INVALID_DEVICE_REQUEST: it has a buffer, or is not in Reset. STATUS_UNSUCCESSFUL: the IRQL is above
            DISPATCH_LEVEL. STATUS_NO_SUCH_DEVICE: the context is none.

        Notes
        -----
        IRQL: DISPATCH_LEVEL or lower.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pfree_dma_engine
        """
        cdef client_t *client = self.client()
        return answered(audio_free_engine(client, number_of(handle)))

    def SetDmaEngineState(self, state, handles):
        """Puts DMA engines into a state, all at one instant.

        Parameters
        ----------
        state : int
            ResetState 0, StopState or PauseState 1, RunState 2: the numbers of the header.
        handles : sequence of int, int or None
            The engines'; one twice is one. None is NULL.

        Returns
        -------
        NtStatus
            STATUS_SUCCESS: all are in that state. Otherwise none was moved. STATUS_INVALID_PARAMETER: another state, no
            handles, or None. STATUS_INVALID_HANDLE: one is no engine of this client. STATUS_INVALID_DEVICE_REQUEST: one
            has no buffer that is set up, and the state is not Reset; or it would go from Reset to Run, or back, without
            Stop between. STATUS_UNSUCCESSFUL: the IRQL is above DISPATCH_LEVEL. STATUS_NO_SUCH_DEVICE: the context is
            none.

        Notes
        -----
        IRQL: DISPATCH_LEVEL or lower. Pages list the states without numbers; 3 is none.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pset_dma_engine_state
        """
        cdef client_t *client = self.client()
        cdef uint32_t wanted = dword_of_argument(state, "state")
        cdef uint64_t *numbers = NULL
        cdef uint32_t count = 1
        cdef uint32_t status, i
        cdef object outer
        if handles is not None:
            given = tuple([number_of(each) for each in (handles if hasattr(handles, "__iter__") else (handles,))])
            count = <uint32_t>len(given)
            numbers = <uint64_t *>malloc(8 * (count + 1))
            if numbers == NULL:
                raise MemoryError("no memory for handles")
            for i in range(count):
                numbers[i] = given[i]
        outer = None if self.machine is None else callbacks_enter(<MachineBase>self.machine)
        try:
            status = audio_set_state(client, wanted, count, numbers)
        finally:
            free(numbers)
            if outer is not None:
                callbacks_leave(<MachineBase>self.machine, outer)
        return answered(status)

    def GetLinkPositionRegister(self, handle):
        """Tells where the position of a DMA engine in its buffer is shown.

        Parameters
        ----------
        handle : int
            The engine's.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS. STATUS_INVALID_HANDLE: it is no engine of this client. STATUS_UNSUCCESSFUL: the IRQL is
            above DISPATCH_LEVEL. STATUS_NO_SUCH_DEVICE: the context is none. In C and through ctypes
            STATUS_INVALID_PARAMETER: a NULL pointer.
        register : Register or None
            ``int(register)``: the offset of the next byte to be sent, or received; 0 again at the buffer's end.

        Notes
        -----
        IRQL: DISPATCH_LEVEL or lower.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pget_link_position_register
        """
        cdef client_t *client = self.client()
        cdef uint64_t number = number_of(handle)
        cdef uint64_t register = 0
        cdef uint32_t status = audio_link_position(client, number, &register)
        return answered(status), (register_object(self.machine, register, number) if status == 0 else None)

    def GetWallClockRegister(self):
        """Tells where the link's clock is shown.

        Returns
        -------
        Register or None
            ``int(register)``: ticks of 24 MHz, modulo 2**32. None: the context is none.

        Notes
        -----
        IRQL: DISPATCH_LEVEL or lower; above, it does its work, and `Machine.violations` has it.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pget_wall_clock_register
        """
        cdef client_t *client = self.client()
        cdef uint64_t register = 0
        audio_wall_clock(client, &register)
        return None if register == 0 else register_object(self.machine, register, 0)

    def GetResourceInformation(self):
        """Tells which codec and function group this client is.

        Returns
        -------
        codec : int or None
            The codec's address; None: the context is none.
        node : int or None
            The function group's first node.

        Notes
        -----
        IRQL: PASSIVE_LEVEL; above, it does its work, and `Machine.violations` has it.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pget_resource_information
        """
        cdef client_t *client = self.client()
        cdef uint8_t codec = 0
        cdef uint8_t node = 0
        audio_resource_information(client, &codec, &node)
        return (None, None) if client == NULL else (codec, node)

    def GetDeviceInformation(self, size):
        """Tells what the bus is.

        Parameters
        ----------
        size : int
            Bytes of the caller's structure: 10, or 14 for that of version 2.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS. STATUS_BUFFER_TOO_SMALL: `size` is below 10. STATUS_UNSUCCESSFUL: the IRQL is above
            PASSIVE_LEVEL. STATUS_NO_SUCH_DEVICE: the context is none. In C and through ctypes STATUS_INVALID_PARAMETER:
            a NULL pointer.
        information : DeviceInformation or None
            Its members; the last three are None below 14 bytes. CodecsDetected is a mask of addresses.

        Notes
        -----
        IRQL: PASSIVE_LEVEL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pget_device_information
        """
        cdef client_t *client = self.client()
        cdef HDAUDIO_DEVICE_INFORMATION_V2 out
        cdef uint32_t status
        memset(&out, 0, sizeof(out))
        out.Size = <uint16_t>unsigned_of_argument(size, "size", 16)
        status = audio_device_information(client, &out)
        if status != 0:
            return answered(status), None
        more = (out.CtrlRevision, out.CtrlVendorId, out.CtrlDeviceId) if out.Size >= 14 else (None, None, None)
        return answered(0), DeviceInformation(out.Size, out.DeviceVersion, out.DriverVersion, out.CodecsDetected,
                                              bool(out.IsStripingSupported), *more)

    def RegisterEventCallback(self, routine, context):
        """Has a routine called for the codec's unsolicited responses, and gives it a tag of the codec.

        Parameters
        ----------
        routine : callable
            ``routine(response, context)``, with a CodecResponse.
        context : object
            What it gets.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS. STATUS_INSUFFICIENT_RESOURCES: all 64 tags of the codec are taken, by any of its clients.
            STATUS_INVALID_PARAMETER: None (NULL), or (C, ctypes) a NULL pointer for the tag. STATUS_UNSUCCESSFUL: the
            IRQL is above PASSIVE_LEVEL. STATUS_NO_SUCH_DEVICE: the context is none.
        tag : int or None
            The lowest that was free; None unless STATUS_SUCCESS.

        Notes
        -----
        IRQL: PASSIVE_LEVEL; the routine runs at DISPATCH_LEVEL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pregister_event_callback
        """
        cdef client_t *client = self.client()
        cdef uint8_t tag = 0
        cdef uint32_t status
        cdef object pair = (routine, context)
        if routine is not None and not callable(routine):
            raise TypeError(f"routine is a function, not {type(routine).__name__} ({routine!r})")
        Py_INCREF(<PyObject *>pair)
        status = audio_register_callback(client, NULL if routine is None else <void *>pair, 0, &tag, CALL_PYTHON)
        if status != 0:
            Py_DECREF(<PyObject *>pair)
        return answered(status), (tag if status == 0 else None)

    def UnregisterEventCallback(self, tag):
        """Takes back RegisterEventCallback; the tag may be given again.

        Parameters
        ----------
        tag : int
            What was answered. Modulo 256.

        Returns
        -------
        NtStatus
            STATUS_SUCCESS. STATUS_INVALID_PARAMETER: this client did not register the tag. STATUS_UNSUCCESSFUL: the
            IRQL is above PASSIVE_LEVEL. STATUS_NO_SUCH_DEVICE: the context is none.

        Notes
        -----
        IRQL: PASSIVE_LEVEL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-punregister_event_callback
        """
        cdef client_t *client = self.client()
        return answered(audio_unregister_callback(client, <uint8_t>unsigned_of_argument(tag, "tag", 8)))

    def TransferCodecVerbs(self, transfers, callback=None, context=None):
        """Sends verbs to codecs, and brings their responses.

        Parameters
        ----------
        transfers : sequence of CodecTransfer
            Each with its command; its response is filled in place.
        callback : callable, optional
            ``callback(transfers, context)`` is called when all are through. None waits for them, without the clock.
        context : object
            What it gets.

        Returns
        -------
        NtStatus
            STATUS_SUCCESS: all are through, or queued; ``response.IsValid`` of each says whether a codec answered.
            STATUS_NO_MEMORY: no memory for the queue. STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL without a
            callback, or above DISPATCH_LEVEL. STATUS_DEVICE_NOT_CONNECTED: a codec is gone. STATUS_IO_TIMEOUT: not all
            answered in time. STATUS_NO_SUCH_DEVICE: the context is none. In C and through ctypes
            STATUS_INVALID_PARAMETER: a NULL array.

        Notes
        -----
        IRQL: PASSIVE_LEVEL; with a callback, which runs at DISPATCH_LEVEL, DISPATCH_LEVEL or lower.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-ptransfer_codec_verbs
        """
        cdef client_t *client = self.client()
        cdef list given = verbs_of(transfers)
        cdef uint32_t count = <uint32_t>len(given)
        cdef transfer_t *array
        cdef uint32_t status = 0
        cdef uint32_t i
        cdef object triple = (callback, context, given)
        cdef object outer = None
        if callback is not None and not callable(callback):
            raise TypeError(f"callback is a function or None, not {type(callback).__name__} ({callback!r})")
        commands = [dword_of_argument(each.command, "CodecTransfer.command") for each in given]
        array = <transfer_t *>calloc(count + 1, sizeof(transfer_t))
        if array == NULL:
            raise MemoryError("no memory for the verbs")
        for i in range(count):
            array[i].command = commands[i]
        if callback is not None:
            Py_INCREF(<PyObject *>triple)
            status = verbs_send(client, count, array, <void *>triple, 0, CALL_PYTHON, True)
            if status != 0 or count == 0:
                Py_DECREF(<PyObject *>triple)
                free(array)
            return answered(status)
        if self.machine is not None:
            outer = callbacks_enter(<MachineBase>self.machine)
        try:
            status = verbs_send(client, count, array, NULL, 0, CALL_PLATFORM, False)
            if status == 0 or status == STATUS_IO_TIMEOUT:
                responses_copy(given, array)
        finally:
            free(array)
            if outer is not None:
                callbacks_leave(<MachineBase>self.machine, outer)
        return answered(status)

    @property
    def pointers(self):
        """The interface as C and ctypes have it: a ctypes Structure in the real layout, whose members are called with
        its Context first.
        """
        return pointers_of(self, "now_")

    @property
    def pointers_ms(self):
        """The same for code of the Microsoft calling convention on x86-64, such as an emulator's or a program's that
        was compiled with PYBUF_MS_ABI. ctypes itself cannot call its members.
        """
        return pointers_of(self, "now_ms_")


cdef object pointers_of(BusInterface self, str form):
    if form not in self.made:
        self.made[form] = structure_of(self, form)
    return self.made[form]


class DeviceInformation(namedtuple("DeviceInformation", (
        "Size", "DeviceVersion", "DriverVersion", "CodecsDetected", "IsStripingSupported", "CtrlRevision",
        "CtrlVendorId", "CtrlDeviceId"))):
    """What GetDeviceInformation answers: the members of HDAUDIO_DEVICE_INFORMATION_V2."""

    __slots__ = ()


class CodecResponse(namedtuple("CodecResponse", (
        "Response", "SDataIn", "IsUnsolicitedResponse", "HasFifoOverrun", "IsValid"))):
    """What a codec answered: the members of HDAUDIO_CODEC_RESPONSE. An unsolicited Response has its tag in the top six
    bits.
    """

    __slots__ = ()


def interface_new(cls, uint64_t context):
    """An interface for a context, of which it has a use."""
    cdef BusInterface self = cls.__new__(cls)
    cdef client_t *client = audio_client_find(context)
    self.context = context
    self.made = {}
    self.is_used = client != NULL
    self.machine = None if client == NULL else <object>client.machine.owner
    return self


cdef class HDAUDIO_BUS_INTERFACE(BusInterface):
    """The base interface: with AllocateDmaBuffer and FreeDmaBuffer."""

    guid = "D2EAF88B-AB18-41A8-B664-8D592167671B"
    """What names it to IRP_MN_QUERY_INTERFACE."""

    def AllocateDmaBuffer(self, handle, n):
        """Allocates the buffer of a DMA engine, and configures the engine to use it.

        Parameters
        ----------
        handle : int
            The engine's.
        n : int
            Bytes.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS: the engine is in Reset still. STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL.
            STATUS_INVALID_HANDLE: it is no engine of this client. STATUS_INVALID_DEVICE_REQUEST: the engine is not in
            Reset, or has a buffer. STATUS_INVALID_PARAMETER: `n` is 0, or (C, ctypes) a NULL pointer.
            STATUS_INSUFFICIENT_RESOURCES: there is no memory. STATUS_DEVICE_NOT_READY: programming the engine timed
            out; nothing is allocated. STATUS_NO_SUCH_DEVICE: the context is none.
        mdl : Mdl or None
            The buffer's pages; ``mdl.buffer`` its bytes, from the beginning of the first page.
        allocated : int or None
            Bytes of the buffer: `n`, or the most that the bus allows.
        stream_id : int or None
            The stream's number on the link, from 1 to 15.
        fifo : int or None
            Bytes of the engine's FIFO.

        Notes
        -----
        IRQL: PASSIVE_LEVEL. One buffer at a time; FreeDmaBuffer frees it, and it can be allocated again.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pallocate_dma_buffer
        """
        cdef client_t *client = self.client()
        cdef uint64_t mdl = 0
        cdef uint64_t allocated = 0
        cdef uint8_t stream = 0
        cdef uint32_t fifo = 0
        cdef uint32_t status = audio_allocate_dma(client, number_of(handle), unsigned_of_argument(n, "n", 64), &mdl,
                                                  &allocated, &stream, &fifo)
        if status != 0:
            return answered(status), None, None, None, None
        return answered(0), mdl_object(self.machine, mdl), allocated, stream, fifo

    def FreeDmaBuffer(self, handle):
        """Frees the buffer that AllocateDmaBuffer allocated for a DMA engine. The engine stays.

        Parameters
        ----------
        handle : int
            The engine's, as AllocateRenderDmaEngine or AllocateCaptureDmaEngine answered it: not the buffer.

        Returns
        -------
        NtStatus
            STATUS_SUCCESS. STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL. STATUS_INVALID_HANDLE: it is no engine
            of this client (any more). STATUS_INVALID_DEVICE_REQUEST: the engine is not in Reset, or has no buffer of
            AllocateDmaBuffer. STATUS_NO_SUCH_DEVICE: the context is none. The first of these in this order:
            STATUS_NO_SUCH_DEVICE, STATUS_UNSUCCESSFUL, STATUS_INVALID_HANDLE, STATUS_INVALID_DEVICE_REQUEST.

        Raises
        ------
        BufferError
            Views of the buffer are alive; nothing happens. Through C and ctypes the buffer is dead at once, and its
            memory serves again after the last view.

        Notes
        -----
        IRQL: PASSIVE_LEVEL. In the base interface and in version 2, never with the routines for a BDL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pfree_dma_buffer
        """
        return freed(self.client(), handle, BUFFER_PLAIN, 0, 0, "FreeDmaBuffer")


cdef object freed(client_t *client, object handle, int kind, uint64_t mdl, uint64_t size, str routine):
    cdef bint is_viewed = False
    cdef uint32_t status = dma_free(client, number_of(handle), kind, mdl, size, &is_viewed)
    if is_viewed:
        raise views_error(routine, "the DMA engine's buffer")
    return answered(status)


def buffer_release(BusInterface interface not None, handle, Mdl mdl not None, bint is_notified):
    """FreeDmaBuffer or FreeDmaBufferWithNotification at the end of a Stream: also under views.

    Parameters
    ----------
    interface : HDAUDIO_BUS_INTERFACE
        Of the engine's client.
    handle : int
        The engine's.
    mdl : Mdl
        Of its buffer.
    is_notified : bool
        Which of the two routines.

    Returns
    -------
    NtStatus
    """
    return answered(dma_free(interface.client(), number_of(handle), BUFFER_NOTIFIED if is_notified else BUFFER_PLAIN,
                             mdl.address, mdl.byte_count, NULL))


cdef class HDAUDIO_BUS_INTERFACE_V2(HDAUDIO_BUS_INTERFACE):
    """The interface of version 2: with notifications besides what the base interface has."""

    guid = "B52AF5FB-424B-4BB9-A160-5B38BE94E568"
    """What names it to IRP_MN_QUERY_INTERFACE."""

    def AllocateDmaBufferWithNotification(self, handle, count, n):
        """Allocates the buffer of a DMA engine, configures the engine, and has its events set on the way.

        Parameters
        ----------
        handle : int
            The engine's.
        count : int
            Notifications in each round of the buffer: 1 at its end, or 2, in its middle too.
        n : int
            Bytes.

        Returns
        -------
        status : NtStatus
            As AllocateDmaBuffer; STATUS_INVALID_PARAMETER also when `count` is neither 1 nor 2.
        mdl : Mdl or None
            The buffer's pages; ``mdl.buffer`` its bytes.
        allocated : int or None
            Bytes of the buffer: `n`, or the most that the bus allows.
        offset : int or None
            Of the buffer in its first page: 0.
        stream_id : int or None
            The stream's number on the link, from 1 to 15.
        fifo : int or None
            Bytes of the engine's FIFO.

        Notes
        -----
        IRQL: PASSIVE_LEVEL. RegisterNotificationEvent says which events. FreeDmaBufferWithNotification frees it.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/ and there
        nc-hdaudio-pallocate_dma_buffer_with_notification
        """
        cdef client_t *client = self.client()
        cdef uint64_t mdl = 0
        cdef uint64_t allocated = 0
        cdef uint64_t offset = 0
        cdef uint8_t stream = 0
        cdef uint32_t fifo = 0
        cdef uint32_t status = audio_allocate_dma_notified(
            client, number_of(handle), dword_of_argument(count, "count"), unsigned_of_argument(n, "n", 64), &mdl,
            &allocated, &offset, &stream, &fifo)
        if status != 0:
            return answered(status), None, None, None, None, None
        return answered(0), mdl_object(self.machine, mdl), allocated, offset, stream, fifo

    def FreeDmaBufferWithNotification(self, handle, mdl, size):
        """Frees the buffer that AllocateDmaBufferWithNotification allocated for a DMA engine.

        Parameters
        ----------
        handle : int
            The engine's.
        mdl : Mdl or int
            What was answered with the buffer.
        size : int
            Bytes, as was answered.

        Returns
        -------
        NtStatus
            As FreeDmaBuffer, of a buffer of AllocateDmaBufferWithNotification; and STATUS_INVALID_PARAMETER: `mdl` or
            `size` is not that of the engine's buffer.

        Raises
        ------
        BufferError
            As FreeDmaBuffer.

        Notes
        -----
        IRQL: PASSIVE_LEVEL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pfree_dma_buffer_with_notification
        """
        return freed(self.client(), handle, BUFFER_NOTIFIED, number_of(mdl), unsigned_of_argument(size, "size", 64),
                     "FreeDmaBufferWithNotification")

    def RegisterNotificationEvent(self, handle, event):
        """Has an event set at each notification of a DMA engine.

        Parameters
        ----------
        handle : int
            The engine's.
        event : Event or int
            The event, or its handle. One that is registered already is registered once.

        Returns
        -------
        NtStatus
            STATUS_SUCCESS. STATUS_INSUFFICIENT_RESOURCES: the engine has as many as the bus allows.
            STATUS_INVALID_HANDLE: it is no engine of this client. STATUS_INVALID_PARAMETER: it is no event.
            STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL. STATUS_NO_SUCH_DEVICE: the context is none.

        Notes
        -----
        IRQL: PASSIVE_LEVEL. FreeDmaEngine drops the engine's events.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pregister_notification_event
        """
        cdef client_t *client = self.client()
        return answered(audio_register_event(client, number_of(handle), number_of(event)))

    def UnregisterNotificationEvent(self, handle, event):
        """Takes back RegisterNotificationEvent.

        Parameters
        ----------
        handle : int
            The engine's.
        event : Event or int
            The event, or its handle.

        Returns
        -------
        NtStatus
            STATUS_SUCCESS. STATUS_INVALID_PARAMETER: the event is not registered. STATUS_INVALID_HANDLE: it is no
            engine of this client. STATUS_UNSUCCESSFUL: the IRQL is above PASSIVE_LEVEL. STATUS_NO_SUCH_DEVICE: the
            context is none.

        Notes
        -----
        IRQL: PASSIVE_LEVEL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-punregister_notification_event
        """
        cdef client_t *client = self.client()
        return answered(audio_unregister_event(client, number_of(handle), number_of(event)))


cdef class HDAUDIO_BUS_INTERFACE_BDL(BusInterface):
    """The interface for clients that fill the buffer descriptor list of an engine themselves."""

    guid = "B4D65397-5634-40B0-B068-F5B9F8B967A5"
    """What names it to IRP_MN_QUERY_INTERFACE."""

    def AllocateContiguousDmaBuffer(self, handle, n):
        """Allocates a buffer for a DMA engine in one piece, and a page for its buffer descriptor list.

        Parameters
        ----------
        handle : int
            The engine's.
        n : int
            Bytes. Modulo 2**32.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS; SetupDmaEngineWithBdl is next. The others as AllocateDmaBuffer;
            STATUS_INSUFFICIENT_RESOURCES also when `n` is more than the bus allows.
        buffer : Buffer or None
            The bytes, which are what they happen to be.
        bdl : Bdl or None
            The list, which is the caller's to fill: ``bdl[0] = (machine.physical_address(buffer), 4096, 1)``.

        Notes
        -----
        IRQL: PASSIVE_LEVEL. FreeContiguousDmaBuffer frees both.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pallocate_contiguous_dma_buffer
        """
        cdef client_t *client = self.client()
        cdef uint64_t data = 0
        cdef uint64_t page = 0
        cdef Bdl bdl
        cdef uint32_t status = audio_allocate_contiguous(client, number_of(handle), dword_of_argument(n, "n"), &data,
                                                         &page)
        if status != 0:
            return answered(status), None, None
        pool = <Pool>(<MachineBase>self.machine).pools[POOL_AUDIO]
        bdl = Bdl.__new__(Bdl)
        bdl.address = page
        bdl.buffer = buffer_adopt(pool, page)
        return answered(0), buffer_adopt(pool, data), bdl

    def SetupDmaEngineWithBdl(self, handle, length, lvi, isr, context):
        """Configures a DMA engine to use the buffer that AllocateContiguousDmaBuffer allocated before.

        Parameters
        ----------
        handle : int
            The engine's.
        length : int
            Bytes of all fragments together.
        lvi : int
            Index of the last valid entry of the list, from 1 to 255.
        isr : callable or None
            ``isr(context, mask)`` is called at the end of each fragment that interrupts on completion; bit 2 of the
            mask says so. None: nobody is told.
        context : object
            What `isr` gets.

        Returns
        -------
        status : NtStatus
            STATUS_SUCCESS: the engine is in Reset, and what was set up before is replaced. STATUS_UNSUCCESSFUL: the
            IRQL is above PASSIVE_LEVEL. STATUS_INVALID_HANDLE: it is no engine of this client.
            STATUS_INVALID_DEVICE_REQUEST: it is not in Reset, or has no buffer of AllocateContiguousDmaBuffer.
            STATUS_INVALID_PARAMETER: `lvi` or `length` is out of range; a fragment is empty, or not at a multiple of
            128, or not inside the buffer; their sum is not `length`; `isr` is no function; or (C, ctypes) a NULL
            pointer. STATUS_DEVICE_NOT_READY: programming the engine timed out. STATUS_NO_SUCH_DEVICE: the context is
            none.
        stream_id : int or None
            The stream's number on the link, from 1 to 15.
        fifo : int or None
            Bytes of the engine's FIFO.

        Notes
        -----
        IRQL: PASSIVE_LEVEL; `isr` runs above DISPATCH_LEVEL. The list is copied: changes count after another call.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-psetup_dma_engine_with_bdl
        """
        cdef client_t *client = self.client()
        cdef uint8_t stream = 0
        cdef uint32_t fifo = 0
        cdef uint32_t status
        cdef uint64_t number = number_of(handle)
        cdef uint32_t bytes_ = dword_of_argument(length, "length")
        cdef uint32_t last = dword_of_argument(lvi, "lvi")
        cdef object pair = None if isr is None else (isr, context)
        cdef bint is_wrong = isr is not None and not callable(isr)
        if pair is None or is_wrong:
            status = audio_setup_bdl(client, number, bytes_, last, NULL, 0, NULL if is_wrong else &stream, &fifo,
                                     CALL_PLATFORM)
        else:
            Py_INCREF(<PyObject *>pair)
            status = audio_setup_bdl(client, number, bytes_, last, <void *>pair, 0, &stream, &fifo, CALL_PYTHON)
            if status != 0:
                Py_DECREF(<PyObject *>pair)
        return (answered(0), stream, fifo) if status == 0 else (answered(status), None, None)

    def FreeContiguousDmaBuffer(self, handle):
        """Frees the buffer and the list that AllocateContiguousDmaBuffer allocated for a DMA engine.

        Parameters
        ----------
        handle : int
            The engine's.

        Returns
        -------
        NtStatus
            As FreeDmaBuffer, of a buffer of AllocateContiguousDmaBuffer.

        Raises
        ------
        BufferError
            As FreeDmaBuffer.

        Notes
        -----
        IRQL: PASSIVE_LEVEL.

        Source: hdaudio.h,
        https://learn.microsoft.com/windows-hardware/drivers/ddi/hdaudio/nc-hdaudio-pfree_contiguous_dma_buffer
        """
        return freed(self.client(), handle, BUFFER_CONTIGUOUS, 0, 0, "FreeContiguousDmaBuffer")
