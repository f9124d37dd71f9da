/* pybuf for C and C++: the documented Windows buffer routines, as the Windows headers declare them.
 *
 * Everything stands in one table of function pointers. A module that has Python.h gets it with pybuf_import(); a
 * library without Python (a custom script, say) includes this header alone and is handed what it needs:
 *
 *     #include <Python.h>
 *     #include <pybuf.h>
 *
 *     const pybuf_api *api = pybuf_import();                   // NULL: ImportError says what to do
 *     void *buffer;
 *     DWORD status = api->now.NetApiBufferAllocate(1024, &buffer);             // the machine of this thread
 *     status = api->with.NetApiBufferFree(machine, buffer);                    // a machine that is named
 *
 * `now` acts on the machine that this thread entered (machine_enter), else on the default one; `with` takes a machine.
 * `now_ms` and `with_ms` are the same in the Microsoft calling convention; their members are NULL on other processors
 * than x86-64, where there is no such thing. A routine whose family the installed pybuf does not have is NULL.
 * HD Audio's routines are the members of the interface structures, as on Windows.
 *
 * Threads: every function but machine_from_object may be called by any thread, with the GIL or without, also by
 * threads that Python never saw. Lifetime: hold a reference to the Python Machine while you use its pybuf_machine.
 *
 * Out-pointers may be NULL, which is answered as the pages say; those that are not NULL are trusted. Handles, buffers,
 * contexts and device extensions are looked up and never followed: any value may be given.
 *
 * DWORD has 32 bits and WCHAR 16 on every platform. Nothing is declared twice where Windows' own headers came first.
 * PYBUF_MS_ABI, defined before the include, gives the types of function pointers the Microsoft convention on x86-64;
 * PYBUF_STATUS_NAMES adds the names of the statuses. */
#ifndef PYBUF_H
#define PYBUF_H

#include <stddef.h>
#include <stdint.h>
#ifndef __cplusplus
#include <uchar.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised with every function that is appended to the table. */
#define PYBUF_API_VERSION 1

/* The Microsoft convention, and that of the types below. */
#if defined(_WIN32)
#define PYBUF_MS
#elif defined(__x86_64__)
#define PYBUF_MS __attribute__((ms_abi))
#else
#define PYBUF_MS
#endif
#ifndef WINAPI
#ifdef PYBUF_MS_ABI
#define WINAPI PYBUF_MS
#else
#define WINAPI
#endif
#endif

/* ---- words ----------------------------------------------------------------------------------------------------- */

#ifndef _WINDEF_
typedef uint32_t DWORD, ULONG, UINT, *PDWORD, *LPDWORD, *PULONG;
typedef int32_t LONG, BOOL;
typedef uint16_t WORD, USHORT;
typedef uint8_t BYTE, UCHAR, BOOLEAN, *PBYTE, *LPBYTE, *PUCHAR;
typedef void *PVOID, *LPVOID, *HANDLE, *HWND, **PHANDLE;
typedef uintptr_t DWORD_PTR, ULONG_PTR, SIZE_T, *PDWORD_PTR, *PSIZE_T;
typedef uint64_t ULONGLONG;
typedef char16_t WCHAR, *LPWSTR;
typedef const WCHAR *LPCWSTR;
typedef void *PSID, *PSECURITY_DESCRIPTOR;
typedef int32_t SID_NAME_USE;
#ifndef VOID
#define VOID void
#endif
#endif

/* windef.h has no NTSTATUS, and GUID and INFINITE come with headers of their own. */
#ifndef _NTDEF_
typedef LONG NTSTATUS;
#endif
#ifndef GUID_DEFINED
#define GUID_DEFINED
typedef struct _GUID {
    uint32_t Data1;
    uint16_t Data2;
    uint16_t Data3;
    uint8_t Data4[8];
} GUID;
#endif
#ifndef INFINITE
#define INFINITE 0xFFFFFFFFu
#endif

#ifndef _LMCONS_
typedef LPWSTR LMSTR;
typedef LPCWSTR LMCSTR;
#define NET_API_STATUS DWORD
#define MAX_PREFERRED_LENGTH ((DWORD)-1)
#endif

/* ---- RAS (ras.h) ----------------------------------------------------------------------------------------------- */

#ifndef _RAS_H_
#pragma pack(push, 4)
typedef struct _RASCOMMSETTINGS {
    DWORD dwSize;
    BYTE bParity;
    BYTE bStop;
    BYTE bByteSize;
    BYTE bAlign;
} RASCOMMSETTINGS;

typedef DWORD (WINAPI *PFNRASGETBUFFER)(PBYTE *ppBuffer, PDWORD pdwSize);
typedef DWORD (WINAPI *PFNRASFREEBUFFER)(PBYTE pBufer);
typedef DWORD (WINAPI *PFNRASSENDBUFFER)(HANDLE hPort, PBYTE pBuffer, DWORD dwSize);
typedef DWORD (WINAPI *PFNRASRECEIVEBUFFER)(HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize, DWORD dwTimeOut,
    HANDLE hEvent);
typedef DWORD (WINAPI *PFNRASRETRIEVEBUFFER)(HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize);
typedef DWORD (WINAPI *PFNRASSETCOMMSETTINGS)(HANDLE hPort, RASCOMMSETTINGS *pRasCommSettings, PVOID
    pvReserved);

typedef struct _RASCUSTOMSCRIPTEXTENSIONS {
    DWORD dwSize;
    PFNRASSETCOMMSETTINGS pfnRasSetCommSettings;
} RASCUSTOMSCRIPTEXTENSIONS;

/* As from Windows 7 on (WINVER >= 0x601). Before, dwIfIndex was not there and dwSize 4 less. */
typedef struct _RASDIALPARAMSW {
    DWORD dwSize;
    WCHAR szEntryName[257];
    WCHAR szPhoneNumber[129];
    WCHAR szCallbackNumber[129];
    WCHAR szUserName[257];
    WCHAR szPassword[257];
    WCHAR szDomain[16];
    DWORD dwSubEntry;
    ULONG_PTR dwCallbackId;
    DWORD dwIfIndex;
} RASDIALPARAMSW;
#pragma pack(pop)
typedef RASDIALPARAMSW RASDIALPARAMS;

/* What a custom script's library exports under the name RasCustomScriptExecute. pvReserved is a
 * RASCUSTOMSCRIPTEXTENSIONS *. */
typedef DWORD (WINAPI *RASCUSTOMSCRIPTEXECUTEFN)(
    HANDLE hPort, LPCWSTR lpszPhonebook, LPCWSTR lpszEntryName, PFNRASGETBUFFER pfnRasGetBuffer,
    PFNRASFREEBUFFER pfnRasFreeBuffer, PFNRASSENDBUFFER pfnRasSendBuffer, PFNRASRECEIVEBUFFER pfnRasReceiveBuffer,
    PFNRASRETRIEVEBUFFER pfnRasRetrieveBuffer, HWND hWnd, RASDIALPARAMS *pRasDialParams, PVOID pvReserved);
#endif

/* ---- NetApi (lmserver.h, lmwksta.h, lmaccess.h, lmshare.h, lmjoin.h, dsgetdc.h) --------------------------------- */

#ifndef _LMCONS_
typedef struct _SERVER_INFO_100 {
    DWORD sv100_platform_id;
    LPWSTR sv100_name;
} SERVER_INFO_100, *PSERVER_INFO_100, *LPSERVER_INFO_100;

typedef struct _SERVER_INFO_101 {
    DWORD sv101_platform_id;
    LPWSTR sv101_name;
    DWORD sv101_version_major;
    DWORD sv101_version_minor;
    DWORD sv101_type;
    LPWSTR sv101_comment;
} SERVER_INFO_101, *PSERVER_INFO_101, *LPSERVER_INFO_101;

typedef struct _SERVER_INFO_102 {
    DWORD sv102_platform_id;
    LPWSTR sv102_name;
    DWORD sv102_version_major;
    DWORD sv102_version_minor;
    DWORD sv102_type;
    LPWSTR sv102_comment;
    DWORD sv102_users;
    LONG sv102_disc;
    BOOL sv102_hidden;
    DWORD sv102_announce;
    DWORD sv102_anndelta;
    DWORD sv102_licenses;
    LPWSTR sv102_userpath;
} SERVER_INFO_102, *PSERVER_INFO_102, *LPSERVER_INFO_102;

typedef struct _WKSTA_INFO_100 {
    DWORD wki100_platform_id;
    LPWSTR wki100_computername;
    LPWSTR wki100_langroup;
    DWORD wki100_ver_major;
    DWORD wki100_ver_minor;
} WKSTA_INFO_100, *PWKSTA_INFO_100, *LPWKSTA_INFO_100;

typedef struct _WKSTA_INFO_101 {
    DWORD wki101_platform_id;
    LPWSTR wki101_computername;
    LPWSTR wki101_langroup;
    DWORD wki101_ver_major;
    DWORD wki101_ver_minor;
    LPWSTR wki101_lanroot;
} WKSTA_INFO_101, *PWKSTA_INFO_101, *LPWKSTA_INFO_101;

typedef struct _WKSTA_INFO_102 {
    DWORD wki102_platform_id;
    LPWSTR wki102_computername;
    LPWSTR wki102_langroup;
    DWORD wki102_ver_major;
    DWORD wki102_ver_minor;
    LPWSTR wki102_lanroot;
    DWORD wki102_logged_on_users;
} WKSTA_INFO_102, *PWKSTA_INFO_102, *LPWKSTA_INFO_102;

typedef struct _WKSTA_USER_INFO_0 {
    LPWSTR wkui0_username;
} WKSTA_USER_INFO_0, *PWKSTA_USER_INFO_0, *LPWKSTA_USER_INFO_0;

typedef struct _WKSTA_USER_INFO_1 {
    LPWSTR wkui1_username;
    LPWSTR wkui1_logon_domain;
    LPWSTR wkui1_oth_domains;
    LPWSTR wkui1_logon_server;
} WKSTA_USER_INFO_1, *PWKSTA_USER_INFO_1, *LPWKSTA_USER_INFO_1;

typedef struct _WKSTA_USER_INFO_1101 {
    LPWSTR wkui1101_oth_domains;
} WKSTA_USER_INFO_1101, *PWKSTA_USER_INFO_1101, *LPWKSTA_USER_INFO_1101;

typedef struct _WKSTA_TRANSPORT_INFO_0 {
    DWORD wkti0_quality_of_service;
    DWORD wkti0_number_of_vcs;
    LPWSTR wkti0_transport_name;
    LPWSTR wkti0_transport_address;
    BOOL wkti0_wan_ish;
} WKSTA_TRANSPORT_INFO_0, *PWKSTA_TRANSPORT_INFO_0, *LPWKSTA_TRANSPORT_INFO_0;

