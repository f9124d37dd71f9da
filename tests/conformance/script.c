/* The library of rows 52 and 53: looks at all of its eleven parameters and answers the number in szUserName. */
#include <pybuf.h>

__attribute__((visibility("default"))) DWORD WINAPI RasCustomScriptExecute(
    HANDLE hPort, LPCWSTR lpszPhonebook, LPCWSTR lpszEntryName, PFNRASGETBUFFER pfnRasGetBuffer,
    PFNRASFREEBUFFER pfnRasFreeBuffer, PFNRASSENDBUFFER pfnRasSendBuffer, PFNRASRECEIVEBUFFER pfnRasReceiveBuffer,
    PFNRASRETRIEVEBUFFER pfnRasRetrieveBuffer, HWND hWnd, RASDIALPARAMS *params, PVOID pvReserved) {
    static const char name[] = "taken", word[] = "over", domain[] = "HERE";
    RASCUSTOMSCRIPTEXTENSIONS *extensions = pvReserved;
    PBYTE buffer;
    DWORD size = 10, status = 0;
    if (lpszPhonebook[0] != 'b' || lpszPhonebook[1] != 0 || lpszEntryName[0] != 0x20AC || hWnd != NULL)
        return 1;
    if (params->dwSize != sizeof *params || params->szEntryName[0] != 0x20AC || extensions->dwSize != 12)
        return 2;
    for (const WCHAR *c = params->szUserName; *c != 0; c++)
        status = 10 * status + (*c - '0');
    if (pfnRasGetBuffer(&buffer, &size) != 0 || size != 10 || pfnRasSendBuffer(hPort, buffer, 10) != 0)
        return 3;
    if (pfnRasRetrieveBuffer(hPort, buffer, &size) != 610 || pfnRasReceiveBuffer(hPort, buffer, &size, 0, 0) != 607)
        return 4;
    if (pfnRasFreeBuffer(buffer) != 0 || pfnRasFreeBuffer(buffer) != 610)
        return 5;
    for (size_t i = 0; i < sizeof name; i++) params->szUserName[i] = (WCHAR)name[i];
    for (size_t i = 0; i < sizeof word; i++) params->szPassword[i] = (WCHAR)word[i];
    for (size_t i = 0; i < sizeof domain; i++) params->szDomain[i] = (WCHAR)domain[i];
    return status;
}
