"""Windows machine code runs in an emulator (unicorn) and calls NetApi's routines, whose blocks are in its own memory.

    python guest.py

The program allocates a block, lists the servers of the network, writes their names into the block, frees the list,
shows the text, and frees the block: twice, so that it ends with ERROR_INVALID_PARAMETER.
"""

import struct

from unicorn import UC_ARCH_X86, UC_HOOK_CODE, UC_MODE_64, Uc
from unicorn.x86_const import (
    UC_X86_REG_R8,
    UC_X86_REG_R9,
    UC_X86_REG_RAX,
    UC_X86_REG_RCX,
    UC_X86_REG_RDX,
    UC_X86_REG_RSP,
)

import pybuf

# Assembled by hand: bytes | source. The block's address is at rsp + 0x50, the list's at 0x58, how many servers it has
# at 0x60, how many there are at 0x64.
SOURCE = """
    53 56 57                | push rbx, rsi, rdi
    48 83 EC 70             | sub rsp, 0x70
    B9 00 01 00 00          | mov ecx, 256
    48 8D 54 24 50          | lea rdx, [rsp + 0x50]
    FF 15 E9 0F 00 00       | call [NetApiBufferAllocate]       ; (256, &block)
    85 C0                   | test eax, eax
    0F 85 A6 00 00 00       | jnz end
    31 C9                   | xor ecx, ecx
    BA 65 00 00 00          | mov edx, 101
    4C 8D 44 24 58          | lea r8, [rsp + 0x58]
    41 83 C9 FF             | or r9d, -1
    48 8D 44 24 60          | lea rax, [rsp + 0x60]
    48 89 44 24 20          | mov [rsp + 0x20], rax
    48 8D 44 24 64          | lea rax, [rsp + 0x64]
    48 89 44 24 28          | mov [rsp + 0x28], rax
    C7 44 24 30 FF FF FF FF | mov dword ptr [rsp + 0x30], -1
    31 C0                   | xor eax, eax
    48 89 44 24 38          | mov [rsp + 0x38], rax
    48 89 44 24 40          | mov [rsp + 0x40], rax
    FF 15 AB 0F 00 00       | call [NetServerEnum]              ; (NULL, 101, &list, -1, &has, &are, -1, NULL, NULL)
    85 C0                   | test eax, eax
    75 64                   | jnz end
    48 8B 5C 24 58          | mov rbx, [rsp + 0x58]
    48 8B 7C 24 50          | mov rdi, [rsp + 0x50]
    8B 4C 24 60             | mov ecx, [rsp + 0x60]
    67 E3 1B                | next: jecxz done
    48 8B 73 08             | mov rsi, [rbx + 8]                ; sv101_name
    66 AD                   | copy: lodsw
    66 85 C0                | test ax, ax
    74 04                   | jz named
    66 AB                   | stosw
    EB F5                   | jmp copy
    B0 20                   | named: mov al, ' '
    66 AB                   | stosw
    48 83 C3 28             | add rbx, 40                       ; sizeof(SERVER_INFO_101)
    FF C9                   | dec ecx
    EB E2                   | jmp next
    31 C0                   | done: xor eax, eax
    66 AB                   | stosw
    48 8B 4C 24 58          | mov rcx, [rsp + 0x58]
    FF 15 74 0F 00 00       | call [NetApiBufferFree]           ; (list)
    85 C0                   | test eax, eax
    75 25                   | jnz end
    48 8B 4C 24 50          | mov rcx, [rsp + 0x50]
    FF 15 6D 0F 00 00       | call [OutputDebugStringW]         ; (block)
    48 8B 4C 24 50          | mov rcx, [rsp + 0x50]
    FF 15 5A 0F 00 00       | call [NetApiBufferFree]           ; (block)
    85 C0                   | test eax, eax
    75 0B                   | jnz end
    48 8B 4C 24 50          | mov rcx, [rsp + 0x50]
    FF 15 4B 0F 00 00       | call [NetApiBufferFree]           ; (block), which is free
    48 83 C4 70             | end: add rsp, 0x70
    5F 5E 5B                | pop rdi, rsi, rbx
    C3                      | ret
"""
PROGRAM = b"".join(bytes.fromhex(line.partition("|")[0]) for line in SOURCE.splitlines())

CODE, STUBS, STACK, PAGE = 0x1_4000_0000, 0x1_5000_0000, 0x1_6000_0000, 0x1000
# What the program calls through: a table of addresses in the page behind its code, one for each of its imports.
IMPORTS = ["NetApiBufferAllocate", "NetServerEnum", "NetApiBufferFree", "OutputDebugStringW"]
END = STUBS + 16 * len(IMPORTS)


