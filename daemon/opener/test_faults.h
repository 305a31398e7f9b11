/* Dying on request, for tests of what stands around an opener. Only in a build with -DPFXD_OPENER_FAULTS; no other
 * holds this code. */
#ifndef PFXD_OPENER_TEST_FAULTS_H
#define PFXD_OPENER_TEST_FAULTS_H

#include "buf.h"

#ifdef PFXD_OPENER_FAULTS
#include <stdlib.h>
#include <string.h>

/* Input that begins with PFXD-TEST-ABORT, PFXD-TEST-SPIN or PFXD-TEST-MEMORY does that. */
static inline void test_fault(struct view input)
{
	static const char *const marks[] = { "PFXD-TEST-ABORT", "PFXD-TEST-SPIN", "PFXD-TEST-MEMORY" };
	size_t which = 0;
	for (; which < 3; which++) {
		size_t len = strlen(marks[which]);
		if (input.len >= len && memcmp(input.p, marks[which], len) == 0)
			break;
	}
	if (which == 0)
		abort();
	for (volatile unsigned turns = 0; which == 1; turns++)
		continue;
	void **chain = NULL; /* so that the compiler can not leave the loop out */
	for (size_t size = (size_t)1 << 20; which == 2 && size > 16;) {
		void **more = malloc(size);
		if (!more) {
			size /= 2;
			continue;
		}
		memset(more, 1, size);
		*more = chain;
		chain = more;
	}
	*(void **volatile *)&chain = chain;
}
#else
static inline void test_fault(struct view input) { (void)input; }
#endif

#endif
