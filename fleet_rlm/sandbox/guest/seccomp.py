"""Refuse system calls that Landlock does not cover, by a seccomp filter written out as BPF.

What it answers with EPERM: every socket but stream socketpairs (Landlock leaves UDP and unix sockets open), looking
into or steering other processes, new namespaces and mounts, io_uring (which opens files and sockets past any filter),
kernel administration, System V and POSIX message IPC, and changing modes, owners, times or attributes of any file:
Landlock does not know these, and even a file opened for reading could be changed so (the user's own packages).
"""

from __future__ import annotations

import ctypes
import platform
import struct

EPERM, ENOSYS = 1, 38
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# name: (x86_64, aarch64); None where the architecture lacks the call
DENIED: dict[str, tuple[int | None, int | None]] = {
    # network and sockets (socketpair is handled below)
    **{"socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201)},
    # other processes
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"pidfd_getfd": (438, 438), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118)},
    **{"sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "move_pages": (279, 239)},
    **{"migrate_pages": (256, 238), "process_madvise": (440, 440), "process_mrelease": (448, 448)},
    # namespaces and mounts
    **{"unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "chroot": (161, 51)},
    **{"pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430)},
    **{"fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442)},
    **{"open_tree_attr": (467, 467)},
    # ways around path checks
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    **{"open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "inotify_add_watch": (254, 27)},
    **{"fanotify_init": (300, 262), "fanotify_mark": (301, 263), "userfaultfd": (323, 282)},
    # modes, owners, times and attributes
    **{"fchmod": (91, 52), "fchown": (93, 55), "fsetxattr": (190, 7), "fremovexattr": (199, 16)},
    **{"utimensat": (280, 88)},
    **{"chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None)},
    **{"lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None)},
    **{"futimesat": (261, None), "setxattr": (188, 5), "lsetxattr": (189, 6), "setxattrat": (463, 463)},
    **{"removexattr": (197, 14), "lremovexattr": (198, 15), "removexattrat": (466, 466), "file_setattr": (469, 469)},
    # IPC by key or name
    **{"shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193)},
    **{"semctl": (66, 191), "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188)},
    **{"msgctl": (71, 187), "mq_open": (240, 180), "mq_unlink": (241, 181)},
    # the kernel itself
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217)},
    **{"request_key": (249, 218), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105)},
    **{"finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224)},
    **{"swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443)},
    **{"settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171)},
    **{"sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "iopl": (172, None)},
    **{"ioperm": (173, None), "modify_ldt": (154, None), "lookup_dcookie": (212, 18), "vhangup": (153, 58)},
}
SIGNALS: dict[str, tuple[int | None, int | None]] = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
}
CALL: dict[str, tuple[int, int]] = {
    **{"clone": (56, 220), "clone3": (435, 435), "socketpair": (53, 199), "prlimit64": (302, 261)},
    **{"sched_setaffinity": (203, 122), "fcntl": (72, 25), "ioctl": (16, 29)},
    **{"tgkill": (234, 131)},
}
NEW_NAMESPACES = 0x7E020000  # every CLONE_NEW* flag clone() accepts
SOCK_TYPE_MASK, SOCK_DGRAM, SOCK_RAW = 0xF, 2, 3
OWNER_COMMANDS = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX: make the kernel signal any process
OWNER_REQUESTS = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP

LOAD, AND, RETURN = 0x20, 0x54, 0x06
JEQ, JGE, JSET = 0x15, 0x35, 0x45
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | EPERM, 0x80000000
NR, ARCH = 0, 4
Instruction = tuple[int, int, int, int]


def _low(argument: int) -> Instruction:
    return (LOAD, 0, 0, 16 + 8 * argument)


def _high(argument: int) -> Instruction:
    return (LOAD, 0, 0, 20 + 8 * argument)


def _ret(what: int) -> Instruction:
    return (RETURN, 0, 0, what)


def _refuse_unless_zero(argument: int) -> list[Instruction]:
    return [_low(argument), (JEQ, 0, 2, 0), _high(argument), (JEQ, 1, 0, 0), _ret(REFUSE), _ret(ALLOW)]


def _refuse_values(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    checks: list[Instruction] = [_low(argument)]
    for value in values:
        checks += [(JEQ, 0, 1, value), _ret(REFUSE)]
    return [*checks, _ret(ALLOW)]


def program(machine: str, *, own_pid: int | None = None) -> list[Instruction]:
    """The filter. `own_pid` also refuses signals to any other process, for kernels where Landlock cannot."""
    column = list(AUDIT_ARCH).index(machine)
    code: list[Instruction] = [(LOAD, 0, 0, ARCH), (JEQ, 1, 0, AUDIT_ARCH[machine]), _ret(KILL), (LOAD, 0, 0, NR)]
    if machine == "x86_64":  # the x32 numbering would slip past the table
        code += [(JGE, 0, 1, 0x40000000), _ret(REFUSE)]
    denied = {**DENIED, **SIGNALS} if own_pid is not None else DENIED
    for numbers in denied.values():
        if (number := numbers[column]) is not None:
            code += [(JEQ, 0, 1, number), _ret(REFUSE)]
    blocks: dict[str, list[Instruction]] = {
        "clone": [_low(0), (JSET, 0, 1, NEW_NAMESPACES), _ret(REFUSE), _ret(ALLOW)],
        "clone3": [_ret(0x00050000 | ENOSYS)],  # its flags are behind a pointer; libc falls back to clone
        "socketpair": [
            *(_low(1), (AND, 0, 0, SOCK_TYPE_MASK), (JEQ, 1, 0, SOCK_DGRAM), (JEQ, 0, 1, SOCK_RAW)),
            *(_ret(REFUSE), _ret(ALLOW)),  # a datagram pair can still send to any unix socket by path
        ],
        "prlimit64": _refuse_unless_zero(0),
        "sched_setaffinity": _refuse_unless_zero(0),
        "fcntl": _refuse_values(1, OWNER_COMMANDS),
        "ioctl": _refuse_values(1, OWNER_REQUESTS),
    }
    if own_pid is not None:
        blocks["tgkill"] = [_low(0), (JEQ, 0, 1, own_pid), _ret(ALLOW), _ret(REFUSE)]
    for name, block in blocks.items():
        code += [(JEQ, 0, len(block), CALL[name][column]), *block]
    return [*code, _ret(ALLOW)]


def apply(libc: ctypes.CDLL, *, own_pid: int | None = None) -> None:
    """Install the filter on this thread and everything it starts. Needs no_new_privs.

    Raises:
        OSError: if the kernel refuses.
        KeyError: on an architecture without a table; ask `supported` first.
    """
    code = program(platform.machine(), own_pid=own_pid)
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in code))
    header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(code), ctypes.addressof(packed)))
    if libc.prctl(22, 2, header, 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "the kernel refused the seccomp filter")


def supported() -> bool:
    """True if this architecture has a table."""
    return platform.machine() in AUDIT_ARCH