class Emulator:
    """A processor and its memory, in part of which lives a machine of pybuf."""

    def __init__(self, network: pybuf.Network) -> None:
        self.uc = Uc(UC_ARCH_X86, UC_MODE_64)
        self.printed: list[str] = []
        self.error: BaseException | None = None
        space = pybuf.AddressSpace(0x2_0000_0000, 1 << 26, on_map=self.uc.mem_map, on_unmap=self.uc.mem_unmap)
        self.machine = pybuf.Machine(memory=pybuf.Guest(space, on_write=self.uc.mem_write, on_read=self.uc.mem_read))
        self.machine.network = network
        for base in (CODE, CODE + PAGE, STUBS, STACK):
            self.uc.mem_map(base, PAGE)
        self.uc.mem_write(CODE, PROGRAM)
        # Each import is a `ret` of its own, and what it does is done before the processor gets there.
        self.uc.mem_write(STUBS, b"\xc3" * PAGE)
        self.uc.mem_write(CODE + PAGE, struct.pack(f"<{len(IMPORTS)}Q", *range(STUBS, END, 16)))
        self.uc.hook_add(UC_HOOK_CODE, self.call, begin=STUBS, end=END - 1)

    def run(self) -> int:
        """Runs the program: what it answers."""
        top = STACK + PAGE - 8
        self.uc.mem_write(top, struct.pack("<Q", END))
        self.uc.reg_write(UC_X86_REG_RSP, top)
        with self.machine:
            self.uc.emu_start(CODE, END)
        if self.error is not None:
            raise self.error
        return int(self.uc.reg_read(UC_X86_REG_RAX))

    def call(self, uc: Uc, address: int, size: int, data: object) -> None:
        """Answers a call of an import. Nothing may be raised through the emulator."""
        try:
            uc.reg_write(UC_X86_REG_RAX, getattr(self, IMPORTS[(address - STUBS) // 16])())
        except BaseException as error:
            self.error = error
            uc.emu_stop()

    def arguments(self, count: int) -> list[int]:
        """The first arguments of a call in Microsoft's convention: four in registers, the others on the stack."""
        registers = (UC_X86_REG_RCX, UC_X86_REG_RDX, UC_X86_REG_R8, UC_X86_REG_R9)
        stack = self.uc.reg_read(UC_X86_REG_RSP) + 0x28
        behind = struct.unpack(f"<{max(count - 4, 0)}Q", self.uc.mem_read(stack, 8 * max(count - 4, 0)))
        return [*map(self.uc.reg_read, registers), *behind][:count]

    def put(self, address: int, form: str, value: int) -> None:
        self.uc.mem_write(address, struct.pack(form, value))

    def text(self, address: int) -> str | None:
        """The wide string at an address."""
        found = b""
        while address and not found.endswith(b"\0\0"):
            found += self.uc.mem_read(address + len(found), 2)
        return found[:-2].decode("utf-16-le") if address else None

    # ---- the imports: arguments from the program's registers and memory, outputs into its memory ----

    def NetApiBufferAllocate(self) -> int:
        count, buffer = self.arguments(2)
        if buffer == 0:
            return pybuf.NetStatus.ERROR_INVALID_PARAMETER
        status, block = pybuf.NetApiBufferAllocate(count & 0xFFFFFFFF)
        if block is not None:
            self.put(buffer, "<Q", block.address)
        return status

    def NetServerEnum(self) -> int:
        server, level, bufptr, length, read, total, kind, domain, resume = self.arguments(9)
        if 0 in (bufptr, read, total):
            return pybuf.NetStatus.ERROR_INVALID_PARAMETER
        handle = struct.unpack("<I", self.uc.mem_read(resume, 4))[0] if resume else None
        # Of a DWORD on the stack or in a register, the upper half is anything.
        level, length, kind = (number & 0xFFFFFFFF for number in (level, length, kind))
        status, block, has, are, _ = pybuf.NetServerEnum(
            self.text(server), level, length, kind, self.text(domain), handle)
        self.put(bufptr, "<Q", 0 if block is None else block.address)
        self.put(read, "<I", has)
        self.put(total, "<I", are)
        return status

    def NetApiBufferFree(self) -> int:
        return pybuf.NetApiBufferFree(*self.arguments(1))

    def OutputDebugStringW(self) -> int:
        self.printed.append(self.text(*self.arguments(1)) or "")
        return 0


if __name__ == "__main__":
    emulator = Emulator(pybuf.Network(servers=[pybuf.Server("ONE"), pybuf.Server("TWO", "the second")]))
    status = emulator.run()
    print(*emulator.printed, sep="\n")
    print(f"ended with {pybuf.NetStatus(status)}; not freed: {emulator.machine.live()}")