typedef struct _USER_INFO_0 {
    LPWSTR usri0_name;
} USER_INFO_0, *PUSER_INFO_0, *LPUSER_INFO_0;

typedef struct _USER_INFO_1 {
    LPWSTR usri1_name;
    LPWSTR usri1_password;
    DWORD usri1_password_age;
    DWORD usri1_priv;
    LPWSTR usri1_home_dir;
    LPWSTR usri1_comment;
    DWORD usri1_flags;
    LPWSTR usri1_script_path;
} USER_INFO_1, *PUSER_INFO_1, *LPUSER_INFO_1;

typedef struct _USER_INFO_2 {
    LPWSTR usri2_name;
    LPWSTR usri2_password;
    DWORD usri2_password_age;
    DWORD usri2_priv;
    LPWSTR usri2_home_dir;
    LPWSTR usri2_comment;
    DWORD usri2_flags;
    LPWSTR usri2_script_path;
    DWORD usri2_auth_flags;
    LPWSTR usri2_full_name;
    LPWSTR usri2_usr_comment;
    LPWSTR usri2_parms;
    LPWSTR usri2_workstations;
    DWORD usri2_last_logon;
    DWORD usri2_last_logoff;
    DWORD usri2_acct_expires;
    DWORD usri2_max_storage;
    DWORD usri2_units_per_week;
    PBYTE usri2_logon_hours;
    DWORD usri2_bad_pw_count;
    DWORD usri2_num_logons;
    LPWSTR usri2_logon_server;
    DWORD usri2_country_code;
    DWORD usri2_code_page;
} USER_INFO_2, *PUSER_INFO_2, *LPUSER_INFO_2;

typedef struct _USER_INFO_3 {
    LPWSTR usri3_name;
    LPWSTR usri3_password;
    DWORD usri3_password_age;
    DWORD usri3_priv;
    LPWSTR usri3_home_dir;
    LPWSTR usri3_comment;
    DWORD usri3_flags;
    LPWSTR usri3_script_path;
    DWORD usri3_auth_flags;
    LPWSTR usri3_full_name;
    LPWSTR usri3_usr_comment;
    LPWSTR usri3_parms;
    LPWSTR usri3_workstations;
    DWORD usri3_last_logon;
    DWORD usri3_last_logoff;
    DWORD usri3_acct_expires;
    DWORD usri3_max_storage;
    DWORD usri3_units_per_week;
    PBYTE usri3_logon_hours;
    DWORD usri3_bad_pw_count;
    DWORD usri3_num_logons;
    LPWSTR usri3_logon_server;
    DWORD usri3_country_code;
    DWORD usri3_code_page;
    DWORD usri3_user_id;
    DWORD usri3_primary_group_id;
    LPWSTR usri3_profile;
    LPWSTR usri3_home_dir_drive;
    DWORD usri3_password_expired;
} USER_INFO_3, *PUSER_INFO_3, *LPUSER_INFO_3;

typedef struct _USER_INFO_4 {
    LPWSTR usri4_name;
    LPWSTR usri4_password;
    DWORD usri4_password_age;
    DWORD usri4_priv;
    LPWSTR usri4_home_dir;
    LPWSTR usri4_comment;
    DWORD usri4_flags;
    LPWSTR usri4_script_path;
    DWORD usri4_auth_flags;
    LPWSTR usri4_full_name;
    LPWSTR usri4_usr_comment;
    LPWSTR usri4_parms;
    LPWSTR usri4_workstations;
    DWORD usri4_last_logon;
    DWORD usri4_last_logoff;
    DWORD usri4_acct_expires;
    DWORD usri4_max_storage;
    DWORD usri4_units_per_week;
    PBYTE usri4_logon_hours;
    DWORD usri4_bad_pw_count;
    DWORD usri4_num_logons;
    LPWSTR usri4_logon_server;
    DWORD usri4_country_code;
    DWORD usri4_code_page;
    PVOID usri4_user_sid;
    DWORD usri4_primary_group_id;
    LPWSTR usri4_profile;
    LPWSTR usri4_home_dir_drive;
    DWORD usri4_password_expired;
} USER_INFO_4, *PUSER_INFO_4, *LPUSER_INFO_4;

typedef struct _USER_INFO_10 {
    LPWSTR usri10_name;
    LPWSTR usri10_comment;
    LPWSTR usri10_usr_comment;
    LPWSTR usri10_full_name;
} USER_INFO_10, *PUSER_INFO_10, *LPUSER_INFO_10;

typedef struct _USER_INFO_11 {
    LPWSTR usri11_name;
    LPWSTR usri11_comment;
    LPWSTR usri11_usr_comment;
    LPWSTR usri11_full_name;
    DWORD usri11_priv;
    DWORD usri11_auth_flags;
    DWORD usri11_password_age;
    LPWSTR usri11_home_dir;
    LPWSTR usri11_parms;
    DWORD usri11_last_logon;
    DWORD usri11_last_logoff;
    DWORD usri11_bad_pw_count;
    DWORD usri11_num_logons;
    LPWSTR usri11_logon_server;
    DWORD usri11_country_code;
    LPWSTR usri11_workstations;
    DWORD usri11_max_storage;
    DWORD usri11_units_per_week;
    PBYTE usri11_logon_hours;
    DWORD usri11_code_page;
} USER_INFO_11, *PUSER_INFO_11, *LPUSER_INFO_11;

typedef struct _USER_INFO_20 {
    LPWSTR usri20_name;
    LPWSTR usri20_full_name;
    LPWSTR usri20_comment;
    DWORD usri20_flags;
    DWORD usri20_user_id;
} USER_INFO_20, *PUSER_INFO_20, *LPUSER_INFO_20;

typedef struct _USER_INFO_23 {
    LPWSTR usri23_name;
    LPWSTR usri23_full_name;
    LPWSTR usri23_comment;
    DWORD usri23_flags;
    PVOID usri23_user_sid;
} USER_INFO_23, *PUSER_INFO_23, *LPUSER_INFO_23;

typedef struct _USER_INFO_24 {
    BOOL usri24_internet_identity;
    DWORD usri24_flags;
    LPWSTR usri24_internet_provider_name;
    LPWSTR usri24_internet_principal_name;
    PVOID usri24_user_sid;
} USER_INFO_24, *PUSER_INFO_24, *LPUSER_INFO_24;

typedef struct _SHARE_INFO_0 {
    LPWSTR shi0_netname;
} SHARE_INFO_0, *PSHARE_INFO_0, *LPSHARE_INFO_0;

typedef struct _SHARE_INFO_1 {
    LPWSTR shi1_netname;
    DWORD shi1_type;
    LPWSTR shi1_remark;
} SHARE_INFO_1, *PSHARE_INFO_1, *LPSHARE_INFO_1;

typedef struct _SHARE_INFO_2 {
    LPWSTR shi2_netname;
    DWORD shi2_type;
    LPWSTR shi2_remark;
    DWORD shi2_permissions;
    DWORD shi2_max_uses;
    DWORD shi2_current_uses;
    LPWSTR shi2_path;
    LPWSTR shi2_passwd;
} SHARE_INFO_2, *PSHARE_INFO_2, *LPSHARE_INFO_2;

typedef struct _SHARE_INFO_502 {
    LPWSTR shi502_netname;
    DWORD shi502_type;
    LPWSTR shi502_remark;
    DWORD shi502_permissions;
    DWORD shi502_max_uses;
    DWORD shi502_current_uses;
    LPWSTR shi502_path;
    LPWSTR shi502_passwd;
    DWORD shi502_reserved;
    PVOID shi502_security_descriptor;
} SHARE_INFO_502, *PSHARE_INFO_502, *LPSHARE_INFO_502;

typedef struct _LOCALGROUP_INFO_0 {
    LPWSTR lgrpi0_name;
} LOCALGROUP_INFO_0, *PLOCALGROUP_INFO_0, *LPLOCALGROUP_INFO_0;

typedef struct _LOCALGROUP_INFO_1 {
    LPWSTR lgrpi1_name;
    LPWSTR lgrpi1_comment;
} LOCALGROUP_INFO_1, *PLOCALGROUP_INFO_1, *LPLOCALGROUP_INFO_1;

typedef struct _NET_DISPLAY_USER {
    LPWSTR usri1_name;
    LPWSTR usri1_comment;
    DWORD usri1_flags;
    LPWSTR usri1_full_name;
    DWORD usri1_user_id;
    DWORD usri1_next_index;
} NET_DISPLAY_USER, *PNET_DISPLAY_USER, *LPNET_DISPLAY_USER;

typedef struct _NET_DISPLAY_MACHINE {
    LPWSTR usri2_name;
    LPWSTR usri2_comment;
    DWORD usri2_flags;
    DWORD usri2_user_id;
    DWORD usri2_next_index;
} NET_DISPLAY_MACHINE, *PNET_DISPLAY_MACHINE, *LPNET_DISPLAY_MACHINE;

typedef struct _NET_DISPLAY_GROUP {
    LPWSTR grpi3_name;
    LPWSTR grpi3_comment;
    DWORD grpi3_group_id;
    DWORD grpi3_attributes;
    DWORD grpi3_next_index;
} NET_DISPLAY_GROUP, *PNET_DISPLAY_GROUP, *LPNET_DISPLAY_GROUP;

typedef struct _LOCALGROUP_MEMBERS_INFO_0 {
    PVOID lgrmi0_sid;
} LOCALGROUP_MEMBERS_INFO_0, *PLOCALGROUP_MEMBERS_INFO_0, *LPLOCALGROUP_MEMBERS_INFO_0;

typedef struct _LOCALGROUP_MEMBERS_INFO_1 {
    PVOID lgrmi1_sid;
    int32_t lgrmi1_sidusage;
    LPWSTR lgrmi1_name;
} LOCALGROUP_MEMBERS_INFO_1, *PLOCALGROUP_MEMBERS_INFO_1, *LPLOCALGROUP_MEMBERS_INFO_1;

typedef struct _LOCALGROUP_MEMBERS_INFO_2 {
    PVOID lgrmi2_sid;
    int32_t lgrmi2_sidusage;
    LPWSTR lgrmi2_domainandname;
} LOCALGROUP_MEMBERS_INFO_2, *PLOCALGROUP_MEMBERS_INFO_2, *LPLOCALGROUP_MEMBERS_INFO_2;

typedef struct _LOCALGROUP_MEMBERS_INFO_3 {
    LPWSTR lgrmi3_domainandname;
} LOCALGROUP_MEMBERS_INFO_3, *PLOCALGROUP_MEMBERS_INFO_3, *LPLOCALGROUP_MEMBERS_INFO_3;

