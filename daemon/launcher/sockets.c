/* Makes listening sockets. Launcher. It listens on the loopback address alone. */
#include "sockets.h"

#include "fault.h"
#include "frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
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
static bool bind_patiently(int fd, const struct sockaddr_in *address)
{
	for (int try = 0; try < BIND_TRIES; try++) {
		if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0 && listen(fd, BACKLOG) == 0)
			return true;
		if (errno != EADDRINUSE)
			return false;
		poll(NULL, 0, BIND_PAUSE_MS);
	}
	errno = EADDRINUSE;
	return false;
}

int listen_on_port(int port)
{
	const int on = 1;
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	FD fd = new_socket(AF_INET, SOCK_STREAM);
	if (fd < 0)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (!bind_patiently(fd, &address))
		return fail(FAULT_UNAVAILABLE, "can not listen on 127.0.0.1 port %d: %s; choose others with "
			    "--base-port", port, strerror(errno));
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
