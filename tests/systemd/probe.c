/* Tries from inside of a sandbox what somebody would try who took a room over. Test program; under systemd it stands in
 * for a room, with the directives of its unit. Prints one line an attempt: "NAME: refused (why)" or "NAME: POSSIBLE".
 * usage: probe [PID-OF-A-NEIGHBOUR]; "probe neighbour" is one: it waits until it is ended. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each returns 0 where what it tries was done, else -1 with errno. */

static int open_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int open_configuration(void) { return open_path("/etc/pfxd/pfxd.conf", O_RDONLY); }
static int open_tls_key(void) { return open_path("/etc/pfxd/tls/server.key", O_RDONLY); }
static int open_database(void) { return open_path("/var/lib/pfxd/pfxd.db", O_RDONLY); }
static int open_keyring(void) { return open_path("/etc/pfxd/keyring.cred", O_RDONLY); }
static int open_shadow(void) { return open_path("/etc/shadow", O_RDONLY); }
static int open_credentials(void) { return open_path("/run/credentials/pfxd-keeper.service/keyring", O_RDONLY); }
static int open_host_key(void) { return open_path("/var/lib/systemd/credential.secret", O_RDONLY); }
static int open_init_memory(void) { return open_path("/proc/1/mem", O_RDONLY); }
static int open_init_environment(void) { return open_path("/proc/1/environ", O_RDONLY); }
static int write_root(void) { return open_path("/probe", O_WRONLY | O_CREAT); }
static int write_tmp(void) { return open_path("/tmp/probe", O_WRONLY | O_CREAT); }
static int write_program(void) { return open_path("/usr/bin/pfxctl", O_WRONLY); }

/* Of a name that nobody had: the mode of another's would refuse it. */
static int write_in(const char *folder)
{
	char path[64];
	snprintf(path, sizeof path, "%s/probe-%d", folder, (int)getpid());
	return open_path(path, O_RDWR | O_CREAT);
}

static int write_shared_memory(void) { return write_in("/dev/shm"); }
static int write_message_queue(void) { return write_in("/dev/mqueue"); }

static int make_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

static int socket_inet(void) { return make_socket(AF_INET, SOCK_STREAM); }
static int socket_inet6(void) { return make_socket(AF_INET6, SOCK_DGRAM); }
static int socket_netlink(void) { return make_socket(AF_NETLINK, SOCK_RAW); }
static int socket_packet(void) { return make_socket(AF_PACKET, SOCK_RAW); }
static int socket_vsock(void) { return make_socket(AF_VSOCK, SOCK_STREAM); }
static int socket_unix(void) { return make_socket(AF_UNIX, SOCK_STREAM); }

/* To the health port of this very machine, which listens for sure. */
static int connect_inet(void)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(8445), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&address, sizeof address);
}

static int connect_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd < 0 ? -1 : connect(fd, (const struct sockaddr *)&address, sizeof address);
}

static int connect_keeper_admin(void) { return connect_unix("/run/pfxd/keeper-admin.sock"); }
static int connect_keeper_device(void) { return connect_unix("/run/pfxd/keeper-device.sock"); }
static int connect_keeper_local(void) { return connect_unix("/run/pfxd/keeper-local.sock"); }
static int connect_opener(void) { return connect_unix("/run/pfxd/opener-pfx.sock"); }
static int connect_bus(void) { return connect_unix("/run/dbus/system_bus_socket"); }
static int connect_systemd(void) { return connect_unix("/run/systemd/private"); }

static int make_process(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : waitpid(pid, NULL, 0) < 0;
}

enum { NOT_RUN = 99 };

/* Of another program; of itself a room has no need. However that ends: it ran. By fork(), for vfork() is refused to
 * rooms, and would hide what else is not. */
static int run(const char *program)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl(program, program, (char *)NULL);
		_exit(NOT_RUN);
	}
	int status = 0;
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	errno = EACCES;
	return WEXITSTATUS(status) == NOT_RUN ? -1 : 0;
}

static int run_program(void) { return run("/bin/true"); }
/* Where libraries are there are programs, too. */
static int run_program_of_library(void) { return run("/usr/lib/systemd/systemd-ac-power"); }

static int trace_parent(void) { return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 ? -1 : 0; }
static int read_parent(void)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)&byte, 1 };
	return syscall(SYS_process_vm_readv, (long)getppid(), &here, 1L, &there, 1L, 0L) < 0 && errno != EFAULT ? -1 : 0;
}

/* ---- at a neighbour: another process of the same user ---- */

static pid_t neighbour;