typedef struct _LOCALGROUP_USERS_INFO_0 {
    LPWSTR lgrui0_name;
} LOCALGROUP_USERS_INFO_0, *PLOCALGROUP_USERS_INFO_0, *LPLOCALGROUP_USERS_INFO_0;

typedef struct _GROUP_INFO_0 {
    LPWSTR grpi0_name;
} GROUP_INFO_0, *PGROUP_INFO_0, *LPGROUP_INFO_0;

typedef struct _GROUP_INFO_1 {
    LPWSTR grpi1_name;
    LPWSTR grpi1_comment;
} GROUP_INFO_1, *PGROUP_INFO_1, *LPGROUP_INFO_1;

typedef struct _GROUP_INFO_2 {
    LPWSTR grpi2_name;
    LPWSTR grpi2_comment;
    DWORD grpi2_group_id;
    DWORD grpi2_attributes;
} GROUP_INFO_2, *PGROUP_INFO_2, *LPGROUP_INFO_2;

typedef struct _DOMAIN_CONTROLLER_INFOW {
    LPWSTR DomainControllerName;
    LPWSTR DomainControllerAddress;
    ULONG DomainControllerAddressType;
    GUID DomainGuid;
    LPWSTR DomainName;
    LPWSTR DnsForestName;
    ULONG Flags;
    LPWSTR DcSiteName;
    LPWSTR ClientSiteName;
} DOMAIN_CONTROLLER_INFOW, *PDOMAIN_CONTROLLER_INFOW, *LPDOMAIN_CONTROLLER_INFOW;

typedef struct _SHARE_INFO_503 {
    LPWSTR shi503_netname;
    DWORD shi503_type;
    LPWSTR shi503_remark;
    DWORD shi503_permissions;
    DWORD shi503_max_uses;
    DWORD shi503_current_uses;
    LPWSTR shi503_path;
    LPWSTR shi503_passwd;
    LPWSTR shi503_servername;
    DWORD shi503_reserved;
    PVOID shi503_security_descriptor;
} SHARE_INFO_503, *PSHARE_INFO_503, *LPSHARE_INFO_503;

typedef enum _NETSETUP_JOIN_STATUS {
    NetSetupUnknownStatus = 0,
    NetSetupUnjoined = 1,
    NetSetupWorkgroupName = 2,
    NetSetupDomainName = 3
} NETSETUP_JOIN_STATUS, *PNETSETUP_JOIN_STATUS;
#endif

/* ---- VideoPort (video.h) --------------------------------------------------------------------------------------- */

#ifndef __VIDEO_H__
typedef LONG VP_STATUS;
typedef enum _VP_POOL_TYPE {
    VpNonPagedPool = 0,
    VpPagedPool = 1,
    VpNonPagedPoolCacheAligned = 4,
    VpPagedPoolCacheAligned = 5
} VP_POOL_TYPE;
#endif

/* ---- HD Audio (hdaudio.h) -------------------------------------------------------------------------------------- */

typedef struct _HDAUDIO_STREAM_FORMAT {
    ULONG SampleRate;
    USHORT ValidBitsPerSample;
    USHORT ContainerSize;
    USHORT NumberOfChannels;
} HDAUDIO_STREAM_FORMAT, *PHDAUDIO_STREAM_FORMAT;

typedef struct _HDAUDIO_CONVERTER_FORMAT {
    USHORT ConverterFormat;
} HDAUDIO_CONVERTER_FORMAT, *PHDAUDIO_CONVERTER_FORMAT;

/* One fragment of a buffer. InterruptOnCompletion is 1 or 0. */
typedef struct _HDAUDIO_BUFFER_DESCRIPTOR {
    uint64_t Address;
    ULONG Length;
    ULONG InterruptOnCompletion;
} HDAUDIO_BUFFER_DESCRIPTOR, *PHDAUDIO_BUFFER_DESCRIPTOR;

/* The header's numbers: StopState and PauseState are one state of the hardware. */
typedef enum _HDAUDIO_STREAM_STATE {
    ResetState = 0,
    StopState = 1,
    PauseState = 1,
    RunState = 2
} HDAUDIO_STREAM_STATE, *PHDAUDIO_STREAM_STATE;

typedef struct _HDAUDIO_DEVICE_INFORMATION {
    USHORT Size;
    USHORT DeviceVersion;
    USHORT DriverVersion;
    USHORT CodecsDetected;
    BOOLEAN IsStripingSupported;
} HDAUDIO_DEVICE_INFORMATION, *PHDAUDIO_DEVICE_INFORMATION;

typedef struct _HDAUDIO_DEVICE_INFORMATION_V2 {
    USHORT Size;
    USHORT DeviceVersion;
    USHORT DriverVersion;
    USHORT CodecsDetected;
    BOOLEAN IsStripingSupported;
    UCHAR CtrlRevision;
    USHORT CtrlVendorId;
    USHORT CtrlDeviceId;
} HDAUDIO_DEVICE_INFORMATION_V2, *PHDAUDIO_DEVICE_INFORMATION_V2;

/* Data 8, VerbId 12, Node 8 and CodecAddress 4 bits; or Data 16, VerbId 4, Node 8 and CodecAddress 4. */
typedef struct _HDAUDIO_CODEC_COMMAND {
    ULONG Command;
} HDAUDIO_CODEC_COMMAND, *PHDAUDIO_CODEC_COMMAND;

typedef union _HDAUDIO_CODEC_RESPONSE {
    struct {
        ULONG Response;
        ULONG SDataIn : 4;
        ULONG IsUnsolicitedResponse : 1;
        ULONG Reserved : 25;
        ULONG HasFifoOverrun : 1;
        ULONG IsValid : 1;
    } Parts;
#if defined(__i386__) && !defined(_WIN32)
    __attribute__((aligned(8))) /* as it is on Windows; this platform would be content with 4 */
#endif
    uint64_t CompleteResponse;
} HDAUDIO_CODEC_RESPONSE, *PHDAUDIO_CODEC_RESPONSE;

typedef struct _HDAUDIO_CODEC_TRANSFER {
    HDAUDIO_CODEC_COMMAND Output;
    HDAUDIO_CODEC_RESPONSE Input;
} HDAUDIO_CODEC_TRANSFER, *PHDAUDIO_CODEC_TRANSFER;

/* The head of a memory descriptor list; the numbers of its pages, one word each, stand behind it. */
#ifndef _WDMDDK_
typedef struct _MDL {
    struct _MDL *Next;
    int16_t Size;
    int16_t MdlFlags;
    PVOID Process;
    PVOID MappedSystemVa;
    PVOID StartVa;
    ULONG ByteCount;
    ULONG ByteOffset;
} MDL, *PMDL;
#define MDL_MAPPED_TO_SYSTEM_VA 1
typedef PVOID PKEVENT; /* a handle of PYBUF_CreateEvent */
typedef VOID (WINAPI *PINTERFACE_REFERENCE)(PVOID Context);
typedef VOID (WINAPI *PINTERFACE_DEREFERENCE)(PVOID Context);
#endif

typedef VOID (WINAPI *PHDAUDIO_TRANSFER_COMPLETE_CALLBACK)(PHDAUDIO_CODEC_TRANSFER Transfer, PVOID Context);
typedef VOID (WINAPI *PHDAUDIO_UNSOLICITED_RESPONSE_CALLBACK)(HDAUDIO_CODEC_RESPONSE Response, PVOID Context);
/* Bits of what the routine is told: 2 a fragment is complete, 3 FIFO error, 4 descriptor error. */
typedef VOID (WINAPI *PHDAUDIO_BDL_ISR)(PVOID Context, ULONG InterruptBitMask);

typedef NTSTATUS (WINAPI *PTRANSFER_CODEC_VERBS)(PVOID context, ULONG Count, PHDAUDIO_CODEC_TRANSFER
    CodecTransfer, PHDAUDIO_TRANSFER_COMPLETE_CALLBACK Callback, PVOID Context);
typedef NTSTATUS (WINAPI *PALLOCATE_CAPTURE_DMA_ENGINE)(PVOID context, UCHAR CodecAddress,
    PHDAUDIO_STREAM_FORMAT StreamFormat, PHANDLE Handle, PHDAUDIO_CONVERTER_FORMAT ConverterFormat);
typedef NTSTATUS (WINAPI *PALLOCATE_RENDER_DMA_ENGINE)(PVOID context, PHDAUDIO_STREAM_FORMAT StreamFormat,
    BOOLEAN Stripe, PHANDLE Handle, PHDAUDIO_CONVERTER_FORMAT ConverterFormat);
typedef NTSTATUS (WINAPI *PCHANGE_BANDWIDTH_ALLOCATION)(PVOID context, HANDLE Handle, PHDAUDIO_STREAM_FORMAT
    StreamFormat, PHDAUDIO_CONVERTER_FORMAT ConverterFormat);
typedef NTSTATUS (WINAPI *PALLOCATE_DMA_BUFFER)(PVOID context, HANDLE Handle, SIZE_T RequestedBufferSize, PMDL
    *BufferMdl, PSIZE_T AllocatedBufferSize, PUCHAR StreamId, PULONG FifoSize);
typedef NTSTATUS (WINAPI *PFREE_DMA_BUFFER)(PVOID context, HANDLE Handle);
typedef NTSTATUS (WINAPI *PALLOCATE_DMA_BUFFER_WITH_NOTIFICATION)(PVOID context, HANDLE Handle, ULONG
    NotificationCount, SIZE_T RequestedBufferSize, PMDL *BufferMdl, PSIZE_T AllocatedBufferSize, PSIZE_T
    OffsetFromFirstPage, PUCHAR StreamId, PULONG FifoSize);
typedef NTSTATUS (WINAPI *PFREE_DMA_BUFFER_WITH_NOTIFICATION)(PVOID context, HANDLE Handle, PMDL BufferMdl,
    SIZE_T BufferSize);
typedef NTSTATUS (WINAPI *PALLOCATE_CONTIGUOUS_DMA_BUFFER)(PVOID context, HANDLE Handle, ULONG
    RequestedBufferSize, PVOID *DataBuffer, PHDAUDIO_BUFFER_DESCRIPTOR *BdlBuffer);
typedef NTSTATUS (WINAPI *PSETUP_DMA_ENGINE_WITH_BDL)(PVOID context, HANDLE Handle, ULONG BufferLength, ULONG
    Lvi, PHDAUDIO_BDL_ISR Isr, PVOID Context, PUCHAR StreamId, PULONG FifoSize);
typedef NTSTATUS (WINAPI *PFREE_CONTIGUOUS_DMA_BUFFER)(PVOID context, HANDLE Handle);
typedef NTSTATUS (WINAPI *PSET_DMA_ENGINE_STATE)(PVOID context, HDAUDIO_STREAM_STATE StreamState, ULONG
    NumberOfHandles, PHANDLE Handles);
