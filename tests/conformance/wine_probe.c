/* Does what it reads with Windows' NetApiBuffer routines, and says what it saw: one line for one line.

   alloc SLOT SIZE      alias SLOT SIZE     NetApiBufferAllocate, NetapipBufferAllocate into a slot
   realloc SLOT SIZE TO                     NetApiBufferReallocate of a slot into a slot, perhaps the same
   size SLOT            free SLOT           of a slot, which may be NULL
   null SIZE                                NetApiBufferAllocate with a NULL Buffer

   Each answers: status, whether the slot is NULL then, its size, and the CRC-32 of the bytes that were to be kept. A new
   block is filled with bytes that count up from the number of the line. */

#include <windows.h>
#include <lmcons.h>
#include <lmapibuf.h>
#include <stdio.h>
#include <string.h>

#define SLOTS 64

static NET_API_STATUS(WINAPI *alias_of_allocate)(DWORD, LPVOID *);

static DWORD crc_of(const BYTE *data, DWORD size) {
    DWORD crc = ~0u, i;
    int bit;
    for (i = 0; i < size; i++) {
        crc ^= data[i];
        for (bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

int main(void) {
    static void *slots[SLOTS];
    char verb[16], line[128];
    unsigned slot, to, size, number = 0;
    HMODULE library = LoadLibraryA("netapi32.dll");
    alias_of_allocate = library ? (void *)GetProcAddress(library, "NetapipBufferAllocate") : NULL;
    if (alias_of_allocate == NULL) return 1;
    while (fgets(line, sizeof(line), stdin) != NULL) {
        NET_API_STATUS status = 0;
        DWORD before = 0, after = 0, kept = 0, crc = 0, i;
        BOOL is_new = FALSE;
        slot = size = to = 0;
        if (sscanf(line, "%15s %u %u %u", verb, &slot, &size, &to) < 2) return 2;
        if (strcmp(verb, "null") == 0) size = slot, slot = 0;
        if (slot >= SLOTS || to >= SLOTS) return 2;
        if (strcmp(verb, "realloc") != 0) to = slot;
        if (strcmp(verb, "alloc") == 0) {
            status = NetApiBufferAllocate(size, &slots[slot]);
            is_new = TRUE;
        } else if (strcmp(verb, "alias") == 0) {
            status = alias_of_allocate(size, &slots[slot]);
            is_new = TRUE;
        } else if (strcmp(verb, "realloc") == 0) {
            void *old = slots[slot];
            if (old != NULL) NetApiBufferSize(old, &before);
            status = NetApiBufferReallocate(old, size, &slots[to]);
            if (to != slot) slots[slot] = NULL;
            kept = before < size ? before : size;
            is_new = TRUE;
        } else if (strcmp(verb, "size") == 0) {
            status = NetApiBufferSize(slots[slot], &before);
        } else if (strcmp(verb, "free") == 0) {
            if (slots[slot] != NULL && NetApiBufferSize(slots[slot], &before) == 0) kept = before;
            crc = crc_of(slots[slot], kept);
            status = NetApiBufferFree(slots[slot]);
            slots[slot] = NULL;
        } else if (strcmp(verb, "null") == 0) {
            status = NetApiBufferAllocate(size, NULL);
        } else {
            return 2;
        }
        if (slots[to] != NULL && NetApiBufferSize(slots[to], &after) != 0) return 3;
        if (is_new && slots[to] != NULL) {
            crc = crc_of(slots[to], kept);
            for (i = 0; i < after; i++) ((BYTE *)slots[to])[i] = (BYTE)(number + i);
        }
        printf("%lu %d %lu %lu\n", status, slots[to] == NULL, after, crc);
        number++;
    }
    return 0;
}
