/* Frames between rooms. Every room. Trusts neither the length nor the speed of the other side. */
#include "frame.h"

#include "fault.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

void frame_begin(struct buf *b, uint8_t verb)
{
	buf_reset(b);
	buf_put_u32(b, 0);
	buf_put_u8(b, verb);
}

/* Waits until fd is ready for events. */
static int await(int fd, short events, int64_t deadline_ms)
{
	for (;;) {
		int64_t left = -1;
		if (deadline_ms >= 0 && (left = deadline_ms - clock_ms()) <= 0)
			return fail(FAULT_TIMED_OUT, "the other side of a socket took too long");
		struct pollfd p = { .fd = fd, .events = events };
		int n = poll(&p, 1, left > 60000 ? 60000 : (int)left);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return fail(FAULT_CLOSED, "poll: %s", strerror(errno));
	}
}

static int lost(ssize_t n)
{
	if (n == 0)
		return fail(FAULT_CLOSED, "the other side closed the connection");
	return fail(FAULT_CLOSED, "the connection was lost: %s", strerror(errno));
}

static bool would_block(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

/* Tries first and waits only when it must: between rooms the bytes are mostly there already. */
static int send_all(int fd, const uint8_t *p, size_t len, int64_t deadline_ms)
{
	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (!would_block(n))
			return lost(n);
		int rc = await(fd, POLLOUT, deadline_ms);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int receive_all(int fd, uint8_t *p, size_t len, int64_t deadline_ms)
{
	while (len > 0) {
		ssize_t n = recv(fd, p, len, MSG_DONTWAIT);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (!would_block(n))
			return lost(n);
		int rc = await(fd, POLLIN, deadline_ms);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int frame_send(int fd, struct buf *b, int64_t deadline_ms)
{
	if (!buf_ok(b) || buf_len(b) < FRAME_HEADER_BYTES)
		return fail(FAULT_INTERNAL, "a frame did not fit its buffer");
	buf_poke_u32(b, 0, (uint32_t)(buf_len(b) - 4));
	return send_all(fd, buf_data(b), buf_len(b), deadline_ms);
}

int frame_receive(int fd, struct buf *b, size_t max, int64_t deadline_ms, uint8_t *ret_verb, struct view *ret_fields)
{
	uint8_t header[FRAME_HEADER_BYTES];
	int rc = await(fd, POLLIN, deadline_ms); /* a question or an answer is hardly ever there yet */
	if (rc < 0)
		return rc;
	rc = receive_all(fd, header, sizeof header, deadline_ms);
	if (rc < 0)
		return rc;
	struct view v = view_of(header, sizeof header);
	uint32_t len = 0;
	view_get_u32(&v, &len);
	if (len < 1 || len - 1 > max)
		return fail(FAULT_BAD_FRAME, "a frame of %u bytes where at most %zu are allowed", len, max + 1);
	buf_reset(b);
	uint8_t *at = buf_reserve(b, len - 1);
	if (!at)
		return fail(FAULT_UNAVAILABLE, "no memory for a frame of %u bytes", len);
	rc = receive_all(fd, at, len - 1, deadline_ms);
	if (rc < 0)
		return rc;
	*ret_verb = header[4];
	*ret_fields = view_of(at, len - 1);
	return 0;
}

int unix_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		return fail(FAULT_UNAVAILABLE, "the socket path %s is longer than %zu bytes", path,
			    sizeof address.sun_path - 1);
	strcpy(address.sun_path, path);
	/* Never waits: with a full queue on the other side a blocking connect() would, for ever. */
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(FAULT_UNAVAILABLE, "no socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
		int rc = fail(FAULT_UNAVAILABLE, "can not connect to %s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	return fd;
}

bool connection_is_stale(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };
	return poll(&p, 1, 0) != 0;
}