typedef NTSTATUS (WINAPI *PFREE_DMA_ENGINE)(PVOID context, HANDLE Handle);
typedef NTSTATUS (WINAPI *PGET_LINK_POSITION_REGISTER)(PVOID context, HANDLE Handle, PULONG *Position);
typedef VOID (WINAPI *PGET_WALL_CLOCK_REGISTER)(PVOID context, PULONG *Wallclock);
typedef VOID (WINAPI *PGET_RESOURCE_INFORMATION)(PVOID context, PUCHAR CodecAddress, PUCHAR
    FunctionGroupStartNode);
typedef NTSTATUS (WINAPI *PGET_DEVICE_INFORMATION)(PVOID context, PHDAUDIO_DEVICE_INFORMATION
    DeviceInformation);
typedef NTSTATUS (WINAPI *PREGISTER_EVENT_CALLBACK)(PVOID context, PHDAUDIO_UNSOLICITED_RESPONSE_CALLBACK
    Routine, PVOID Context, PUCHAR Tag);
typedef NTSTATUS (WINAPI *PUNREGISTER_EVENT_CALLBACK)(PVOID context, UCHAR Tag);
typedef NTSTATUS (WINAPI *PREGISTER_NOTIFICATION_EVENT)(PVOID context, HANDLE Handle, PKEVENT
    NotificationEvent);
typedef NTSTATUS (WINAPI *PUNREGISTER_NOTIFICATION_EVENT)(PVOID context, HANDLE Handle, PKEVENT
    NotificationEvent);

typedef struct _HDAUDIO_BUS_INTERFACE {
    USHORT Size;
    USHORT Version;
    PVOID Context;
    PINTERFACE_REFERENCE InterfaceReference;
    PINTERFACE_DEREFERENCE InterfaceDereference;
    PTRANSFER_CODEC_VERBS TransferCodecVerbs;
    PALLOCATE_CAPTURE_DMA_ENGINE AllocateCaptureDmaEngine;
    PALLOCATE_RENDER_DMA_ENGINE AllocateRenderDmaEngine;
    PCHANGE_BANDWIDTH_ALLOCATION ChangeBandwidthAllocation;
    PALLOCATE_DMA_BUFFER AllocateDmaBuffer;
    PFREE_DMA_BUFFER FreeDmaBuffer;
    PFREE_DMA_ENGINE FreeDmaEngine;
    PSET_DMA_ENGINE_STATE SetDmaEngineState;
    PGET_WALL_CLOCK_REGISTER GetWallClockRegister;
    PGET_LINK_POSITION_REGISTER GetLinkPositionRegister;
    PREGISTER_EVENT_CALLBACK RegisterEventCallback;
    PUNREGISTER_EVENT_CALLBACK UnregisterEventCallback;
    PGET_DEVICE_INFORMATION GetDeviceInformation;
    PGET_RESOURCE_INFORMATION GetResourceInformation;
} HDAUDIO_BUS_INTERFACE, *PHDAUDIO_BUS_INTERFACE;

typedef struct _HDAUDIO_BUS_INTERFACE_V2 {
    USHORT Size;
    USHORT Version;
    PVOID Context;
    PINTERFACE_REFERENCE InterfaceReference;
    PINTERFACE_DEREFERENCE InterfaceDereference;
    PTRANSFER_CODEC_VERBS TransferCodecVerbs;
    PALLOCATE_CAPTURE_DMA_ENGINE AllocateCaptureDmaEngine;
    PALLOCATE_RENDER_DMA_ENGINE AllocateRenderDmaEngine;
    PCHANGE_BANDWIDTH_ALLOCATION ChangeBandwidthAllocation;
    PALLOCATE_DMA_BUFFER AllocateDmaBuffer;
    PFREE_DMA_BUFFER FreeDmaBuffer;
    PFREE_DMA_ENGINE FreeDmaEngine;
    PSET_DMA_ENGINE_STATE SetDmaEngineState;
    PGET_WALL_CLOCK_REGISTER GetWallClockRegister;
    PGET_LINK_POSITION_REGISTER GetLinkPositionRegister;
    PREGISTER_EVENT_CALLBACK RegisterEventCallback;
    PUNREGISTER_EVENT_CALLBACK UnregisterEventCallback;
    PGET_DEVICE_INFORMATION GetDeviceInformation;
    PGET_RESOURCE_INFORMATION GetResourceInformation;
    PALLOCATE_DMA_BUFFER_WITH_NOTIFICATION AllocateDmaBufferWithNotification;
    PFREE_DMA_BUFFER_WITH_NOTIFICATION FreeDmaBufferWithNotification;
    PREGISTER_NOTIFICATION_EVENT RegisterNotificationEvent;
    PUNREGISTER_NOTIFICATION_EVENT UnregisterNotificationEvent;
} HDAUDIO_BUS_INTERFACE_V2, *PHDAUDIO_BUS_INTERFACE_V2;

typedef struct _HDAUDIO_BUS_INTERFACE_BDL {
    USHORT Size;
    USHORT Version;
    PVOID Context;
    PINTERFACE_REFERENCE InterfaceReference;
    PINTERFACE_DEREFERENCE InterfaceDereference;
    PTRANSFER_CODEC_VERBS TransferCodecVerbs;
    PALLOCATE_CAPTURE_DMA_ENGINE AllocateCaptureDmaEngine;
    PALLOCATE_RENDER_DMA_ENGINE AllocateRenderDmaEngine;
    PCHANGE_BANDWIDTH_ALLOCATION ChangeBandwidthAllocation;
    PALLOCATE_CONTIGUOUS_DMA_BUFFER AllocateContiguousDmaBuffer;
    PSETUP_DMA_ENGINE_WITH_BDL SetupDmaEngineWithBdl;
    PFREE_CONTIGUOUS_DMA_BUFFER FreeContiguousDmaBuffer;
    PFREE_DMA_ENGINE FreeDmaEngine;
    PSET_DMA_ENGINE_STATE SetDmaEngineState;
    PGET_WALL_CLOCK_REGISTER GetWallClockRegister;
    PGET_LINK_POSITION_REGISTER GetLinkPositionRegister;
    PREGISTER_EVENT_CALLBACK RegisterEventCallback;
    PUNREGISTER_EVENT_CALLBACK UnregisterEventCallback;
    PGET_DEVICE_INFORMATION GetDeviceInformation;
    PGET_RESOURCE_INFORMATION GetResourceInformation;
} HDAUDIO_BUS_INTERFACE_BDL, *PHDAUDIO_BUS_INTERFACE_BDL;

#ifndef GUID_HDAUDIO_BUS_INTERFACE
static const GUID GUID_HDAUDIO_BUS_INTERFACE = {
    0xD2EAF88Bu, 0xAB18u, 0x41A8u, {0xB6, 0x64, 0x8D, 0x59, 0x21, 0x67, 0x67, 0x1B}};
static const GUID GUID_HDAUDIO_BUS_INTERFACE_BDL = {
    0xB4D65397u, 0x5634u, 0x40B0u, {0xB0, 0x68, 0xF5, 0xB9, 0xF8, 0xB9, 0x67, 0xA5}};
static const GUID GUID_HDAUDIO_BUS_INTERFACE_V2 = {
    0xB52AF5FBu, 0x424Bu, 0x4BB9u, {0xA1, 0x60, 0x5B, 0x38, 0xBE, 0x94, 0xE5, 0x68}};
#endif

/* ---- layouts --------------------------------------------------------------------------------------------------- */

