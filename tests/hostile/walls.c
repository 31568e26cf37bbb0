/* What native code that a model file has taken over would try; compiled by test_walls.py.

   Each attempt gives 0 where it failed, as it must, or the number of what it got done. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *secret, *folder;
static int parent, port, inherited;
static char made[4096], buffer[4096];

static const char *in(const char *name) {
    snprintf(made, sizeof made, "%s/%s", folder, name);
    return made;
}

static int opens(const char *path, int flags) { return open(path, flags, 0600) >= 0; }

static int readable(const char *path) {
    int file = open(path, O_RDONLY);
    return file >= 0 && read(file, buffer, 10) > 0;
}

static int of_process(const char *name) {
    char path[200];
    snprintf(path, sizeof path, "/proc/%d/%s", parent, name);
    return readable(path);
}

static int calls(int family, int type) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int talk = socket(family, type, 0);
    if (talk < 0) return 0;
    sendto(talk, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
    connect(talk, (struct sockaddr *)&to, sizeof to);
    return 1;
}

static int forked(long child) {
    if (child == 0) _exit(0);
    return child > 0;
}

/* TRY(name, expression): true where something was got done */
#define ATTEMPTS \
    TRY(open_to_write, opens(secret, O_WRONLY)) \
    TRY(open_to_read_and_write, opens(secret, O_RDWR)) \
    TRY(open_to_append, opens(secret, O_WRONLY | O_APPEND)) \
    TRY(open_to_truncate, opens(secret, O_RDONLY | O_TRUNC)) \
    TRY(open_access_mode_3, opens(secret, 3)) \
    TRY(create, opens(in("new"), O_WRONLY | O_CREAT)) \
    TRY(create_to_read, opens(in("new"), O_RDONLY | O_CREAT)) \
    TRY(create_by_creat, syscall(SYS_creat, in("new"), 0600) >= 0) \
    TRY(create_by_open, syscall(SYS_open, in("new"), O_WRONLY | O_CREAT, 0600) >= 0) \
    TRY(create_by_openat2, syscall(SYS_openat2, AT_FDCWD, in("new"), \
        (unsigned long[]){O_WRONLY | O_CREAT, 0600, 0}, 24) >= 0) \
    TRY(create_in_tmp, opens("/tmp/tf-compleak-walls", O_WRONLY | O_CREAT)) \
    TRY(create_in_shm, opens("/dev/shm/tf-compleak-walls", O_WRONLY | O_CREAT)) \
    TRY(create_here, opens("here", O_WRONLY | O_CREAT)) \
    TRY(create_nameless, opens(folder, O_TMPFILE | O_RDWR)) \
    TRY(shm_open, shm_open("/tf-compleak-walls", O_CREAT | O_RDWR, 0600) >= 0) \
    TRY(truncate, !truncate(secret, 0)) \
    TRY(unlink, !unlink(secret)) \
    TRY(unlinkat, !unlinkat(AT_FDCWD, secret, 0)) \
    TRY(rename, !rename(secret, in("moved"))) \
    TRY(renameat2, !syscall(SYS_renameat2, AT_FDCWD, secret, AT_FDCWD, in("moved"), 0)) \
    TRY(link, !link(secret, in("link"))) \
    TRY(mkdir, !mkdir(in("made"), 0700)) \
    TRY(rmdir, !rmdir(in("folder"))) \
    TRY(symlink, !symlink("/etc", in("etc"))) \
    TRY(mknod, !mknod(in("pipe"), S_IFIFO | 0600, 0)) \
    TRY(chmod, !chmod(secret, 0)) \
    TRY(fchmodat, !fchmodat(AT_FDCWD, secret, 0, 0)) \
    TRY(chown, !chown(secret, getuid(), getgid())) \
    TRY(utime, !utimes(secret, 0)) \
    TRY(utimensat, !utimensat(AT_FDCWD, secret, 0, 0)) \
    TRY(setxattr, !syscall(SYS_setxattr, secret, "user.x", "x", 1, 0)) \
    TRY(chdir, !chdir("/")) \
    TRY(flock, !syscall(SYS_flock, inherited, 2)) \
    TRY(read_secret, readable(secret)) \
    TRY(read_secret_by_its_own_root, readable(in("../root"))) \
    TRY(list_folder, opens(folder, O_RDONLY | O_DIRECTORY)) \
    TRY(read_passwd, readable("/etc/passwd")) \
    TRY(read_passwd_by_root, readable("/proc/self/root/etc/passwd")) \
    TRY(read_environment_of_parent, of_process("environ")) \
    TRY(read_memory_of_parent, of_process("mem")) \
    TRY(read_maps_of_parent, of_process("maps")) \
    TRY(read_files_of_parent, of_process("fd/0")) \
    TRY(write_own_memory, opens("/proc/self/mem", O_RDWR)) \
    TRY(socket_tcp, calls(AF_INET, SOCK_STREAM)) \
    TRY(socket_udp, calls(AF_INET, SOCK_DGRAM)) \
    TRY(socket_inet6, calls(AF_INET6, SOCK_STREAM)) \
    TRY(socket_unix, calls(AF_UNIX, SOCK_STREAM)) \
    TRY(socket_netlink, calls(AF_NETLINK, SOCK_RAW)) \
    TRY(socket_packet, calls(AF_PACKET, SOCK_RAW)) \
    TRY(socket_vsock, calls(40, SOCK_STREAM)) \
    TRY(socketpair, !socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0})) \
    TRY(sendto, send(inherited, "x", 1, 0) >= 0) \
    TRY(sendmsg, sendmsg(inherited, &(struct msghdr){0}, 0) >= 0) \
    TRY(accept, accept(inherited, 0, 0) >= 0) \
    TRY(execve, execve("/bin/true", (char *[]){"true", 0}, (char *[]){0}) != -1) \
    TRY(execveat, syscall(SYS_execveat, AT_FDCWD, "/bin/true", 0, 0, 0) != -1) \
    TRY(fork, forked(syscall(SYS_fork))) \
    TRY(vfork, forked(syscall(SYS_vfork))) \
    TRY(clone_process, forked(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))) \
    TRY(clone_namespace, syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) >= 0) \
    TRY(clone_thread_in_namespace, syscall(SYS_clone, CLONE_THREAD | CLONE_VM | CLONE_SIGHAND \
        | CLONE_NEWNET, 0, 0, 0, 0) >= 0 || errno != EPERM) \
    TRY(clone3, syscall(SYS_clone3, (char[88]){0}, 88) != -1 || errno != ENOSYS) \
    TRY(system, system("true") == 0) \
    TRY(kill_parent, !kill(parent, 0)) \
    TRY(kill_all, !syscall(SYS_kill, -1, 0)) \
    TRY(kill_group, !syscall(SYS_kill, 0, 0)) \
    TRY(tkill_parent, !syscall(SYS_tkill, parent, 0)) \
    TRY(tgkill_parent, !syscall(SYS_tgkill, parent, parent, 0)) \
    TRY(sigqueue_parent, !sigqueue(parent, 0, (union sigval){0})) \
    TRY(ptrace, !ptrace(PTRACE_ATTACH, parent, 0, 0)) \
    TRY(ptrace_me, !ptrace(PTRACE_TRACEME, 0, 0, 0)) \
    TRY(read_other_memory, process_vm_readv(parent, &(struct iovec){buffer, 1}, 1, \
        &(struct iovec){buffer, 1}, 1, 0) >= 0 || errno != EPERM) \
    TRY(write_other_memory, process_vm_writev(parent, &(struct iovec){buffer, 1}, 1, \
        &(struct iovec){buffer, 1}, 1, 0) >= 0 || errno != EPERM) \
    TRY(pidfd_open, syscall(SYS_pidfd_open, parent, 0) >= 0) \
    TRY(pidfd_getfd, syscall(SYS_pidfd_getfd, inherited, 0, 0) >= 0 || errno != EPERM) \
    TRY(mount, !syscall(SYS_mount, "x", folder, "tmpfs", 0, 0) || errno != EPERM) \
    TRY(umount, !syscall(SYS_umount2, "/proc", 2) || errno != EPERM) \
    TRY(unshare, !unshare(CLONE_NEWUSER)) \
    TRY(setns, !setns(inherited, 0) || errno != EPERM) \
    TRY(chroot, !chroot(folder)) \
    TRY(pivot_root, !syscall(SYS_pivot_root, folder, folder) || errno != EPERM) \
    TRY(setuid, !setuid(getuid())) \
    TRY(setgid, !setgid(getgid())) \
    TRY(setsid, setsid() >= 0) \
    TRY(setpgid, !setpgid(0, 0)) \
    TRY(outlive_parent, !prctl(PR_SET_PDEATHSIG, 0)) \
    TRY(set_dumpable, !prctl(PR_SET_DUMPABLE, 1)) \
    TRY(second_filter, !prctl(PR_SET_SECCOMP, 2, 0) || errno != EPERM) \
    TRY(setrlimit, !syscall(SYS_setrlimit, RLIMIT_NOFILE, &(struct rlimit){1, 1})) \
    TRY(prlimit, !prlimit(0, RLIMIT_NOFILE, &(struct rlimit){1, 1}, 0)) \
    TRY(prlimit_parent, !prlimit(parent, RLIMIT_NOFILE, 0, &(struct rlimit){0})) \
    TRY(setpriority, !setpriority(PRIO_PROCESS, 0, 5)) \
    TRY(sched_setaffinity, !sched_setaffinity(parent, 8, (cpu_set_t *)buffer) || errno != EPERM) \
    TRY(memfd_create, syscall(SYS_memfd_create, "x", 0) >= 0) \
    TRY(io_uring, syscall(SYS_io_uring_setup, 1, buffer) >= 0 || errno != EPERM) \
    TRY(bpf, syscall(SYS_bpf, 0, buffer, 8) >= 0 || errno != EPERM) \
    TRY(perf, syscall(SYS_perf_event_open, buffer, 0, -1, -1, 0) >= 0 || errno != EPERM) \
    TRY(keyctl, syscall(SYS_keyctl, 0, -3, 0) >= 0 || errno != EPERM) \
    TRY(add_key, syscall(SYS_add_key, "user", "x", "x", 1, -3) >= 0 || errno != EPERM) \
    TRY(userfaultfd, syscall(SYS_userfaultfd, 1) >= 0 || errno != EPERM) \
    TRY(shmget, syscall(SYS_shmget, 0, 4096, 01600) >= 0) \
    TRY(msgget, syscall(SYS_msgget, 0, 01600) >= 0) \
    TRY(mq_open, syscall(SYS_mq_open, "x", O_CREAT | O_RDWR, 0600, 0) >= 0) \
    TRY(type_into_terminal, !ioctl(0, TIOCSTI, "x") || errno != EPERM) \
    TRY(fcntl_owner, !fcntl(inherited, F_SETOWN, parent)) \
    TRY(fcntl_status, !fcntl(inherited, F_SETFL, O_ASYNC)) \
    TRY(inotify, syscall(SYS_inotify_init1, 0) >= 0) \
    TRY(fanotify, syscall(SYS_fanotify_init, 0, 0) >= 0 || errno != EPERM) \
    TRY(open_by_handle, syscall(SYS_open_by_handle_at, 0, buffer, 0) >= 0 || errno != EPERM) \
    TRY(sethostname, !sethostname("x", 1)) \
    TRY(settime, !syscall(SYS_settimeofday, 0, 0)) \
    TRY(reboot, !syscall(SYS_reboot, 0, 0, 0, 0) || errno != EPERM) \
    TRY(module, !syscall(SYS_init_module, buffer, 0, "") || errno != EPERM) \
    TRY(quotactl, !syscall(SYS_quotactl, 0, 0, 0, 0) || errno != EPERM) \
    TRY(landlock, syscall(SYS_landlock_create_ruleset, 0, 0, 1) >= 0)

