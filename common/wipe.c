/* Scrubs what calls that handled secrets have left in their thread. Every program that handles them. */
#include "wipe.h"

/* Vector registers carry what was last copied or ciphered, and keep it while the thread sleeps: those above the
 * sixteenth for ever, because only memcpy() and ciphers use them. A signal, or the first call of a function that is
 * bound lazily, stores all of them on the stack. */
#if defined(__x86_64__)

#define XMM_0_TO_15 "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
		    "xmm12", "xmm13", "xmm14", "xmm15"

static void wipe_vectors(void)
{
	if (__builtin_cpu_supports("avx512f")) /* the compiler, which is not told to use it, holds nothing in these */
		__asm__ volatile(".irp i, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n"
				 "vpxord %%zmm\\i, %%zmm\\i, %%zmm\\i\n"
				 ".endr" ::: "memory");
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vzeroall" ::: "memory", XMM_0_TO_15);
	else
		__asm__ volatile(".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15\n"
				 "pxor %%xmm\\i, %%xmm\\i\n"
				 ".endr" ::: "memory", XMM_0_TO_15);
}

#elif defined(__aarch64__)

static void wipe_vectors(void)
{
	/* Of 8 to 15 the lower halves are the caller's; the compiler saves and restores what is named here. */
	__asm__ volatile(".irp i, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, "
			 "16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n"
			 "movi v\\i\\().2d, #0\n"
			 ".endr" ::: "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10",
			 "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",
			 "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

#else

static void wipe_vectors(void) {}

#endif

/* Not inlined, so that its frame lies where the frames of the calls before it lay. */
__attribute__((noinline)) void wipe_traces(void)
{
	unsigned char frame[WIPE_STACK_BYTES];
	explicit_bzero(frame, sizeof frame);
	wipe_vectors();
}