#ifdef __cplusplus
#define PYBUF_ASSERT(condition, text) static_assert(condition, text)
#else
#define PYBUF_ASSERT(condition, text) _Static_assert(condition, text)
#endif
/* With pointers of 8 bytes, and of 4. */
#define PYBUF_SIZE(type, eight, four) \
    PYBUF_ASSERT(sizeof(type) == (sizeof(void *) == 8 ? (eight) : (four)), "size of " #type)
#define PYBUF_AT(type, member, eight, four) \
    PYBUF_ASSERT(offsetof(type, member) == (sizeof(void *) == 8 ? (eight) : (four)), "offset of " #type "." #member)

#ifndef _RAS_H_
PYBUF_SIZE(RASCOMMSETTINGS, 8, 8);
PYBUF_SIZE(RASCUSTOMSCRIPTEXTENSIONS, 12, 8);
PYBUF_AT(RASCUSTOMSCRIPTEXTENSIONS, pfnRasSetCommSettings, 4, 4);
PYBUF_SIZE(RASDIALPARAMSW, 2112, 2108);
PYBUF_AT(RASDIALPARAMSW, szUserName, 1034, 1034);
PYBUF_AT(RASDIALPARAMSW, szPassword, 1548, 1548);
PYBUF_AT(RASDIALPARAMSW, szDomain, 2062, 2062);
PYBUF_AT(RASDIALPARAMSW, dwSubEntry, 2096, 2096);
PYBUF_AT(RASDIALPARAMSW, dwCallbackId, 2100, 2100);
#endif
#ifndef _LMCONS_
PYBUF_AT(SERVER_INFO_100, sv100_platform_id, 0, 0);
PYBUF_AT(SERVER_INFO_100, sv100_name, 8, 4);
PYBUF_SIZE(SERVER_INFO_100, 16, 8);
PYBUF_AT(SERVER_INFO_101, sv101_platform_id, 0, 0);
PYBUF_AT(SERVER_INFO_101, sv101_name, 8, 4);
PYBUF_AT(SERVER_INFO_101, sv101_version_major, 16, 8);
PYBUF_AT(SERVER_INFO_101, sv101_version_minor, 20, 12);
PYBUF_AT(SERVER_INFO_101, sv101_type, 24, 16);
PYBUF_AT(SERVER_INFO_101, sv101_comment, 32, 20);
PYBUF_SIZE(SERVER_INFO_101, 40, 24);
PYBUF_AT(SERVER_INFO_102, sv102_platform_id, 0, 0);
PYBUF_AT(SERVER_INFO_102, sv102_name, 8, 4);
PYBUF_AT(SERVER_INFO_102, sv102_version_major, 16, 8);
PYBUF_AT(SERVER_INFO_102, sv102_version_minor, 20, 12);
PYBUF_AT(SERVER_INFO_102, sv102_type, 24, 16);
PYBUF_AT(SERVER_INFO_102, sv102_comment, 32, 20);
PYBUF_AT(SERVER_INFO_102, sv102_users, 40, 24);
PYBUF_AT(SERVER_INFO_102, sv102_disc, 44, 28);
PYBUF_AT(SERVER_INFO_102, sv102_hidden, 48, 32);
PYBUF_AT(SERVER_INFO_102, sv102_announce, 52, 36);
PYBUF_AT(SERVER_INFO_102, sv102_anndelta, 56, 40);
PYBUF_AT(SERVER_INFO_102, sv102_licenses, 60, 44);
PYBUF_AT(SERVER_INFO_102, sv102_userpath, 64, 48);
PYBUF_SIZE(SERVER_INFO_102, 72, 52);
PYBUF_AT(WKSTA_INFO_100, wki100_platform_id, 0, 0);
PYBUF_AT(WKSTA_INFO_100, wki100_computername, 8, 4);
PYBUF_AT(WKSTA_INFO_100, wki100_langroup, 16, 8);
PYBUF_AT(WKSTA_INFO_100, wki100_ver_major, 24, 12);
PYBUF_AT(WKSTA_INFO_100, wki100_ver_minor, 28, 16);
PYBUF_SIZE(WKSTA_INFO_100, 32, 20);
PYBUF_AT(WKSTA_INFO_101, wki101_platform_id, 0, 0);
PYBUF_AT(WKSTA_INFO_101, wki101_computername, 8, 4);
PYBUF_AT(WKSTA_INFO_101, wki101_langroup, 16, 8);
PYBUF_AT(WKSTA_INFO_101, wki101_ver_major, 24, 12);
PYBUF_AT(WKSTA_INFO_101, wki101_ver_minor, 28, 16);
PYBUF_AT(WKSTA_INFO_101, wki101_lanroot, 32, 20);
PYBUF_SIZE(WKSTA_INFO_101, 40, 24);
PYBUF_AT(WKSTA_INFO_102, wki102_platform_id, 0, 0);
PYBUF_AT(WKSTA_INFO_102, wki102_computername, 8, 4);
PYBUF_AT(WKSTA_INFO_102, wki102_langroup, 16, 8);
PYBUF_AT(WKSTA_INFO_102, wki102_ver_major, 24, 12);
PYBUF_AT(WKSTA_INFO_102, wki102_ver_minor, 28, 16);
PYBUF_AT(WKSTA_INFO_102, wki102_lanroot, 32, 20);
PYBUF_AT(WKSTA_INFO_102, wki102_logged_on_users, 40, 24);
PYBUF_SIZE(WKSTA_INFO_102, 48, 28);
PYBUF_AT(WKSTA_USER_INFO_0, wkui0_username, 0, 0);
PYBUF_SIZE(WKSTA_USER_INFO_0, 8, 4);
PYBUF_AT(WKSTA_USER_INFO_1, wkui1_username, 0, 0);
PYBUF_AT(WKSTA_USER_INFO_1, wkui1_logon_domain, 8, 4);
PYBUF_AT(WKSTA_USER_INFO_1, wkui1_oth_domains, 16, 8);
PYBUF_AT(WKSTA_USER_INFO_1, wkui1_logon_server, 24, 12);
PYBUF_SIZE(WKSTA_USER_INFO_1, 32, 16);
PYBUF_AT(WKSTA_USER_INFO_1101, wkui1101_oth_domains, 0, 0);
PYBUF_SIZE(WKSTA_USER_INFO_1101, 8, 4);
PYBUF_AT(WKSTA_TRANSPORT_INFO_0, wkti0_quality_of_service, 0, 0);
PYBUF_AT(WKSTA_TRANSPORT_INFO_0, wkti0_number_of_vcs, 4, 4);
PYBUF_AT(WKSTA_TRANSPORT_INFO_0, wkti0_transport_name, 8, 8);
PYBUF_AT(WKSTA_TRANSPORT_INFO_0, wkti0_transport_address, 16, 12);
PYBUF_AT(WKSTA_TRANSPORT_INFO_0, wkti0_wan_ish, 24, 16);
PYBUF_SIZE(WKSTA_TRANSPORT_INFO_0, 32, 20);
PYBUF_AT(USER_INFO_0, usri0_name, 0, 0);
PYBUF_SIZE(USER_INFO_0, 8, 4);
PYBUF_AT(USER_INFO_1, usri1_name, 0, 0);
PYBUF_AT(USER_INFO_1, usri1_password, 8, 4);
PYBUF_AT(USER_INFO_1, usri1_password_age, 16, 8);
PYBUF_AT(USER_INFO_1, usri1_priv, 20, 12);
PYBUF_AT(USER_INFO_1, usri1_home_dir, 24, 16);
PYBUF_AT(USER_INFO_1, usri1_comment, 32, 20);
PYBUF_AT(USER_INFO_1, usri1_flags, 40, 24);
PYBUF_AT(USER_INFO_1, usri1_script_path, 48, 28);
PYBUF_SIZE(USER_INFO_1, 56, 32);
PYBUF_AT(USER_INFO_2, usri2_name, 0, 0);
PYBUF_AT(USER_INFO_2, usri2_password, 8, 4);
PYBUF_AT(USER_INFO_2, usri2_password_age, 16, 8);
PYBUF_AT(USER_INFO_2, usri2_priv, 20, 12);
PYBUF_AT(USER_INFO_2, usri2_home_dir, 24, 16);
PYBUF_AT(USER_INFO_2, usri2_comment, 32, 20);
PYBUF_AT(USER_INFO_2, usri2_flags, 40, 24);
PYBUF_AT(USER_INFO_2, usri2_script_path, 48, 28);
PYBUF_AT(USER_INFO_2, usri2_auth_flags, 56, 32);
PYBUF_AT(USER_INFO_2, usri2_full_name, 64, 36);
PYBUF_AT(USER_INFO_2, usri2_usr_comment, 72, 40);
PYBUF_AT(USER_INFO_2, usri2_parms, 80, 44);
PYBUF_AT(USER_INFO_2, usri2_workstations, 88, 48);
PYBUF_AT(USER_INFO_2, usri2_last_logon, 96, 52);
PYBUF_AT(USER_INFO_2, usri2_last_logoff, 100, 56);
PYBUF_AT(USER_INFO_2, usri2_acct_expires, 104, 60);
PYBUF_AT(USER_INFO_2, usri2_max_storage, 108, 64);
PYBUF_AT(USER_INFO_2, usri2_units_per_week, 112, 68);
PYBUF_AT(USER_INFO_2, usri2_logon_hours, 120, 72);
PYBUF_AT(USER_INFO_2, usri2_bad_pw_count, 128, 76);
PYBUF_AT(USER_INFO_2, usri2_num_logons, 132, 80);
PYBUF_AT(USER_INFO_2, usri2_logon_server, 136, 84);
PYBUF_AT(USER_INFO_2, usri2_country_code, 144, 88);
PYBUF_AT(USER_INFO_2, usri2_code_page, 148, 92);
PYBUF_SIZE(USER_INFO_2, 152, 96);
PYBUF_AT(USER_INFO_3, usri3_name, 0, 0);
PYBUF_AT(USER_INFO_3, usri3_password, 8, 4);
PYBUF_AT(USER_INFO_3, usri3_password_age, 16, 8);
PYBUF_AT(USER_INFO_3, usri3_priv, 20, 12);
PYBUF_AT(USER_INFO_3, usri3_home_dir, 24, 16);
PYBUF_AT(USER_INFO_3, usri3_comment, 32, 20);
PYBUF_AT(USER_INFO_3, usri3_flags, 40, 24);
PYBUF_AT(USER_INFO_3, usri3_script_path, 48, 28);
PYBUF_AT(USER_INFO_3, usri3_auth_flags, 56, 32);
PYBUF_AT(USER_INFO_3, usri3_full_name, 64, 36);
PYBUF_AT(USER_INFO_3, usri3_usr_comment, 72, 40);
PYBUF_AT(USER_INFO_3, usri3_parms, 80, 44);
PYBUF_AT(USER_INFO_3, usri3_workstations, 88, 48);
PYBUF_AT(USER_INFO_3, usri3_last_logon, 96, 52);
PYBUF_AT(USER_INFO_3, usri3_last_logoff, 100, 56);
PYBUF_AT(USER_INFO_3, usri3_acct_expires, 104, 60);
PYBUF_AT(USER_INFO_3, usri3_max_storage, 108, 64);
PYBUF_AT(USER_INFO_3, usri3_units_per_week, 112, 68);
PYBUF_AT(USER_INFO_3, usri3_logon_hours, 120, 72);
PYBUF_AT(USER_INFO_3, usri3_bad_pw_count, 128, 76);
PYBUF_AT(USER_INFO_3, usri3_num_logons, 132, 80);
PYBUF_AT(USER_INFO_3, usri3_logon_server, 136, 84);
PYBUF_AT(USER_INFO_3, usri3_country_code, 144, 88);
PYBUF_AT(USER_INFO_3, usri3_code_page, 148, 92);
PYBUF_AT(USER_INFO_3, usri3_user_id, 152, 96);
PYBUF_AT(USER_INFO_3, usri3_primary_group_id, 156, 100);
PYBUF_AT(USER_INFO_3, usri3_profile, 160, 104);
PYBUF_AT(USER_INFO_3, usri3_home_dir_drive, 168, 108);
PYBUF_AT(USER_INFO_3, usri3_password_expired, 176, 112);
PYBUF_SIZE(USER_INFO_3, 184, 116);
PYBUF_AT(USER_INFO_4, usri4_name, 0, 0);
PYBUF_AT(USER_INFO_4, usri4_password, 8, 4);
PYBUF_AT(USER_INFO_4, usri4_password_age, 16, 8);
PYBUF_AT(USER_INFO_4, usri4_priv, 20, 12);
PYBUF_AT(USER_INFO_4, usri4_home_dir, 24, 16);
PYBUF_AT(USER_INFO_4, usri4_comment, 32, 20);
PYBUF_AT(USER_INFO_4, usri4_flags, 40, 24);
PYBUF_AT(USER_INFO_4, usri4_script_path, 48, 28);
PYBUF_AT(USER_INFO_4, usri4_auth_flags, 56, 32);
PYBUF_AT(USER_INFO_4, usri4_full_name, 64, 36);
PYBUF_AT(USER_INFO_4, usri4_usr_comment, 72, 40);
PYBUF_AT(USER_INFO_4, usri4_parms, 80, 44);
PYBUF_AT(USER_INFO_4, usri4_workstations, 88, 48);
PYBUF_AT(USER_INFO_4, usri4_last_logon, 96, 52);
PYBUF_AT(USER_INFO_4, usri4_last_logoff, 100, 56);
PYBUF_AT(USER_INFO_4, usri4_acct_expires, 104, 60);
PYBUF_AT(USER_INFO_4, usri4_max_storage, 108, 64);
PYBUF_AT(USER_INFO_4, usri4_units_per_week, 112, 68);
PYBUF_AT(USER_INFO_4, usri4_logon_hours, 120, 72);
PYBUF_AT(USER_INFO_4, usri4_bad_pw_count, 128, 76);
PYBUF_AT(USER_INFO_4, usri4_num_logons, 132, 80);
PYBUF_AT(USER_INFO_4, usri4_logon_server, 136, 84);
PYBUF_AT(USER_INFO_4, usri4_country_code, 144, 88);
PYBUF_AT(USER_INFO_4, usri4_code_page, 148, 92);
PYBUF_AT(USER_INFO_4, usri4_user_sid, 152, 96);
PYBUF_AT(USER_INFO_4, usri4_primary_group_id, 160, 100);
PYBUF_AT(USER_INFO_4, usri4_profile, 168, 104);
PYBUF_AT(USER_INFO_4, usri4_home_dir_drive, 176, 108);
PYBUF_AT(USER_INFO_4, usri4_password_expired, 184, 112);
PYBUF_SIZE(USER_INFO_4, 192, 116);
PYBUF_AT(USER_INFO_10, usri10_name, 0, 0);
PYBUF_AT(USER_INFO_10, usri10_comment, 8, 4);
PYBUF_AT(USER_INFO_10, usri10_usr_comment, 16, 8);
PYBUF_AT(USER_INFO_10, usri10_full_name, 24, 12);
PYBUF_SIZE(USER_INFO_10, 32, 16);
PYBUF_AT(USER_INFO_11, usri11_name, 0, 0);
PYBUF_AT(USER_INFO_11, usri11_comment, 8, 4);
PYBUF_AT(USER_INFO_11, usri11_usr_comment, 16, 8);
PYBUF_AT(USER_INFO_11, usri11_full_name, 24, 12);
PYBUF_AT(USER_INFO_11, usri11_priv, 32, 16);
PYBUF_AT(USER_INFO_11, usri11_auth_flags, 36, 20);
PYBUF_AT(USER_INFO_11, usri11_password_age, 40, 24);
PYBUF_AT(USER_INFO_11, usri11_home_dir, 48, 28);
PYBUF_AT(USER_INFO_11, usri11_parms, 56, 32);
PYBUF_AT(USER_INFO_11, usri11_last_logon, 64, 36);
PYBUF_AT(USER_INFO_11, usri11_last_logoff, 68, 40);
PYBUF_AT(USER_INFO_11, usri11_bad_pw_count, 72, 44);
PYBUF_AT(USER_INFO_11, usri11_num_logons, 76, 48);
PYBUF_AT(USER_INFO_11, usri11_logon_server, 80, 52);
PYBUF_AT(USER_INFO_11, usri11_country_code, 88, 56);
PYBUF_AT(USER_INFO_11, usri11_workstations, 96, 60);
PYBUF_AT(USER_INFO_11, usri11_max_storage, 104, 64);
PYBUF_AT(USER_INFO_11, usri11_units_per_week, 108, 68);
PYBUF_AT(USER_INFO_11, usri11_logon_hours, 112, 72);
PYBUF_AT(USER_INFO_11, usri11_code_page, 120, 76);
PYBUF_SIZE(USER_INFO_11, 128, 80);
PYBUF_AT(USER_INFO_20, usri20_name, 0, 0);
PYBUF_AT(USER_INFO_20, usri20_full_name, 8, 4);
PYBUF_AT(USER_INFO_20, usri20_comment, 16, 8);
PYBUF_AT(USER_INFO_20, usri20_flags, 24, 12);
PYBUF_AT(USER_INFO_20, usri20_user_id, 28, 16);
PYBUF_SIZE(USER_INFO_20, 32, 20);
PYBUF_AT(USER_INFO_23, usri23_name, 0, 0);
PYBUF_AT(USER_INFO_23, usri23_full_name, 8, 4);
PYBUF_AT(USER_INFO_23, usri23_comment, 16, 8);
PYBUF_AT(USER_INFO_23, usri23_flags, 24, 12);
PYBUF_AT(USER_INFO_23, usri23_user_sid, 32, 16);
PYBUF_SIZE(USER_INFO_23, 40, 20);
PYBUF_AT(USER_INFO_24, usri24_internet_identity, 0, 0);
PYBUF_AT(USER_INFO_24, usri24_flags, 4, 4);
PYBUF_AT(USER_INFO_24, usri24_internet_provider_name, 8, 8);
PYBUF_AT(USER_INFO_24, usri24_internet_principal_name, 16, 12);
PYBUF_AT(USER_INFO_24, usri24_user_sid, 24, 16);
PYBUF_SIZE(USER_INFO_24, 32, 20);
PYBUF_AT(SHARE_INFO_0, shi0_netname, 0, 0);
PYBUF_SIZE(SHARE_INFO_0, 8, 4);
PYBUF_AT(SHARE_INFO_1, shi1_netname, 0, 0);
PYBUF_AT(SHARE_INFO_1, shi1_type, 8, 4);
PYBUF_AT(SHARE_INFO_1, shi1_remark, 16, 8);
PYBUF_SIZE(SHARE_INFO_1, 24, 12);
PYBUF_AT(SHARE_INFO_2, shi2_netname, 0, 0);
PYBUF_AT(SHARE_INFO_2, shi2_type, 8, 4);
PYBUF_AT(SHARE_INFO_2, shi2_remark, 16, 8);
PYBUF_AT(SHARE_INFO_2, shi2_permissions, 24, 12);
PYBUF_AT(SHARE_INFO_2, shi2_max_uses, 28, 16);
PYBUF_AT(SHARE_INFO_2, shi2_current_uses, 32, 20);
PYBUF_AT(SHARE_INFO_2, shi2_path, 40, 24);
PYBUF_AT(SHARE_INFO_2, shi2_passwd, 48, 28);
PYBUF_SIZE(SHARE_INFO_2, 56, 32);
PYBUF_AT(SHARE_INFO_502, shi502_netname, 0, 0);
PYBUF_AT(SHARE_INFO_502, shi502_type, 8, 4);
PYBUF_AT(SHARE_INFO_502, shi502_remark, 16, 8);
PYBUF_AT(SHARE_INFO_502, shi502_permissions, 24, 12);
PYBUF_AT(SHARE_INFO_502, shi502_max_uses, 28, 16);
PYBUF_AT(SHARE_INFO_502, shi502_current_uses, 32, 20);
PYBUF_AT(SHARE_INFO_502, shi502_path, 40, 24);
PYBUF_AT(SHARE_INFO_502, shi502_passwd, 48, 28);
PYBUF_AT(SHARE_INFO_502, shi502_reserved, 56, 32);
PYBUF_AT(SHARE_INFO_502, shi502_security_descriptor, 64, 36);
PYBUF_SIZE(SHARE_INFO_502, 72, 40);
PYBUF_AT(LOCALGROUP_INFO_0, lgrpi0_name, 0, 0);
PYBUF_SIZE(LOCALGROUP_INFO_0, 8, 4);
PYBUF_AT(LOCALGROUP_INFO_1, lgrpi1_name, 0, 0);
PYBUF_AT(LOCALGROUP_INFO_1, lgrpi1_comment, 8, 4);
PYBUF_SIZE(LOCALGROUP_INFO_1, 16, 8);
PYBUF_AT(NET_DISPLAY_USER, usri1_name, 0, 0);
PYBUF_AT(NET_DISPLAY_USER, usri1_comment, 8, 4);
PYBUF_AT(NET_DISPLAY_USER, usri1_flags, 16, 8);
PYBUF_AT(NET_DISPLAY_USER, usri1_full_name, 24, 12);
PYBUF_AT(NET_DISPLAY_USER, usri1_user_id, 32, 16);
PYBUF_AT(NET_DISPLAY_USER, usri1_next_index, 36, 20);
PYBUF_SIZE(NET_DISPLAY_USER, 40, 24);
PYBUF_AT(NET_DISPLAY_MACHINE, usri2_name, 0, 0);
PYBUF_AT(NET_DISPLAY_MACHINE, usri2_comment, 8, 4);
PYBUF_AT(NET_DISPLAY_MACHINE, usri2_flags, 16, 8);
PYBUF_AT(NET_DISPLAY_MACHINE, usri2_user_id, 20, 12);
PYBUF_AT(NET_DISPLAY_MACHINE, usri2_next_index, 24, 16);
PYBUF_SIZE(NET_DISPLAY_MACHINE, 32, 20);
PYBUF_AT(NET_DISPLAY_GROUP, grpi3_name, 0, 0);
PYBUF_AT(NET_DISPLAY_GROUP, grpi3_comment, 8, 4);
PYBUF_AT(NET_DISPLAY_GROUP, grpi3_group_id, 16, 8);
PYBUF_AT(NET_DISPLAY_GROUP, grpi3_attributes, 20, 12);
PYBUF_AT(NET_DISPLAY_GROUP, grpi3_next_index, 24, 16);
PYBUF_SIZE(NET_DISPLAY_GROUP, 32, 20);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_0, lgrmi0_sid, 0, 0);
PYBUF_SIZE(LOCALGROUP_MEMBERS_INFO_0, 8, 4);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_1, lgrmi1_sid, 0, 0);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_1, lgrmi1_sidusage, 8, 4);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_1, lgrmi1_name, 16, 8);
PYBUF_SIZE(LOCALGROUP_MEMBERS_INFO_1, 24, 12);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_2, lgrmi2_sid, 0, 0);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_2, lgrmi2_sidusage, 8, 4);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_2, lgrmi2_domainandname, 16, 8);
PYBUF_SIZE(LOCALGROUP_MEMBERS_INFO_2, 24, 12);
PYBUF_AT(LOCALGROUP_MEMBERS_INFO_3, lgrmi3_domainandname, 0, 0);
PYBUF_SIZE(LOCALGROUP_MEMBERS_INFO_3, 8, 4);
PYBUF_AT(LOCALGROUP_USERS_INFO_0, lgrui0_name, 0, 0);
PYBUF_SIZE(LOCALGROUP_USERS_INFO_0, 8, 4);
PYBUF_AT(GROUP_INFO_0, grpi0_name, 0, 0);
PYBUF_SIZE(GROUP_INFO_0, 8, 4);
PYBUF_AT(GROUP_INFO_1, grpi1_name, 0, 0);
PYBUF_AT(GROUP_INFO_1, grpi1_comment, 8, 4);
PYBUF_SIZE(GROUP_INFO_1, 16, 8);
PYBUF_AT(GROUP_INFO_2, grpi2_name, 0, 0);
PYBUF_AT(GROUP_INFO_2, grpi2_comment, 8, 4);
PYBUF_AT(GROUP_INFO_2, grpi2_group_id, 16, 8);
PYBUF_AT(GROUP_INFO_2, grpi2_attributes, 20, 12);
PYBUF_SIZE(GROUP_INFO_2, 24, 16);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, DomainControllerName, 0, 0);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, DomainControllerAddress, 8, 4);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, DomainControllerAddressType, 16, 8);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, DomainGuid, 20, 12);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, DomainName, 40, 28);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, DnsForestName, 48, 32);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, Flags, 56, 36);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, DcSiteName, 64, 40);
PYBUF_AT(DOMAIN_CONTROLLER_INFOW, ClientSiteName, 72, 44);
PYBUF_SIZE(DOMAIN_CONTROLLER_INFOW, 80, 48);
PYBUF_AT(SHARE_INFO_503, shi503_netname, 0, 0);
PYBUF_AT(SHARE_INFO_503, shi503_type, 8, 4);
PYBUF_AT(SHARE_INFO_503, shi503_remark, 16, 8);
PYBUF_AT(SHARE_INFO_503, shi503_permissions, 24, 12);
PYBUF_AT(SHARE_INFO_503, shi503_max_uses, 28, 16);
PYBUF_AT(SHARE_INFO_503, shi503_current_uses, 32, 20);
PYBUF_AT(SHARE_INFO_503, shi503_path, 40, 24);
PYBUF_AT(SHARE_INFO_503, shi503_passwd, 48, 28);
PYBUF_AT(SHARE_INFO_503, shi503_servername, 56, 32);
PYBUF_AT(SHARE_INFO_503, shi503_reserved, 64, 36);
PYBUF_AT(SHARE_INFO_503, shi503_security_descriptor, 72, 40);
PYBUF_SIZE(SHARE_INFO_503, 80, 44);
#endif
PYBUF_SIZE(HDAUDIO_STREAM_FORMAT, 12, 12);
PYBUF_SIZE(HDAUDIO_CONVERTER_FORMAT, 2, 2);
PYBUF_SIZE(HDAUDIO_BUFFER_DESCRIPTOR, 16, 16);
PYBUF_AT(HDAUDIO_BUFFER_DESCRIPTOR, Length, 8, 8);
PYBUF_AT(HDAUDIO_BUFFER_DESCRIPTOR, InterruptOnCompletion, 12, 12);
PYBUF_SIZE(HDAUDIO_DEVICE_INFORMATION, 10, 10);
PYBUF_SIZE(HDAUDIO_DEVICE_INFORMATION_V2, 14, 14);
PYBUF_SIZE(HDAUDIO_CODEC_COMMAND, 4, 4);
PYBUF_SIZE(HDAUDIO_CODEC_RESPONSE, 8, 8);
PYBUF_SIZE(HDAUDIO_CODEC_TRANSFER, 16, 16);
PYBUF_AT(HDAUDIO_CODEC_TRANSFER, Input, 8, 8);
PYBUF_SIZE(MDL, 48, 28);
PYBUF_SIZE(HDAUDIO_BUS_INTERFACE, 144, 72);
PYBUF_SIZE(HDAUDIO_BUS_INTERFACE_V2, 176, 88);
PYBUF_SIZE(HDAUDIO_BUS_INTERFACE_BDL, 152, 76);

