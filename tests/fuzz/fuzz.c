/* What the fuzz targets share: a fixed clock, and small helps. Fuzz targets only. */
#include "fuzz.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The linker puts this in the place of now_seconds() (--wrap in the Makefile). */
int64_t __wrap_now_seconds(void);
int64_t __wrap_now_seconds(void)
{
	return FUZZ_NOW;
}

struct view fuzz_take_until(struct view *v, const char *mark)
{
	size_t len = strlen(mark);
	const uint8_t *at = v->len ? memmem(v->p, v->len, mark, len) : NULL;
	struct view taken = view_of(v->p, at ? (size_t)(at - v->p) : v->len);
	size_t past = at ? taken.len + len : v->len;
	*v = view_of(v->p + past, v->len - past);
	return taken;
}

struct buf *fuzz_buf(size_t max)
{
	struct buf *b = buf_new(max);
	MUST(b);
	return b;
}

void fuzz_read_file(const char *path, struct buf *ret)
{
	uint8_t block[4096];
	FILE *f = fopen(path, "rb");
	MUST(f);
	for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
		buf_put(ret, block, n);
	fclose(f);
	MUST(buf_ok(ret));
}

const char *fuzz_file(struct view bytes)
{
	static int fd = -1;
	static char path[32];
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, 0) == 0);
	MUST(pwrite(fd, bytes.p, bytes.len, 0) == (ssize_t)bytes.len);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return path;
}
