/* free() and realloc() that wipe. Linked into every program, and so used by every library in it: libmicrohttpd,
 * GnuTLS, jansson, libcurl and OpenSSL hand back memory that held passwords and keys without a second look.
 *
 * The blocks are glibc's; only the way out is ours. Sanitizers bring an allocator of their own: not built there. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(PFXD_NO_WIPE_FREE)

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern void __libc_free(void *p);
extern void *__libc_malloc(size_t size);

void free(void *p)
{
	if (!p)
		return;
	explicit_bzero(p, malloc_usable_size(p));
	__libc_free(p);
}

/* Stays in place while the block fits and at least half of it is used; otherwise moves, and wipes what it left. */
void *realloc(void *p, size_t size)
{
	if (!p)
		return __libc_malloc(size);
	if (size == 0) {
		free(p);
		return NULL;
	}
	size_t have = malloc_usable_size(p);
	if (size <= have && size >= have / 2)
		return p;
	void *moved = __libc_malloc(size);
	if (!moved)
		return NULL;
	memcpy(moved, p, size < have ? size : have);
	free(p);
	return moved;
}

#endif