/* ---- statuses -------------------------------------------------------------------------------------------------- */

#define NT_SUCCESS(status) ((LONG)(status) >= 0)

#ifdef PYBUF_STATUS_NAMES
#define ERROR_SUCCESS 0
#define SUCCESS 0
#define PENDING 600
#define ERROR_INVALID_PORT_HANDLE 601
#define ERROR_PORT_ALREADY_OPEN 602
#define ERROR_BUFFER_TOO_SMALL 603
#define ERROR_WRONG_INFO_SPECIFIED 604
#define ERROR_CANNOT_SET_PORT_INFO 605
#define ERROR_PORT_NOT_CONNECTED 606
#define ERROR_EVENT_INVALID 607
#define ERROR_DEVICE_DOES_NOT_EXIST 608
#define ERROR_BUFFER_INVALID 610
#define ERROR_ROUTE_NOT_AVAILABLE 611
#define ERROR_ROUTE_NOT_ALLOCATED 612
#define ERROR_OUT_OF_BUFFERS 614
#define ERROR_PORT_NOT_FOUND 615
#define ERROR_ASYNC_REQUEST_PENDING 616
#define ERROR_PORT_NOT_OPEN 618
#define ERROR_PORT_DISCONNECTED 619
#define ERROR_DISCONNECTION 628
#define ERROR_REMOTE_DISCONNECTION 629
#define ERROR_HARDWARE_FAILURE 630
#define ERROR_USER_DISCONNECTION 631
#define ERROR_INVALID_SIZE 632
#define ERROR_REQUEST_TIMEOUT 638
#define ERROR_SERVER_OUT_OF_RESOURCES 641
#define ERROR_ALLOCATING_MEMORY 664
#define ERROR_RECV_BUF_FULL 699
#define ERROR_INVALID_PARAMETER 87
#define NERR_Success 0
#define ERROR_ACCESS_DENIED 5
#define ERROR_INVALID_HANDLE 6
#define ERROR_NOT_ENOUGH_MEMORY 8
#define ERROR_OUTOFMEMORY 14
#define ERROR_NOT_SUPPORTED 50
#define ERROR_BAD_NETPATH 53
#define ERROR_INSUFFICIENT_BUFFER 122
#define ERROR_INVALID_NAME 123
#define ERROR_INVALID_LEVEL 124
#define ERROR_MORE_DATA 234
#define ERROR_NO_MORE_ITEMS 259
#define ERROR_NOACCESS 998
#define ERROR_INVALID_FLAGS 1004
#define ERROR_INVALID_COMPUTERNAME 1210
#define ERROR_INVALID_DOMAINNAME 1212
#define ERROR_NETWORK_UNREACHABLE 1231
#define ERROR_NO_SUCH_DOMAIN 1355
#define RPC_S_INVALID_NET_ADDR 1707
#define RPC_S_SERVER_UNAVAILABLE 1722
#define RPC_X_NULL_REF_POINTER 1780
#define NERR_NetNotStarted 2102
#define NERR_ServerNotStarted 2114
#define NERR_BufTooSmall 2123
#define NERR_RemoteErr 2127
#define NERR_WkstaNotStarted 2138
#define NERR_InternalError 2140
#define NERR_InvalidAPI 2142
#define NERR_ServiceNotInstalled 2184
#define NERR_BadUsername 2202
#define NERR_GroupNotFound 2220
#define NERR_UserNotFound 2221
#define NERR_UserExists 2224
#define NERR_NotPrimary 2226
#define NERR_PasswordTooShort 2245
#define NERR_NetNameNotFound 2310
#define NERR_ClientNameNotFound 2312
#define NERR_InvalidComputer 2351
#define NERR_DCNotFound 2453
#define ERROR_NO_BROWSER_SERVERS_FOUND 6118
#define NO_ERROR 0
#define ERROR_INVALID_FUNCTION 1
#define ERROR_DEV_NOT_EXIST 55
#define STATUS_SUCCESS 0x00000000
#define STATUS_TIMEOUT 0x00000102
#define STATUS_PENDING 0x00000103
#define STATUS_UNSUCCESSFUL 0xC0000001
#define STATUS_NOT_IMPLEMENTED 0xC0000002
#define STATUS_ACCESS_VIOLATION 0xC0000005
#define STATUS_INVALID_HANDLE 0xC0000008
#define STATUS_INVALID_PARAMETER 0xC000000D
#define STATUS_NO_SUCH_DEVICE 0xC000000E
#define STATUS_INVALID_DEVICE_REQUEST 0xC0000010
#define STATUS_NO_MEMORY 0xC0000017
#define STATUS_BUFFER_TOO_SMALL 0xC0000023
#define STATUS_INSUFFICIENT_RESOURCES 0xC000009A
#define STATUS_DEVICE_NOT_CONNECTED 0xC000009D
#define STATUS_DEVICE_NOT_READY 0xC00000A3
#define STATUS_IO_TIMEOUT 0xC00000B5
#define STATUS_NOT_SUPPORTED 0xC00000BB
#define STATUS_NOT_FOUND 0xC0000225
#define IRQL_NOT_LESS_OR_EQUAL 0x0A
#define BAD_POOL_HEADER 0x19
#define PAGE_FAULT_IN_NONPAGED_AREA 0x50
#define SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION 0xC1
#define BAD_POOL_CALLER 0xC2
#define DRIVER_VERIFIER_DETECTED_VIOLATION 0xC4
#define DRIVER_CORRUPTED_EXPOOL 0xC5
#define DRIVER_CAUGHT_MODIFYING_FREED_POOL 0xC6
#define PAGE_FAULT_IN_FREED_SPECIAL_POOL 0xCC
#define PAGE_FAULT_BEYOND_END_OF_ALLOCATION 0xCD
#define DRIVER_CORRUPTED_MMPOOL 0xD0
#define DRIVER_IRQL_NOT_LESS_OR_EQUAL 0xD1
#define DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL 0xD5
#define DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION 0xD6
#endif

