/* Tries from inside of a sandbox what somebody would try who took a room over. Test program; under systemd it stands in
 * for a room, with the directives of its unit. Prints one line an attempt: "NAME: refused (why)" or "NAME: POSSIBLE". */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
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
static int open_init_memory(void) { return open_path("/proc/1/mem", O_RDONLY); }
static int open_init_environment(void) { return open_path("/proc/1/environ", O_RDONLY); }
static int write_root(void) { return open_path("/probe", O_WRONLY | O_CREAT); }
static int write_tmp(void) { return open_path("/tmp/probe", O_WRONLY | O_CREAT); }
static int write_program(void) { return open_path("/usr/bin/pfxctl", O_WRONLY); }

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

static int make_process(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : waitpid(pid, NULL, 0) < 0;
}

/* Of another program; of itself a room has no need. */
static int run_program(void)
{
	pid_t pid = vfork();
	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	int status = 0;
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	errno = EACCES;
	return status == 0 ? 0 : -1;
}

static int trace_parent(void) { return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) < 0 ? -1 : 0; }
static int read_parent(void)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { (void *)&byte, 1 };
	return syscall(SYS_process_vm_readv, (long)getppid(), &here, 1L, &there, 1L, 0L) < 0 && errno != EFAULT ? -1 : 0;
}

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
static const struct {
	const char *name;
	int (*attempt)(void);
} attempts[] = {
	ATTEMPT(open_configuration), ATTEMPT(open_tls_key), ATTEMPT(open_database), ATTEMPT(open_keyring),
	ATTEMPT(open_shadow), ATTEMPT(open_credentials), ATTEMPT(open_init_memory), ATTEMPT(open_init_environment),
	ATTEMPT(write_root), ATTEMPT(write_tmp), ATTEMPT(write_program),
	ATTEMPT(socket_inet), ATTEMPT(socket_inet6), ATTEMPT(socket_netlink), ATTEMPT(socket_packet),
	ATTEMPT(socket_vsock), ATTEMPT(socket_unix), ATTEMPT(connect_inet), ATTEMPT(connect_keeper_admin),
	ATTEMPT(connect_keeper_device), ATTEMPT(connect_keeper_local), ATTEMPT(connect_opener), ATTEMPT(connect_bus),
	ATTEMPT(make_process), ATTEMPT(run_program), ATTEMPT(trace_parent), ATTEMPT(read_parent),
	ATTEMPT(map_executable), ATTEMPT(make_executable), ATTEMPT(become_root), ATTEMPT(new_namespace),
};

int main(void)
{
	for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
		errno = 0;
		bool done = attempts[i].attempt() == 0;
		if (done)
			printf("%s: POSSIBLE\n", attempts[i].name);
		else
			printf("%s: refused (%s)\n", attempts[i].name, strerror(errno));
		fflush(stdout);
	}
	return 0;
}
