/* A process that runs out of memory: one allocation of the calling thread fails. Not under a sanitizer, which has an
 * allocator of its own. */
#ifndef PFXD_TESTS_MEMORY_H
#define PFXD_TESTS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the n-th allocation fails (0: the next). */
void memory_break(size_t n);
/* Returns whether one has failed. */
bool memory_mend(void);
/* False: allocations are somebody else's here. */
bool memory_is_ours(void);

#endif
