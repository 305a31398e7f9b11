/* Progress and files on the local socket. Keeper only. What is sent lies on the disk like that: sealed. */
#include "stream.h"

#include "fault.h"
#include "frame.h"
#include "openssl_ptr.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>

enum {
	TELL_EVERY_MS = 200,
	SEND_MS = 60 * 1000,    /* for one frame: whoever takes longer is not there */
	RECEIVE_MS = 60 * 1000,
	FRAME_ROOM = KIB,       /* beside the bytes of a part */
};

static int send_progress(struct progress *p, uint64_t done, uint64_t total)
{
	const struct msg_progress m = { (uint8_t)p->stage, done, total };
	BUF frame = buf_new(KIB);
	if (!frame)
		return fail(FAULT_UNAVAILABLE, "no memory to tell how far it is");
	frame_begin(frame, VERB_PROGRESS);
	int rc = put_progress(frame, &m);
	return rc < 0 ? rc : frame_send(p->fd, frame, clock_ms() + SEND_MS);
}

void progress_begin(struct progress *p, enum stage stage)
{
	p->stage = stage;
	p->told_ms = 0;
}

/* Whoever hangs up, or says anything, waits no longer; and at its end the keeper shuts all connections for reading. */
int progress_tell(void *arg, uint64_t done, uint64_t total)
{
	struct progress *p = arg;
	int64_t now_ms = clock_ms();
	if (connection_is_stale(p->fd))
		return fail(FAULT_UNAVAILABLE, "it was given up: nobody waits for it any more, or the keeper ends");
	if (p->told_ms && now_ms - p->told_ms < TELL_EVERY_MS && (done < total || total == 0))
		return 0;
	p->told_ms = now_ms;
	return send_progress(p, done, total);
}

/* ---- a file ---- */

static int digest_begin(EVP_MD_CTX *context)
{
	bool begun = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	return begun ? 0 : fail(FAULT_INTERNAL, "OpenSSL could not begin a digest");
}

static int digest_end(EVP_MD_CTX *context, uint8_t ret[static 32])
{
	return EVP_DigestFinal_ex(context, ret, NULL) == 1 ? 0 : fail(FAULT_INTERNAL, "OpenSSL could not end a digest");
}

static int send_part(struct progress *p, struct buf *frame, struct view bytes)
{
	const struct msg_part m = { bytes };
	frame_begin(frame, VERB_PART);
	int rc = put_part(frame, &m);
	return rc < 0 ? rc : frame_send(p->fd, frame, clock_ms() + SEND_MS);
}

/* Reads and sends one part; *ret_bytes is 0 at the end of the file. */
static int send_next(struct progress *p, int file, struct buf *bytes, struct buf *frame, EVP_MD_CTX *context,
		     size_t *ret_bytes)
{
	buf_reset(bytes);
	uint8_t *at = buf_reserve(bytes, PART_MAX_BYTES);
	ssize_t n = at ? read(file, at, PART_MAX_BYTES) : -1;
	if (n < 0)
		return fail(FAULT_UNAVAILABLE, "the copy can not be read: %s", at ? strerror(errno) : "no memory");
	*ret_bytes = (size_t)n;
	if (n == 0)
		return 0;
	EVP_DigestUpdate(context, at, (size_t)n);
	return send_part(p, frame, view_of(at, (size_t)n));
}

int stream_send(struct progress *p, const char *path, uint64_t *ret_bytes, uint8_t ret_sha256[static 32])
{
	size_t n = 1;
	struct stat st;
	MD_CTX context = EVP_MD_CTX_new();
	BUF bytes = buf_new(PART_MAX_BYTES);
	BUF frame = buf_new(PART_MAX_BYTES + FRAME_ROOM);
	FD file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0 || fstat(file, &st) < 0 || !bytes || !frame)
		return fail(FAULT_UNAVAILABLE, "the copy can not be read: %s", strerror(errno));
	int rc = digest_begin(context);
	progress_begin(p, STAGE_SENDING);
	for (*ret_bytes = 0; rc == 0 && n > 0; *ret_bytes += n) {
		rc = progress_tell(p, *ret_bytes, (uint64_t)st.st_size);
		if (rc == 0)
			rc = send_next(p, file, bytes, frame, context, &n);
	}
	return rc < 0 ? rc : digest_end(context, ret_sha256);
}

static int write_all(int file, struct view bytes)
{
	while (bytes.len > 0) {
		ssize_t n = write(file, bytes.p, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(FAULT_UNAVAILABLE, "the copy can not be written: %s", strerror(errno));
		bytes = view_of(bytes.p + n, bytes.len - (size_t)n);
	}
	return 0;
}

static int receive_next(struct progress *p, int file, struct buf *frame, EVP_MD_CTX *context, uint64_t *left)
{
	uint8_t verb;
	struct view fields;
	struct msg_part m = { { NULL, 0 } };
	int rc = frame_receive(p->fd, frame, PART_MAX_BYTES + FRAME_ROOM, clock_ms() + RECEIVE_MS, &verb, &fields);
	if (rc == 0)
		rc = verb == VERB_PART ? read_part(fields, &m) : fail(FAULT_BAD_FRAME, "a part of a file was due");
	if (rc == 0 && (m.bytes.len == 0 || m.bytes.len > *left))
		rc = fail(FAULT_BAD_FRAME, "a part of %zu bytes of a file with %llu more", m.bytes.len,
			  (unsigned long long)*left);
	if (rc < 0)
		return rc;
	*left -= m.bytes.len;
	EVP_DigestUpdate(context, m.bytes.p, m.bytes.len);
	return write_all(file, m.bytes);
}

int stream_receive(struct progress *p, uint64_t bytes, const char *path, uint8_t ret_sha256[static 32])
{
	MD_CTX context = EVP_MD_CTX_new();
	BUF frame = buf_new(PART_MAX_BYTES + FRAME_ROOM);
	FD file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (file < 0 || !frame)
		return fail(FAULT_UNAVAILABLE, "the copy can not be written: %s", strerror(errno));
	int rc = digest_begin(context);
	progress_begin(p, STAGE_RECEIVING);
	if (rc == 0)
		rc = send_progress(p, 0, bytes);
	for (uint64_t left = bytes; rc == 0 && left > 0;)
		rc = receive_next(p, file, frame, context, &left);
	if (rc == 0 && fsync(file) < 0)
		rc = fail(FAULT_UNAVAILABLE, "the copy can not be synced: %s", strerror(errno));
	return rc < 0 ? rc : digest_end(context, ret_sha256);
}
