/* Leaving nothing behind. A secret lives in a struct buf or in a variable declared with KEY256, and its name ends in
 * _secret. Every program also links wipe_free.c, because libraries free what they read without wiping it. */
#ifndef PFXD_WIPE_H
#define PFXD_WIPE_H

#include <stdint.h>
#include <string.h>

enum { KEY256_BYTES = 32 };

struct key256 {
	uint8_t at[KEY256_BYTES];
};

static inline void key256_wipe(struct key256 *key) { explicit_bzero(key, sizeof *key); }

/* A local 256-bit secret, wiped on every way out of its block: KEY256 data_key_secret; */
#define KEY256 __attribute__((cleanup(key256_wipe))) struct key256

/* Overwrites what the calls just made have left in this thread: WIPE_STACK_BYTES of stack below the caller, and the
 * vector registers. For a thread that is done with a request, before it waits for the next. */
enum { WIPE_STACK_BYTES = 32768 };
void wipe_traces(void);

#endif
