/* See memory.h. Takes the place of libc's functions for all libraries of this process. */
#include "memory.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

void memory_break(__attribute__((unused)) size_t n) {}
bool memory_mend(void) { return false; }
bool memory_is_ours(void) { return false; }

#else

#include <errno.h>
#include <stdlib.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);

static _Thread_local bool armed, failed;
static _Thread_local size_t left;

static bool fails(void)
{
	if (!armed || left-- > 0)
		return false;
	armed = false;
	failed = true;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}

void memory_break(size_t n)
{
	left = n;
	failed = false;
	armed = true;
}

bool memory_mend(void)
{
	armed = false;
	return failed;
}

bool memory_is_ours(void)
{
	return true;
}

#endif