/* ---- the table ------------------------------------------------------------------------------------------------- */

/* A machine, and what was recorded of a bug check. */
typedef struct pybuf_machine pybuf_machine;

typedef struct PYBUF_BUGCHECK {
    uint32_t code;
    uint32_t routine;       /* that found it: see routine_name */
    uint64_t parameters[4];
    uint64_t device;        /* HwDeviceExtension, or 0 */
    uint64_t block;         /* the block that the rest is about; 0: none is known */
    uint64_t sequence;      /* number of its allocation; 0: not numbered */
    uint64_t size;          /* bytes that were asked for */
    uint32_t tag;
    uint16_t owner;
    uint8_t allocated;      /* the routine that allocated it, */
    uint8_t freed;          /* and the one that freed it; 0: none did */
    uint32_t flags;
    uint32_t extra;
} PYBUF_BUGCHECK;

/* Told of every bug check that C causes, without a lock held; need not return. */
typedef void (*pybuf_bug_check_handler)(void *context, const PYBUF_BUGCHECK *bug_check);

#define PYBUF_ROUTINES(CC, FIRST) \
    DWORD (CC *RasGetBuffer)(FIRST PBYTE *ppBuffer, PDWORD pdwSize); \
    DWORD (CC *RasFreeBuffer)(FIRST PBYTE pBufer); \
    DWORD (CC *RasSendBuffer)(FIRST HANDLE hPort, PBYTE pBuffer, DWORD dwSize); \
    DWORD (CC *RasReceiveBuffer)(FIRST HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize, DWORD dwTimeOut, HANDLE \
        hEvent); \
    DWORD (CC *RasRetrieveBuffer)(FIRST HANDLE hPort, PBYTE pBuffer, PDWORD pdwSize); \
    DWORD (CC *RasSetCommSettings)(FIRST HANDLE hPort, RASCOMMSETTINGS *pRasCommSettings, PVOID pvReserved); \
    NET_API_STATUS (CC *NetApiBufferAllocate)(FIRST DWORD ByteCount, LPVOID *Buffer); \
    NET_API_STATUS (CC *NetapipBufferAllocate)(FIRST DWORD ByteCount, LPVOID *Buffer); \
    NET_API_STATUS (CC *NetApiBufferFree)(FIRST LPVOID Buffer); \
    NET_API_STATUS (CC *NetApiBufferReallocate)(FIRST LPVOID OldBuffer, DWORD NewByteCount, LPVOID *NewBuffer); \
    NET_API_STATUS (CC *NetApiBufferSize)(FIRST LPVOID Buffer, LPDWORD ByteCount); \
    NET_API_STATUS (CC *NetServerEnum)(FIRST LMCSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, \
        LPDWORD entriesread, LPDWORD totalentries, DWORD servertype, LMCSTR domain, LPDWORD resume_handle); \
    NET_API_STATUS (CC *NetServerGetInfo)(FIRST LMSTR servername, DWORD level, LPBYTE *bufptr); \
    NET_API_STATUS (CC *NetWkstaGetInfo)(FIRST LMSTR servername, DWORD level, LPBYTE *bufptr); \
    NET_API_STATUS (CC *NetWkstaUserGetInfo)(FIRST LMSTR reserved, DWORD level, LPBYTE *bufptr); \
    NET_API_STATUS (CC *NetWkstaTransportEnum)(FIRST LMSTR servername, DWORD level, LPBYTE *bufptr, DWORD \
        prefmaxlen, LPDWORD entriesread, LPDWORD totalentries, LPDWORD resume_handle); \
    NET_API_STATUS (CC *NetUserEnum)(FIRST LPCWSTR servername, DWORD level, DWORD filter, LPBYTE *bufptr, DWORD \
        prefmaxlen, LPDWORD entriesread, LPDWORD totalentries, LPDWORD resume_handle); \
    NET_API_STATUS (CC *NetUserGetInfo)(FIRST LPCWSTR servername, LPCWSTR username, DWORD level, LPBYTE \
        *bufptr); \
    NET_API_STATUS (CC *NetShareEnum)(FIRST LMSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, \
        LPDWORD entriesread, LPDWORD totalentries, LPDWORD resume_handle); \
    NET_API_STATUS (CC *NetLocalGroupEnum)(FIRST LPCWSTR servername, DWORD level, LPBYTE *bufptr, DWORD \
        prefmaxlen, LPDWORD entriesread, LPDWORD totalentries, PDWORD_PTR resumehandle); \
    NET_API_STATUS (CC *NetQueryDisplayInformation)(FIRST LPCWSTR ServerName, DWORD Level, DWORD Index, DWORD \
        EntriesRequested, DWORD PreferredMaximumLength, LPDWORD ReturnedEntryCount, PVOID *SortedBuffer); \
    NET_API_STATUS (CC *NetGetJoinInformation)(FIRST LPCWSTR lpServer, LPWSTR *lpNameBuffer, \
        PNETSETUP_JOIN_STATUS BufferType); \
    DWORD (CC *DsGetDcNameW)(FIRST LPCWSTR ComputerName, LPCWSTR DomainName, GUID *DomainGuid, LPCWSTR SiteName, \
        ULONG Flags, PDOMAIN_CONTROLLER_INFOW *DomainControllerInfo); \
    NET_API_STATUS (CC *NetUserGetLocalGroups)(FIRST LPCWSTR servername, LPCWSTR username, DWORD level, DWORD \
        flags, LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, LPDWORD totalentries); \
    NET_API_STATUS (CC *NetLocalGroupGetMembers)(FIRST LPCWSTR servername, LPCWSTR localgroupname, DWORD level, \
        LPBYTE *bufptr, DWORD prefmaxlen, LPDWORD entriesread, LPDWORD totalentries, PDWORD_PTR resumehandle); \
    NET_API_STATUS (CC *NetGroupEnum)(FIRST LPCWSTR servername, DWORD level, LPBYTE *bufptr, DWORD prefmaxlen, \
        LPDWORD entriesread, LPDWORD totalentries, PDWORD_PTR resume_handle); \
    VP_STATUS (CC *VideoPortAllocateBuffer)(FIRST PVOID HwDeviceExtension, ULONG Size, PVOID *Buffer); \
    VOID (CC *VideoPortReleaseBuffer)(FIRST PVOID HwDeviceExtension, PVOID Buffer); \
    PVOID (CC *VideoPortAllocatePool)(FIRST PVOID HwDeviceExtension, VP_POOL_TYPE PoolType, SIZE_T \
        NumberOfBytes, ULONG Tag); \
    VOID (CC *VideoPortFreePool)(FIRST PVOID HwDeviceExtension, PVOID Ptr); \

