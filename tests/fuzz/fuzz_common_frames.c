/* Every message of the protocol, in both directions: what front, keeper and opener read of each other. The input is the
 * name of the message, a line break, and its fields; or "stream" and frames as they may come on a socket.
 *
 * What a reader takes, its writer writes again, byte for byte: nothing is lost, nothing is read that was not there.
 * PFXD_FUZZ_SEEDS=folder has the target write seeds into the folder. */
#include "fuzz.h"

#include "frame.h"
#include "protocol.h"
#include "text.h"

#include <fcntl.h>
#include <sys/socket.h>

/* One for each type of field: a view must lie within the frame, and what the limit says must hold. */
static struct view frame;

static void check_u8(uint8_t v, uint64_t limit) { MUST(v <= limit); }
static void check_u32(uint32_t v, uint64_t limit) { MUST(v <= limit); }
static void check_u64(uint64_t v, uint64_t limit) { MUST(v <= limit); }
static void check_time(int64_t v, uint64_t limit) { (void)v; (void)limit; }

static void check_bytes(struct view v, uint64_t limit)
{
	MUST(v.len <= limit && v.p >= frame.p && v.p + v.len <= frame.p + frame.len);
}

static void check_secret(struct view v, uint64_t limit) { check_bytes(v, limit); }
static void check_list(struct view v, uint64_t limit) { check_bytes(v, limit); }

static void check_text(struct view v, uint64_t limit)
{
	check_bytes(v, limit);
	MUST(text_is_clean(v));
}

#define CHECK_FIELD(type, name, limit) check_##type(m->name, limit);

/* Reads the message off the front and as a whole; the two must agree, and both with the writer. */
#define M(name) \
	static void check_msg_##name(const struct msg_##name *m) \
	{ \
		(void)m; \
		FIELDS_##name(CHECK_FIELD) \
	} \
	static void try_##name(void) \
	{ \
		struct msg_##name m, whole; \
		struct view rest = frame; \
		BUF again = fuzz_buf(FRAME_MAX_BYTES); \
		int rc = get_##name(&rest, &m); \
		MUST(rc == 0 || (rc == -FAULT_BAD_FRAME && fault_detail()[0])); \
		if (rc == 0) { \
			check_msg_##name(&m); \
			MUST(put_##name(again, &m) == 0); \
			MUST(view_equal(buf_view(again), view_of(frame.p, frame.len - rest.len))); \
		} \
		int all = read_##name(frame, &whole); \
		MUST((all == 0) == (rc == 0 && rest.len == 0) && (all == 0 || all == -FAULT_BAD_FRAME)); \
	}
MESSAGES(M)
#undef M

static const struct {
	const char *name;
	void (*try)(void);
} messages[] = {
#define M(name) { #name, try_##name },
	MESSAGES(M)
#undef M
};
enum { MESSAGE_COUNT = sizeof messages / sizeof *messages };

/* Frames one after the other, of which the last may be cut off. */
static void try_stream(struct view bytes)
{
	enum { SOCKET_MAX_BYTES = 64 * KIB, FIELDS_MAX_BYTES = 4 * KIB };
	int fds[2];
	size_t used = 0;
	BUF b = fuzz_buf(FIELDS_MAX_BYTES);
	if (bytes.len > SOCKET_MAX_BYTES)
		return;
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	MUST(send(fds[0], bytes.p, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes.len);
	close(fds[0]);
	for (;;) {
		uint8_t verb = 0;
		struct view fields = view_of("", 0);
		int rc = frame_receive(fds[1], b, FIELDS_MAX_BYTES, clock_ms() + 1000, &verb, &fields);
		MUST(rc == 0 || rc == -FAULT_CLOSED || rc == -FAULT_BAD_FRAME);
		if (rc < 0)
			break;
		/* A frame stands in the stream as the writer would have put it. */
		BUF again = fuzz_buf(FRAME_HEADER_BYTES + FIELDS_MAX_BYTES);
		frame_begin(again, verb);
		buf_put(again, fields.p, fields.len);
		buf_poke_u32(again, 0, (uint32_t)(buf_len(again) - 4));
		MUST(used + buf_len(again) <= bytes.len);
		MUST(view_equal(buf_view(again), view_of(bytes.p + used, buf_len(again))));
		used += buf_len(again);
	}
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	frame = view_of(data, size);
	struct view name = fuzz_take_until(&frame, "\n");
	for (size_t i = 0; i < MESSAGE_COUNT; i++)
		if (view_is(name, messages[i].name))
			messages[i].try();
	if (view_is(name, "stream"))
		try_stream(frame);
	for (size_t i = 0; i < frame.len; i++)
		MUST(verb_sockets(frame.p[i]) == 0 || strcmp(verb_name(frame.p[i]), "?") != 0);
	return 0;
}

/* ---- seeds ---- */

static void seed(const char *folder, const char *name, struct view fields)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "wb");
	MUST(f && fprintf(f, "%s\n", name) > 0 && fwrite(fields.p, 1, fields.len, f) == fields.len && fclose(f) == 0);
}

/* One of each message, with nothing in its fields. */
#define M(name) \
	static void seed_##name(const char *folder) \
	{ \
		struct msg_##name m; \
		BUF b = fuzz_buf(KIB); \
		memset(&m, 0, sizeof m); \
		MUST(put_##name(b, &m) == 0); \
		seed(folder, #name, buf_view(b)); \
	}
MESSAGES(M)
#undef M

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t stream[] = { 0, 0, 0, 3, VERB_PING, 1, 2, 0, 0, 0, 1, VERB_STARTED, 0, 0 };
	const char *folder = getenv("PFXD_FUZZ_SEEDS");
	(void)argc;
	(void)argv;
	if (!folder)
		return 0;
#define M(name) seed_##name(folder);
	MESSAGES(M)
#undef M
	seed(folder, "stream", view_of(stream, sizeof stream));
	return 0;
}
