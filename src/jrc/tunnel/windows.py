"""The few Windows calls that the tunnel needs: job objects and process start times.

Source: Microsoft's documentation of ``CreateJobObjectW``, ``SetInformationJobObject``
(JOBOBJECT_EXTENDED_LIMIT_INFORMATION), ``AssignProcessToJobObject`` and ``GetProcessTimes``.
"""

import ctypes
import sys
from ctypes import wintypes

assert sys.platform == "win32"

_KILL_ON_JOB_CLOSE = 0x2000
_EXTENDED_LIMIT_INFORMATION = 9
_TERMINATE_AND_SET_QUOTA = 0x0101
_QUERY_LIMITED_INFORMATION = 0x1000


class _BasicLimits(ctypes.Structure):
    _fields_ = (
        ("PerProcessUserTimeLimit", wintypes.LARGE_INTEGER),
        ("PerJobUserTimeLimit", wintypes.LARGE_INTEGER),
        ("LimitFlags", wintypes.DWORD),
        ("MinimumWorkingSetSize", ctypes.c_size_t),
        ("MaximumWorkingSetSize", ctypes.c_size_t),
        ("ActiveProcessLimit", wintypes.DWORD),
        ("Affinity", ctypes.c_size_t),
        ("PriorityClass", wintypes.DWORD),
        ("SchedulingClass", wintypes.DWORD),
    )


class _ExtendedLimits(ctypes.Structure):
    _fields_ = (
        ("BasicLimitInformation", _BasicLimits),
        ("IoInfo", ctypes.c_ulonglong * 6),
        ("ProcessMemoryLimit", ctypes.c_size_t),
        ("JobMemoryLimit", ctypes.c_size_t),
        ("PeakProcessMemoryUsed", ctypes.c_size_t),
        ("PeakJobMemoryUsed", ctypes.c_size_t),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel32.CreateJobObjectW.restype = wintypes.HANDLE
_kernel32.OpenProcess.restype = wintypes.HANDLE
_kernel32.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
_kernel32.CloseHandle.argtypes = (wintypes.HANDLE,)
_kernel32.AssignProcessToJobObject.argtypes = (wintypes.HANDLE, wintypes.HANDLE)
_kernel32.SetInformationJobObject.argtypes = (
    wintypes.HANDLE,
    ctypes.c_int,
    ctypes.c_void_p,
    wintypes.DWORD,
)
_kernel32.GetProcessTimes.argtypes = (wintypes.HANDLE, *[ctypes.POINTER(wintypes.FILETIME)] * 4)


def create_kill_on_close_job() -> int:
    """A job whose members end when its handle is closed: at the latest when this process ends."""
    job = int(_checked(_kernel32.CreateJobObjectW(None, None)))
    limits = _ExtendedLimits()
    limits.BasicLimitInformation.LimitFlags = _KILL_ON_JOB_CLOSE
    size = ctypes.sizeof(limits)
    done = _kernel32.SetInformationJobObject(
        job, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), size
    )
    _checked(done)
    return job


def assign(job: int, pid: int) -> None:
    """Make a process a member of the job."""
    process = _checked(_kernel32.OpenProcess(_TERMINATE_AND_SET_QUOTA, False, pid))
    try:
        _checked(_kernel32.AssignProcessToJobObject(job, process))
    finally:
        _kernel32.CloseHandle(process)


def creation_time(pid: int) -> str:
    """When a process was created, as an opaque text; empty when there is none."""
    process = _kernel32.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid)
    if not process:
        return ""
    times = [wintypes.FILETIME() for _ in range(4)]
    try:
        if not _kernel32.GetProcessTimes(process, *map(ctypes.byref, times)):
            return ""
    finally:
        _kernel32.CloseHandle(process)
    created, ended = times[:2]
    if ended.dwLowDateTime or ended.dwHighDateTime:
        return ""
    return f"{created.dwHighDateTime}.{created.dwLowDateTime}"


def _checked(result: int | None) -> int:
    if not result:
        raise ctypes.WinError(ctypes.get_last_error())
    return result
