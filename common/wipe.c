/* Scrubs the stack below a call that handled secrets. Every program that handles them. */
#include "wipe.h"

/* Not inlined, so that its frame lies where the frames of the calls before it lay. */
__attribute__((noinline)) void wipe_stack(void)
{
	unsigned char frame[WIPE_STACK_BYTES];
	explicit_bzero(frame, sizeof frame);
}
