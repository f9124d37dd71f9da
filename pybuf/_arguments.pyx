"""Argument types of the ctypes door: more tolerant than ctypes' own, since scripts for Windows are not exact.

An instance is an item of `argtypes`. Its from_param answers an object that ctypes passes as it is: where it can, the
one that was given.
"""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from poolcore cimport Buffer, buffer_address
from pybuf._machine cimport Reference, address_of_argument, unsigned_of_argument

import ctypes

cdef extern from *:
    """
    #ifdef Py_GIL_DISABLED
    #define WORDS_ARE_KEPT 0
    #else
    #define WORDS_ARE_KEPT 1
    #endif
    """
    const bint WORDS_ARE_KEPT

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    bint PyLong_CheckExact(object o)
    long long PyLong_AsLongLongAndOverflow(object o, int *overflow) except? -1
    bint PyIndex_Check(object o)

cdef object CArgument = type(ctypes.byref(ctypes.c_int()))
cdef object Pointer = ctypes._Pointer
cdef object Array = ctypes.Array
cdef object Structure = ctypes.Structure
cdef object FunctionPointer = ctypes._CFuncPtr
cdef object Simple = ctypes._SimpleCData
cdef object VoidPointer = ctypes.c_void_p
cdef object WidePointer = ctypes.c_wchar_p
cdef object CharPointer = ctypes.c_char_p

# An address in an object that ctypes passes; used again when nobody else has it.
cdef object spare = VoidPointer()
cdef uint64_t *spare_value = <uint64_t *><uintptr_t>ctypes.addressof(spare)


cdef object word(uint64_t value):
    global spare, spare_value
    if value == 0:
        return None
    if not WORDS_ARE_KEPT:
        return VoidPointer(value)
    if Py_REFCNT(<PyObject *>spare) > 1:
        spare = VoidPointer()
        spare_value = <uint64_t *><uintptr_t>ctypes.addressof(spare)
    spare_value[0] = value
    return spare


cdef object refused(object argument, str expected):
    return TypeError(f"{expected} is needed, not {type(argument).__name__} ({argument!r})")


@cython.final
cdef class Address:
    """A pointer or handle that is only looked up: an int of 64 bits, None, a Buffer, or anything of ctypes that points.
    """

    def from_param(self, argument):
        """What ctypes passes for an argument."""
        cdef uint64_t address
        cdef PyObject *held
        cdef long long small
        cdef int overflow = 0
        if type(argument) is VoidPointer or argument is None or type(argument) is CArgument:
            return argument
        if PyLong_CheckExact(argument):
            small = PyLong_AsLongLongAndOverflow(argument, &overflow)
            if overflow != 0 or small < 0:
                return word(unsigned_of_argument(argument, "an address or handle", 64))
            return word(<uint64_t>small)
        if isinstance(argument, (Pointer, Array, FunctionPointer, VoidPointer, WidePointer, CharPointer, CArgument)):
            return argument
        if isinstance(argument, Simple):
            return word(unsigned_of_argument(argument.value or 0, "an address or handle", 64))
        if type(argument) is Buffer or isinstance(argument, Reference) or PyIndex_Check(argument):
            address_of_argument(argument, &address, &held)
            # The address of a dead Buffer may be another block's; 1 is nobody's.
            return word(1 if held != NULL and buffer_address(<Buffer>held) == 0 else address)
        raise refused(argument, "an address or handle (int, Buffer, pointer of ctypes, None)")


@cython.final
cdef class Number:
    """A number of so many bits, modulo 2**bits."""

    cdef uint32_t bits

    def __init__(self, bits):
        self.bits = bits

    def from_param(self, argument):
        """What ctypes passes for an argument."""
        cdef uint64_t value
        cdef long long small
        cdef int overflow = 0
        if PyLong_CheckExact(argument):
            small = PyLong_AsLongLongAndOverflow(argument, &overflow)
            if overflow == 0 and 0 <= small and <uint64_t>small >> (self.bits if self.bits < 32 else 32) == 0:
                return argument
        if isinstance(argument, Simple):
            is_long = argument._type_ in ("L", "l")
            argument = argument.value
            if isinstance(argument, bytes):
                argument = ord(argument)
            elif is_long and self.bits == 32:
                # A long of Windows has 32 bits: c_ulong(-1) is 0xFFFFFFFF.
                argument &= 0xFFFFFFFF
        value = unsigned_of_argument(argument, "a number", self.bits)
        # ctypes passes an int as one of 32 bits.
        return word(value) if self.bits == 64 and value else value


@cython.final
cdef class Out:
    """Memory of at least so many bytes, which the routine writes: byref(), a pointer, an array, or None."""

    cdef uint32_t size
    cdef dict is_large_enough       # by type

    def __init__(self, size):
        self.size = size
        self.is_large_enough = {}

    def from_param(self, argument):
        """What ctypes passes for an argument."""
        if argument is None or type(argument) is VoidPointer:
            return argument
        if type(argument) is CArgument:
            given = argument._obj
        elif isinstance(argument, Array):
            given = argument
        elif isinstance(argument, (Pointer, WidePointer, CharPointer)):
            return argument
        elif PyLong_CheckExact(argument) and argument == 0:
            return None
        else:
            raise refused(argument, "memory to write to (byref(), a pointer or array of ctypes, None)")
        known = self.is_large_enough.get(type(given))
        if known is None:
            known = self.is_large_enough[type(given)] = ctypes.sizeof(type(given)) >= self.size
        if not known:
            raise TypeError(f"{self.size} bytes are written, and {type(given).__name__} has {ctypes.sizeof(given)}")
        return argument


@cython.final
cdef class Text:
    """Wide characters: str, a c_wchar_p, an array of c_wchar, or None."""

    def from_param(self, argument):
        """What ctypes passes for an argument."""
        if argument is None or isinstance(argument, (str, WidePointer, VoidPointer, CArgument)):
            return argument
        if isinstance(argument, (Array, Pointer)) and argument._type_ is ctypes.c_wchar:
            return argument
        raise refused(argument, "text (str, c_wchar_p, an array of c_wchar, None)")


@cython.final
cdef class Structured:
    """A structure or array that the routine reads, or a function that it calls."""

    def from_param(self, argument):
        """What ctypes passes for an argument."""
        if isinstance(argument, Structure):
            return ctypes.byref(argument)
        if argument is None or isinstance(argument, (CArgument, Pointer, Array, FunctionPointer, VoidPointer)):
            return argument
        raise refused(argument, "a structure, array or function of ctypes, or None")
