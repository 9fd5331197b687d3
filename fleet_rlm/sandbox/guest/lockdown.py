"""Confine this process, and all it will start, with what an unprivileged Linux process may apply to itself.

Order matters and is the caller's duty: namespaces while there is one thread, then `lock` before any third-party
import (native threads would escape it). Every fork narrows itself further with `narrow`; Landlock layers only ever
take rights away. Mechanisms: Landlock for files, TCP and signals; seccomp for everything Landlock does not know;
no_new_privs; dropped capabilities; rlimits; namespaces where the system allows them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import struct
from typing import Any

from . import seccomp

libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 24, 36, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mnt uts ipc user pid net
MS_REC, MS_PRIVATE, MS_NOSUID, MS_NODEV = 0x4000, 0x40000, 0x2, 0x4

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
READ_ONLY = EXECUTE | READ_FILE | READ_DIR
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

SYSTEM_READ = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/fonts", "/etc/mime.types", "/etc/ssl/openssl.cnf"),
    *("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/sys/devices/system/cpu", "/dev/urandom", "/dev/random"),
)
SYSTEM_WRITE = ("/dev/null", "/dev/zero", "/dev/full")


class Refused(Exception):
    """A protection cannot be had; the message says which and why."""


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise Refused(f"{what}: {os.strerror(number)}")
    return result


def die_with_parent(signal_number: int) -> None:
    """Be sent this signal when the thread that started this process ends."""
    _check(libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "PR_SET_PDEATHSIG")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies."""
    _check(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "PR_SET_CHILD_SUBREAPER")


def first_to_go() -> None:
    """When the machine runs out of memory, let the kernel end what is forked from here rather than the host."""
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("500")


# ---- namespaces


def enter_namespaces() -> None:
    """Own user, network, IPC, UTS, mount and (for children) process namespaces, and an own /dev/shm.

    Raises:
        Refused: where the system forbids it; this process may then be half-way, so try in a throw-away fork first.
    """
    uid, gid = os.getuid(), os.getgid()
    _check(libc.unshare(NAMESPACES), "user namespaces")
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError as error:
        raise Refused(f"user namespaces: {error}") from None
    _check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "private mounts")
    _check(libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", MS_NOSUID | MS_NODEV, b"size=512m"), "own /dev/shm")


def namespaces_refused() -> str | None:
    """Why namespaces cannot be had, or None; found out in a throw-away fork."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            enter_namespaces()
        except Refused as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        reason = pipe.read().decode()
    os.waitpid(pid, 0)
    return reason or None


# ---- Landlock


def landlock_abi() -> int:
    """The kernel's Landlock version; 0 if there is none."""
    return max(0, int(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def restrict(read: tuple[str, ...], write: tuple[str, ...], abi: int) -> None:
    """Add a Landlock layer: these paths and nothing else; no TCP (ABI 4), no signals out of this layer (ABI 6)."""
    known = (1 << (13 if abi < 2 else 14 if abi < 3 else 15 if abi < 5 else 16)) - 1
    attributes = struct.pack("=QQQ", known, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    buffer = ctypes.create_string_buffer(attributes[:size], size)
    ruleset = _check(libc.syscall(CREATE_RULESET, buffer, ctypes.c_size_t(size), ctypes.c_uint32(0)), "Landlock")
    try:
        for paths, rights in ((read, READ_ONLY), (write, known)):
            for path in paths:
                _grant(ruleset, path, rights & known)
        _check(libc.syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)), "Landlock")
    finally:
        os.close(ruleset)


def _grant(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there or not reachable needs no right
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= ON_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, handle), 12)
        _check(libc.syscall(ADD_RULE, ruleset, 1, rule, ctypes.c_uint32(0)), f"Landlock rule for {path}")
    finally:
        os.close(handle)


def readable(paths: tuple[str, ...]) -> tuple[str, ...]:
    """The system's paths and these, without those that are missing or lie below another: a fork grants each anew."""
    real = {os.path.realpath(path) for path in (*SYSTEM_READ, *paths) if os.path.exists(path)}
    return tuple(sorted(path for path in real if not any(parent in real for parent in _parents(path))))


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(2, len(parts))]


# ---- the whole


def _drop_capabilities() -> None:
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused without CAP_SETPCAP, where there is nothing to drop
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0))
    _check(libc.capset(header, ctypes.create_string_buffer(24)), "dropping capabilities")


def unconfinable() -> tuple[str, ...]:
    """Why this machine cannot confine a process; empty if it can."""
    reasons = []
    if landlock_abi() < 1:
        reasons.append("the kernel offers no Landlock (it needs Linux 5.13 or later with landlock in its lsm= list)")
    if not seccomp.supported():
        reasons.append(f"there is no system-call table for {os.uname().machine}")
    return tuple(reasons)


def lock(root: str, read: tuple[str, ...], *, namespaces: bool, abi_limit: int = 99) -> dict[str, Any]:
    """Confine this process to reading system and Python directories and writing below `root`.

    Returns the report: tier, abi, guarantees (what -> mechanism) and missing.

    Raises:
        Refused: if any layer cannot be applied; nothing may run in this process then.
    """
    abi = min(landlock_abi(), abi_limit)
    _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    _drop_capabilities()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    shm = ("/dev/shm",) if namespaces else ()  # shared with the host otherwise, where its data may lie
    restrict(readable(read), (*SYSTEM_WRITE, *shm, root), abi)
    try:
        seccomp.apply(libc)
    except OSError as error:
        raise Refused(str(error)) from None
    guarantees = {
        "files": "Landlock",
        "network": "seccomp, empty network namespace" if namespaces else "seccomp",
        "processes": "Landlock, seccomp, own process namespace" if namespaces else "Landlock, seccomp",
        "signals": "process namespace" if namespaces else "Landlock" if abi >= 6 else "seccomp",
        "privileges": "no_new_privs, no capabilities",
        "environment": "clean",
    }
    missing = ["existence and size of files elsewhere", "kernel bugs"]
    if not namespaces:
        missing.append("no private /dev/shm, so multiprocessing locks are refused")
    return {
        "tier": "confined+ns" if namespaces else "confined",
        "abi": abi,
        "guarantees": guarantees,
        "missing": missing,
    }


def narrow(own: str, read: tuple[str, ...], *, namespaces: bool, abi: int) -> None:
    """In a fork: keep only `own` to write, and `read`, which says all that stays readable."""
    shm = ("/dev/shm",) if namespaces else ()
    restrict(read, (*SYSTEM_WRITE, *shm, own), abi)
    if abi < 6 and not namespaces:
        try:
            seccomp.apply(libc, own_pid=os.getpid())
        except OSError as error:
            raise Refused(str(error)) from None


def limit(*, memory: int | None, file_size: int | None) -> None:
    """Cap this process's address space and the size of a file it writes, both in bytes."""
    for which, value in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, file_size)):
        if value is not None:
            hard = resource.getrlimit(which)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(which, (value, value))