static int signal_neighbour(void) { return kill(neighbour, 0); }
static int signal_thread_of_neighbour(void) { return (int)syscall(SYS_tgkill, (long)neighbour, (long)neighbour, 0L); }
static int queue_to_neighbour(void) { return sigqueue(neighbour, 0, (union sigval){ 0 }); }
static int limit_neighbour(void)
{
	struct rlimit old;
	return prlimit(neighbour, RLIMIT_CPU, NULL, &old);
}
static int trace_neighbour(void) { return ptrace(PTRACE_SEIZE, neighbour, NULL, NULL) < 0 ? -1 : 0; }
static int slow_neighbour(void) { return setpriority(PRIO_PROCESS, (id_t)neighbour, 19); }
static int idle_neighbour(void)
{
	const struct sched_param none = { 0 };
	return sched_setscheduler(neighbour, SCHED_IDLE, &none);
}

static int hold_neighbour(void)
{
	long fd = syscall(SYS_pidfd_open, (long)neighbour, 0L);
	return fd < 0 ? -1 : close((int)fd);
}

/* Has the kernel send a signal when a descriptor has something to read: any signal, by fcntl(). */
static int own_by_fcntl_neighbour(void)
{
	int fds[2];
	if (pipe(fds) < 0)
		fds[0] = STDIN_FILENO; /* which is as good */
	return fcntl(fds[0], F_SETOWN, neighbour);
}

static int own_by_ioctl_neighbour(void)
{
	int pid = neighbour, fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		fds[0] = STDIN_FILENO;
	return ioctl(fds[0], FIOSETOWN, &pid);
}

/* ---- itself ---- */

static int map_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -1 : 0;
}

static int make_executable(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? -1 : mprotect(p, 4096, PROT_READ | PROT_EXEC);
}

static int new_namespace(void) { return (int)syscall(SYS_unshare, 0x10000000L /* CLONE_NEWUSER */); }
static int become_root(void) { return setuid(0); }

#define ATTEMPT(name) { #name, name }
struct attempt {
	const char *name;
	int (*attempt)(void);
};

static const struct attempt at_neighbour[] = {
	ATTEMPT(signal_neighbour), ATTEMPT(signal_thread_of_neighbour), ATTEMPT(queue_to_neighbour),
	ATTEMPT(limit_neighbour), ATTEMPT(trace_neighbour), ATTEMPT(slow_neighbour), ATTEMPT(idle_neighbour),
	ATTEMPT(hold_neighbour), ATTEMPT(own_by_fcntl_neighbour), ATTEMPT(own_by_ioctl_neighbour),
};

static const struct attempt attempts[] = {
	ATTEMPT(open_configuration), ATTEMPT(open_tls_key), ATTEMPT(open_database), ATTEMPT(open_keyring),
	ATTEMPT(open_shadow), ATTEMPT(open_credentials), ATTEMPT(open_init_memory), ATTEMPT(open_init_environment),
	ATTEMPT(write_root), ATTEMPT(write_tmp), ATTEMPT(write_program),
	ATTEMPT(write_shared_memory), ATTEMPT(write_message_queue),
	ATTEMPT(socket_inet), ATTEMPT(socket_inet6), ATTEMPT(socket_netlink), ATTEMPT(socket_packet),
	ATTEMPT(socket_vsock), ATTEMPT(socket_unix), ATTEMPT(connect_inet), ATTEMPT(connect_keeper_admin),
	ATTEMPT(connect_keeper_device), ATTEMPT(connect_keeper_local), ATTEMPT(connect_opener), ATTEMPT(connect_bus),
	ATTEMPT(connect_systemd), ATTEMPT(open_host_key),
	ATTEMPT(make_process), ATTEMPT(run_program), ATTEMPT(run_program_of_library),
	ATTEMPT(trace_parent), ATTEMPT(read_parent),
	ATTEMPT(map_executable), ATTEMPT(make_executable), ATTEMPT(become_root), ATTEMPT(new_namespace),
};

static void try_all(const struct attempt *attempt, size_t count)
{
	for (; count > 0; attempt++, count--) {
		errno = 0;
		bool done = attempt->attempt() == 0;
		if (done)
			printf("%s: POSSIBLE\n", attempt->name);
		else
			printf("%s: refused (%s)\n", attempt->name, strerror(errno));
		fflush(stdout);
	}
}

static int be_neighbour(void)
{
	puts("the neighbour is here");
	fflush(stdout);
	return poll(NULL, 0, -1);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "neighbour") == 0)
		return be_neighbour();
	neighbour = argc > 1 ? atoi(argv[1]) : 0;
	if (neighbour > 0)
		try_all(at_neighbour, sizeof at_neighbour / sizeof at_neighbour[0]);
	try_all(attempts, sizeof attempts / sizeof attempts[0]);
	return 0;
}
