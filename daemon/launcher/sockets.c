/* Makes listening sockets. Launcher. It listens where it is told, and looks up no names. */
#include "sockets.h"

#include "fault.h"
#include "frame.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 1024, BIND_TRIES = 20, BIND_PAUSE_MS = 100 };

static int new_socket(int domain, int type)
{
	int fd = socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd >= 0 ? fd : fail(FAULT_UNAVAILABLE, "no socket: %s", strerror(errno));
}

/* After a SIGKILL the fronts of the launcher before this one take a moment to be gone, and hold the port until then. */
static bool bind_patiently(int fd, const struct addrinfo *where)
{
	for (int try = 0; try < BIND_TRIES; try++) {
		if (bind(fd, where->ai_addr, where->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
			return true;
		if (errno != EADDRINUSE)
			return false;
		poll(NULL, 0, BIND_PAUSE_MS);
	}
	errno = EADDRINUSE;
	return false;
}

static void free_addresses(struct addrinfo **found)
{
	if (*found)
		freeaddrinfo(*found);
}

int listen_on_port(const char *address, int port)
{
	const int on = 1;
	const struct addrinfo wanted = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	__attribute__((cleanup(free_addresses))) struct addrinfo *found = NULL;
	char number[16];
	snprintf(number, sizeof number, "%d", port);
	int rc = getaddrinfo(address, number, &wanted, &found);
	if (rc != 0)
		return fail(FAULT_UNAVAILABLE, "can not listen on %s: %s", address, gai_strerror(rc));
	FD fd = new_socket(found->ai_family, SOCK_STREAM);
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (!bind_patiently(fd, found))
		return fail(FAULT_UNAVAILABLE, "can not listen on %s port %d: %s; choose others with "
			    "--base-port", address, port, strerror(errno));
	int ret = fd;
	fd = -1;
	return ret;
}

int listen_on_path(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	FD fd = new_socket(AF_UNIX, SOCK_STREAM);
	if (fd < 0)
		return fd;
	unlink(path);
	if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0600) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return fail(FAULT_UNAVAILABLE, "can not listen on %s: %s", path, strerror(errno));
	int ret = fd;
	fd = -1;
	return ret;
}

int open_notify_socket(char *ret_name, size_t size)
{
	const int on = 1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof address.sun_family; /* the family alone: the kernel chooses a name, unix(7) */
	FD fd = new_socket(AF_UNIX, SOCK_DGRAM);
	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
	    bind(fd, (const struct sockaddr *)&address, len) < 0)
		return fail(FAULT_UNAVAILABLE, "no socket for notifications: %s", strerror(errno));
	len = sizeof address;
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return fail(FAULT_UNAVAILABLE, "no socket for notifications: %s", strerror(errno));
	int name_len = (int)(len - offsetof(struct sockaddr_un, sun_path)) - 1;
	snprintf(ret_name, size, "@%.*s", name_len, address.sun_path + 1);
	int ret = fd;
	fd = -1;
	return ret;
}
