/* Enumerates without Python, over and over: how many answers were not what they may be, and how many blocks came. */
#include <pybuf.h>

void *behind(const pybuf_api *api, struct _object *machine) { return api->machine_from_object(machine); }

static int is_inside(const void *pointer, const uint8_t *block, DWORD size) {
    return (const uint8_t *)pointer >= block && (const uint8_t *)pointer < block + size;
}

static int starts_with(const WCHAR *text, const char *word) {
    while (*word != 0)
        if (*text++ != (WCHAR)*word++) return 0;
    return 1;
}

uint32_t enumerate(const pybuf_api *api, pybuf_machine *machine, uint32_t seed, uint32_t times, uint32_t *blocks) {
    uint32_t bad = 0, resume = 0;
    while (times-- > 0) {
        LPBYTE block = NULL;
        DWORD read = 0, total = 0, size = 0, i, status, width;
        seed = seed * 1664525u + 1013904223u;
        if (seed >> 31) {
            width = 8;
            status = api->with.NetUserEnum(machine, NULL, 0, 0, &block, seed >> 20 & 0x7FF, &read, &total, &resume);
            /* The network may be another one now, and know the handle no more; 2123: nothing is written. */
            if (status != 0 && status != 234 && status != 87 && status != 2123) bad++;
            if (status != 234) resume = 0;
        } else {
            width = 16;
            status = api->with.NetServerEnum(machine, NULL, 100, &block, seed >> 20, &read, &total, 0xFFFFFFFF, NULL,
                                             NULL);
            if (status != 0 && status != 234) bad++;
        }
        if ((block == NULL) != (read == 0) || (status == 234 && read == 0)) bad++;
        if (block == NULL) continue;
        ++*blocks;
        if (api->with.NetApiBufferSize(machine, block, &size) != 0 || size < width * read) bad++;
        for (i = 0; i < read; i++) {
            const WCHAR *name = *(const WCHAR **)(block + width * i + width - 8);
            if (!is_inside(name, block, size) || !starts_with(name, width == 8 ? "user" : "server")) bad++;
        }
        if (api->with.NetApiBufferFree(machine, block) != 0) bad++;
        if (api->with.NetApiBufferFree(machine, block + 1) != 87) bad++;
    }
    return bad;
}
