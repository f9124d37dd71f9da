/* A custom script of RAS: logs in to a server that asks for a name and a password, and says which domain it is.
 *
 *     cc -shared -fPIC -I$(python -c 'import pybuf; print(pybuf.get_include())') script.c -o script.so
 *     pybuf ras-run ./script.so --tcp localhost:2323 --user ada --password countess
 *
 * With -DPYBUF_MS_ABI it follows the Microsoft convention, as a DLL of Windows does: add --abi ms. */
#define PYBUF_STATUS_NAMES
#include <pybuf.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORTED __declspec(dllexport)
#else
#define EXPORTED __attribute__((visibility("default")))
#endif

/* Whoever runs the script puts the table of pybuf.h here: it has the events. */
EXPORTED const pybuf_api *pybuf;

typedef struct {
    HANDLE port, event;
    PFNRASSENDBUFFER send;
    PFNRASRECEIVEBUFFER receive;
    PFNRASRETRIEVEBUFFER retrieve;
    PBYTE buffer;
    DWORD room;
    char seen[1024]; /* what came and was not looked at yet */
    size_t count;
} line;

/* Waits for a text; what came before it is in `before`, unless that is NULL, and what follows stays to be read. */
static DWORD await(line *l, const char *text, char *before) {
    char *found;
    DWORD status, size;
    while ((found = strstr(l->seen, text)) == NULL) {
        status = l->receive(l->port, l->buffer, &size, 30000, l->event);
        if (status != ERROR_SUCCESS)
            return status;
        PYBUF_WaitForSingleObject(l->event, INFINITE);
        status = l->retrieve(l->port, l->buffer, &size);
        if (status != ERROR_SUCCESS)
            return status;
        if (size > sizeof l->seen - 1 - l->count)
            return ERROR_RECV_BUF_FULL;
        memcpy(l->seen + l->count, l->buffer, size);
        l->count += size;
        l->seen[l->count] = 0;
    }
    if (before != NULL) {
        memcpy(before, l->seen, (size_t)(found - l->seen));
        before[found - l->seen] = 0;
    }
    found += strlen(text);
    l->count -= (size_t)(found - l->seen);
    memmove(l->seen, found, l->count + 1);
    return ERROR_SUCCESS;
}

/* Sends a text and the end of a line. Names here are ASCII. */
static DWORD answer(line *l, const WCHAR *text) {
    DWORD n;
    for (n = 0; text[n] != 0 && n + 1 < l->room; n++)
        l->buffer[n] = (BYTE)text[n];
    l->buffer[n++] = '\r';
    return l->send(l->port, l->buffer, n);
}

static DWORD log_in(line *l, RASDIALPARAMS *params) {
    char domain[sizeof l->seen];
    DWORD status;
    size_t n;
    if ((status = await(l, "login: ", NULL)) != ERROR_SUCCESS ||
        (status = answer(l, params->szUserName)) != ERROR_SUCCESS ||
        (status = await(l, "password: ", NULL)) != ERROR_SUCCESS ||
        (status = answer(l, params->szPassword)) != ERROR_SUCCESS ||
        (status = await(l, "domain ", NULL)) != ERROR_SUCCESS ||
        (status = await(l, "\r\n", domain)) != ERROR_SUCCESS)
        return status;
    for (n = 0; domain[n] != 0 && n < 15; n++)
        params->szDomain[n] = (WCHAR)domain[n];
    params->szDomain[n] = 0;
    return ERROR_SUCCESS;
}

EXPORTED DWORD WINAPI RasCustomScriptExecute(
    HANDLE hPort, LPCWSTR lpszPhonebook, LPCWSTR lpszEntryName, PFNRASGETBUFFER pfnRasGetBuffer,
    PFNRASFREEBUFFER pfnRasFreeBuffer, PFNRASSENDBUFFER pfnRasSendBuffer, PFNRASRECEIVEBUFFER pfnRasReceiveBuffer,
    PFNRASRETRIEVEBUFFER pfnRasRetrieveBuffer, HWND hWnd, RASDIALPARAMS *pRasDialParams, PVOID pvReserved) {
    line l = {hPort, NULL, pfnRasSendBuffer, pfnRasReceiveBuffer, pfnRasRetrieveBuffer, NULL, 300, "", 0};
    RASCUSTOMSCRIPTEXTENSIONS *extensions = pvReserved;
    RASCOMMSETTINGS settings = {sizeof settings, 0, 0, 8, 0};
    DWORD status;
    (void)lpszPhonebook, (void)lpszEntryName, (void)hWnd;

    status = extensions->pfnRasSetCommSettings(hPort, &settings, NULL);
    if (status != ERROR_SUCCESS)
        return status;
    status = pfnRasGetBuffer(&l.buffer, &l.room);
    if (status != ERROR_SUCCESS)
        return status;
    l.event = PYBUF_CreateEvent(NULL, 0, 0, NULL);
    status = log_in(&l, pRasDialParams);
    PYBUF_CloseHandle(l.event);
    pfnRasFreeBuffer(l.buffer);
    return status;
}
