"""Taking a process its rights, for good: what a model file's native code could do with them.

Two kernel mechanisms, both unprivileged: Landlock (py-landlock) for files, a seccomp filter
(pyseccomp, on the system's libseccomp) for everything else. The filter lists the system calls that
an interpreter needs; any other fails with EPERM. Linux only: elsewhere `lock` says what is missing.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from pathlib import Path

FULL = "full"
SYSTEM = (  # files of the system that Python and the runtimes read
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache"),
    *("/dev/urandom", "/dev/null", "/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system"),
    *("/proc/stat", "/proc/self"),
)

CALLS = (  # allowed whatever their arguments are
    # memory
    *("brk", "mmap", "munmap", "mprotect", "mremap", "madvise", "membarrier", "get_mempolicy"),
    # files that may be read, by Landlock; descriptors that are open
    *("read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "lseek", "close"),
    *("dup", "fstat", "newfstatat", "stat", "lstat", "statx", "access", "faccessat", "faccessat2"),
    *("readlink", "readlinkat", "getdents64", "getcwd", "statfs", "fstatfs", "fadvise64"),
    *("poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait"),
    *("epoll_pwait", "eventfd2", "pipe2"),
    # threads and time
    *("futex", "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address"),
    *("sched_yield", "sched_getaffinity", "sched_getparam", "sched_getscheduler"),
    *("sched_get_priority_max", "sched_get_priority_min", "getcpu", "gettid", "getpid", "getppid"),
    *("getuid", "geteuid", "getgid", "getegid", "getpgrp", "uname", "sysinfo", "getrusage"),
    *("times", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday"),
    *("time", "getrandom", "restart_syscall", "exit", "exit_group"),
    # its own signals
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "sigaltstack"),
    *("alarm", "setitimer", "getrlimit"),
)
WRITING = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CLONE_THREAD = 0x00010000
CLONE_NEW = 0x7E022000  # namespaces of its own, or a tracer's
PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_SET_VMA = 15, 16, 1, 0x53564D41
F_COMMANDS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
IOCTLS = (0x5401, 0x5450, 0x5451)  # TCGETS, FIONCLEX, FIOCLEX


def die_with(parent: int) -> None:
    """End with the parent, also if that is killed; at once if it has ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def limit(memory: int) -> None:
    """Bounds of memory (bytes), of threads, and none of files that are written or cores."""
    bounds = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": 0, "RLIMIT_AS": memory, "RLIMIT_NOFILE": 1024}
    bounds["RLIMIT_NPROC"] = _tasks() + 4096
    for name, bound in bounds.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):
            which = getattr(resource, name)
            hard = resource.getrlimit(which)[1]
            bound = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
            resource.setrlimit(which, (bound, bound))


def _tasks() -> int:
    """Processes and threads of this machine, which the kernel's bound counts by user."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 4096


def load_libraries() -> None:
    """Import what `lock` works with: looking for libseccomp starts processes of its own."""
    for name in ("pyseccomp", "py_landlock"):
        with contextlib.suppress(ImportError, RuntimeError, OSError):
            __import__(name)


def lock(readable: Iterable[str]) -> str:
    """Give up, for good, everything that opening and asking a file does not need.

    Args:
      readable: files and folders that may be read besides Python, its libraries and `SYSTEM`.

    Returns:
      "full", or "partial: ..." or "none: ..." with what this machine could not enforce.
    """
    missing = [*_lock_files([*_own_paths(), *readable]), *_lock_calls()]
    if not missing:
        return FULL
    kind = "none" if len(missing) == 2 else "partial"
    return f"{kind}: {'; '.join(missing)}"


def _own_paths() -> list[str]:
    """Where Python and what it has imported or can import is."""
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("DESTSHARED")]
    paths += [path for path in sys.path if os.path.isabs(path) and _is_library(path)]
    paths += [str(Path(__file__).parents[2])]  # the package, not what lies beside it
    return [path for path in dict.fromkeys(paths) if path]


def _is_library(path: str) -> bool:
    return bool({"site-packages", "dist-packages", "lib-dynload"} & set(Path(path).parts))


def _lock_files(readable: Sequence[str]) -> list[str]:
    """Reading beneath these paths only, writing nowhere; what is missing, empty if nothing is."""
    try:
        from py_landlock import AccessFs, Landlock

        rules = Landlock(strict=False)
        for path in [*readable, *SYSTEM]:
            access = AccessFs.READ_FILE | AccessFs.READ_DIR
            if os.path.isfile(path) or path.startswith("/dev/"):
                access = AccessFs.READ_FILE
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                if os.path.exists(path):
                    rules.add_path_rule(os.path.realpath(path), access=access)
        threads = len(os.listdir("/proc/self/task"))
        if threads > 1:
            return [f"{threads - 1} thread(s) of a library run outside of the file rules"]
        rules.apply()
    except Exception as error:
        return [f"no file rules (Landlock: {_short(error)})"]
    return []


def _lock_calls() -> list[str]:
    """Only the system calls of `CALLS` and `_narrow`, in all threads; what is missing."""
    try:
        import pyseccomp as seccomp

        rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
        rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
        for name in CALLS:
            with contextlib.suppress(OSError):  # a call that this kind of processor does not have
                rules.add_rule(seccomp.ALLOW, name)
        _narrow(rules, seccomp)
        rules.load()
    except Exception as error:
        return [f"no system call filter (seccomp: {_short(error)})"]
    return []


def _narrow(rules, seccomp) -> None:
    """Calls that are allowed with some arguments only."""

    def allow(name: str, *conditions: tuple[int, int, int]) -> None:
        """Conditions are (argument, mask, value)."""
        arguments = [seccomp.Arg(n, seccomp.MASKED_EQ, mask, v) for n, mask, v in conditions]
        with contextlib.suppress(OSError):
            rules.add_rule(seccomp.ALLOW, name, *arguments)

    whole = 0xFFFFFFFF
    allow("openat", (2, WRITING, os.O_RDONLY))
    allow("open", (1, WRITING, os.O_RDONLY))
    allow("clone", (0, CLONE_THREAD | CLONE_NEW, CLONE_THREAD))
    allow("tgkill", (0, whole, os.getpid()))
    allow("prlimit64", (0, whole, 0), (2, 0xFFFFFFFFFFFFFFFF, 0))
    for option in (PR_SET_NAME, PR_GET_NAME, PR_SET_VMA):
        allow("prctl", (0, whole, option))
    for command in F_COMMANDS:
        allow("fcntl", (1, whole, command))
    for request in IOCTLS:
        allow("ioctl", (1, whole, request))
    for name in ("clone3", "openat2"):  # their arguments lie in memory: say that there are none
        with contextlib.suppress(OSError):
            rules.add_rule(seccomp.ERRNO(errno.ENOSYS), name)


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