#define TRY(name, expression) static int name##_(void) { errno = 0; return expression; }
ATTEMPTS
#undef TRY

#define TRY(name, expression) {#name, name##_},
static const struct {
    const char *name;
    int (*run)(void);
} attempts[] = {ATTEMPTS};

static void *thread(void *value) {
    *(int *)value = 42;
    return 0;
}

/* Whether a thread runs and a file of its own can be read. */
int works(const char *own) {
    int value = 0;
    pthread_t running;
    if (pthread_create(&running, 0, thread, &value) || pthread_join(running, 0)) return 0;
    return value == 42 && readable(own) && readable("/proc/self/status");
}

/* Names of attempts that succeeded, each on a line, are written to `report`; their number. */
int run(const char *a_secret, const char *a_folder, int a_parent, int a_port, int socket,
        char *report, int size, int *tried) {
    secret = a_secret, folder = a_folder, parent = a_parent, port = a_port, inherited = socket;
    int succeeded = 0, length = 0;
    for (unsigned i = 0; i < sizeof attempts / sizeof *attempts; i++, ++*tried) {
        if (!attempts[i].run()) continue;
        succeeded++;
        length += snprintf(report + length, size - length, "%s\n", attempts[i].name);
    }
    return succeeded;
}

#ifdef __x86_64__
/* getpid by the calls of 32-bit programs: the process has to end of it. */
int old_calls(void) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20));
    return result;
}

int x32_calls(void) { return syscall(0x40000000 + SYS_getpid); }
#endif