#define PYBUF_NOTHING
#define PYBUF_MACHINE pybuf_machine *machine,

typedef struct pybuf_routines {
    PYBUF_ROUTINES(, PYBUF_NOTHING)
} pybuf_routines;
typedef struct pybuf_machine_routines {
    PYBUF_ROUTINES(, PYBUF_MACHINE)
} pybuf_machine_routines;
typedef struct pybuf_routines_ms {
    PYBUF_ROUTINES(PYBUF_MS, PYBUF_NOTHING)
} pybuf_routines_ms;
typedef struct pybuf_machine_routines_ms {
    PYBUF_ROUTINES(PYBUF_MS, PYBUF_MACHINE)
} pybuf_machine_routines_ms;

struct _object; /* PyObject */

typedef struct pybuf_api {
    uint32_t version; /* PYBUF_API_VERSION of the pybuf that is installed */
    uint32_t size;    /* sizeof(pybuf_api) there */
    pybuf_routines now;
    pybuf_machine_routines with;
    pybuf_routines_ms now_ms;
    pybuf_machine_routines_ms with_ms;

    /* The machine behind a pybuf.Machine; None is the default machine. Needs the GIL. NULL with an exception set:
     * TypeError for another object, ValueError when it is closed. Takes no reference. */
    pybuf_machine *(*machine_from_object)(struct _object *machine);
    /* Which machine `now` acts on in this thread; NULL is the default one. Answers what it was. */
    pybuf_machine *(*machine_enter)(pybuf_machine *machine);
    pybuf_machine *(*machine_current)(void);
    /* Who is told of bug checks of C; NULL: they are recorded, and the routine goes on as the page of pybuf says. */
    void (*set_bug_check_handler)(pybuf_machine *machine, pybuf_bug_check_handler handler, void *context);
    /* The name of a routine by the number in a PYBUF_BUGCHECK; NULL: there is none. */
    const char *(*routine_name)(uint32_t routine);
    /* The thread's last error. No routine of this table sets it. */
    DWORD (*get_last_error)(void);
    void (*set_last_error)(DWORD error);
    /* The thread's IRQL. Both answer what it was; raise never lowers it. */
    uint32_t (*irql_raise)(uint32_t irql);
    uint32_t (*irql_lower)(uint32_t irql);
    /* What a device would have to be told to reach a block. */
    uint64_t (*physical_address)(pybuf_machine *machine, uint64_t address);
    /* Events, as Windows' functions of these names have it, for a routine that takes one. A name and security
     * attributes are not looked at. WaitForSingleObject: 0, 258 after `milliseconds`, 0xFFFFFFFF for no event. */
    HANDLE (*CreateEvent)(pybuf_machine *machine, PVOID attributes, BOOL is_manual_reset, BOOL is_set, LPCWSTR name);
    BOOL (*SetEvent)(pybuf_machine *machine, HANDLE event);
    BOOL (*ResetEvent)(pybuf_machine *machine, HANDLE event);
    DWORD (*WaitForSingleObject)(pybuf_machine *machine, HANDLE event, DWORD milliseconds);
    BOOL (*CloseHandle)(pybuf_machine *machine, HANDLE event);
    /* What a driver gets from IRP_MN_QUERY_INTERFACE: fills one of the three HDAUDIO_BUS_INTERFACE structures, for the
     * client that is a function group of a codec; InterfaceDereference gives it back. NULL is the machine
     * that this thread entered, else the default one.
     * Takes the GIL. STATUS_NOT_SUPPORTED: another GUID, size or version than 0x0100; STATUS_NO_SUCH_DEVICE: no such
     * codec, or the machine is closed. The members of `_ms` have the Microsoft convention, for PYBUF_MS_ABI. */
    NTSTATUS (*hdaudio_query_interface)(pybuf_machine *machine, UCHAR codec, UCHAR function_group, const GUID *type,
                                        USHORT size, USHORT version, PVOID interface_);
    NTSTATUS (*hdaudio_query_interface_ms)(pybuf_machine *machine, UCHAR codec, UCHAR function_group,
                                           const GUID *type, USHORT size, USHORT version, PVOID interface_);
} pybuf_api;

/* The same as functions, for a file that has the table in a variable `pybuf`: const pybuf_api *pybuf; a library of a
 * custom script exports that variable, and whoever runs the script puts the table there. Those in capitals have the
 * signatures of Windows, and act on the machine that this thread entered. */
#define PYBUF_CreateEvent(attributes, is_manual_reset, is_set, name) \
    (pybuf->CreateEvent(pybuf->machine_current(), (attributes), (is_manual_reset), (is_set), (name)))
#define PYBUF_SetEvent(event) (pybuf->SetEvent(pybuf->machine_current(), (event)))
#define PYBUF_ResetEvent(event) (pybuf->ResetEvent(pybuf->machine_current(), (event)))
#define PYBUF_WaitForSingleObject(event, milliseconds) \
    (pybuf->WaitForSingleObject(pybuf->machine_current(), (event), (milliseconds)))
#define PYBUF_CloseHandle(event) (pybuf->CloseHandle(pybuf->machine_current(), (event)))
#define pybuf_machine_enter(machine) (pybuf->machine_enter(machine))
#define pybuf_machine_current() (pybuf->machine_current())
#define pybuf_get_last_error() (pybuf->get_last_error())
#define pybuf_set_last_error(error) (pybuf->set_last_error(error))
#define pybuf_irql_raise(irql) (pybuf->irql_raise(irql))
#define pybuf_irql_lower(irql) (pybuf->irql_lower(irql))
#define pybuf_physical_address(machine, address) (pybuf->physical_address((machine), (address)))

#ifdef Py_PYTHON_H
/* The table, or NULL with ImportError set. Needs the GIL. */
static inline const pybuf_api *pybuf_import(void) {
    const pybuf_api *api = (const pybuf_api *)PyCapsule_Import("pybuf.C_API", 0);
    if (api == NULL) {
        return NULL;
    }
    if (api->version < PYBUF_API_VERSION || api->size < sizeof(pybuf_api)) {
        PyErr_Format(PyExc_ImportError,
                     "this module was compiled with pybuf.h of version %d, and the pybuf that is installed has version "
                     "%u: install a newer pybuf",
                     PYBUF_API_VERSION, (unsigned)api->version);
        return NULL;
    }
    return api;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
