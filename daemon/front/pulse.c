/* Asks a listener's threads whether they turn. Front. Nothing that it does is seen outside of the process, or counted. */
#include "pulse.h"

#include "frame.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

struct probe {
	int fd; /* our end; -1: the thread has closed its own, or never got it */
	bool turned;
};

struct pulse {
	unsigned count;
	struct probe probes[];
};

struct pulse *pulse_new(unsigned threads)
{
	struct pulse *p = calloc(1, sizeof *p + threads * sizeof p->probes[0]);
	if (!p)
		return NULL;
	p->count = threads;
	for (unsigned i = 0; i < threads; i++)
		p->probes[i].fd = -1;
	return p;
}

static void end(struct probe *probe)
{
	closep(&probe->fd);
	probe->fd = -1;
}

void pulse_free(struct pulse *p)
{
	for (unsigned i = 0; p && i < p->count; i++)
		end(&p->probes[i]);
	free(p);
}

/* The library gives a connection to the thread whose index is its descriptor's remainder (MHD_add_connection()), so it
 * gets another number. Takes fd over; -1 when there is no number left. */
static int renumber(int fd, unsigned index, unsigned count)
{
	int modulus = (int)count, want = (int)index;
	for (int least = 0; fd >= 0 && fd % modulus != want;) {
		int other = fcntl(fd, F_DUPFD_CLOEXEC, least);
		close(fd);
		fd = other;
		least = fd + (want - fd % modulus + modulus) % modulus;
	}
	return fd;
}

static void begin(struct probe *probe, struct MHD_Daemon *daemon, unsigned index, unsigned count)
{
	const struct sockaddr_un nobody = { .sun_family = AF_UNIX };
	int pair[2];
	probe->turned = false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return;
	shutdown(pair[0], SHUT_WR); /* this is the end that the thread sees */
	int fd = renumber(pair[1], index, count);
	/* Takes fd over, also when it fails. */
	if (fd >= 0 && MHD_add_connection(daemon, fd, (const struct sockaddr *)&nobody, sizeof nobody) == MHD_YES)
		probe->fd = pair[0];
	else
		close(pair[0]);
}

void pulse_begin(struct pulse *p, struct MHD_Daemon *daemon, bool anew)
{
	for (unsigned i = 0; i < p->count; i++) {
		if (anew)
			end(&p->probes[i]);
		if (p->probes[i].fd < 0)
			begin(&p->probes[i], daemon, i, p->count);
	}
}

/* Reads to the end; TLS may have an alert to say first. */
static bool is_closed(int fd)
{
	char text[64];
	ssize_t n;
	do {
		n = recv(fd, text, sizeof text, MSG_DONTWAIT);
	} while (n > 0);
	return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool pulse_has_turned(struct pulse *p)
{
	bool all = true;
	for (unsigned i = 0; i < p->count; i++) {
		struct probe *probe = &p->probes[i];
		if (probe->fd >= 0 && is_closed(probe->fd)) {
			probe->turned = true;
			end(probe);
		}
		all &= probe->turned;
	}
	return all;
}
