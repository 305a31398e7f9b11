/* What bounds an opener from outside of its own reason: memory, files, processes, CPU and time. */
#ifndef PFXD_OPENER_BOUNDS_H
#define PFXD_OPENER_BOUNDS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MEMORY_MAX_BYTES = 512 << 20, /* of address space */
	REQUEST_CPU_SECONDS = 5,      /* unless --cpu-seconds says otherwise */
	REQUEST_CPU_SECONDS_MAX = 60,
	REQUEST_WALL_SECONDS = 15,    /* more where --cpu-seconds is larger */
	LIFE_CPU_SECONDS = 600,       /* hard: for one that was taken over */
	PFX_LIFE_CPU_SECONDS = 120,
};

/* Gives up children, files that could grow, more descriptors than there are, memory and priority. What may be opened at
 * all is for the sandbox of the unit to say. fd stays usable: it is the connection on which an answer
 * is written when a request runs over. Call after everything is loaded; ends the process if the kernel refuses. */
void bounds_lock_in(int fd, unsigned life_cpu_seconds);

/* Moves the soft limit on CPU forward to cpu_seconds from now, and sets the clock on the wall. Until bounds_end()
 * a request that runs over is answered, with TOO_EXPENSIVE for CPU and UNAVAILABLE for time, and the process ends. */
void bounds_begin(unsigned cpu_seconds);
/* From here on an answer is being written: running over just ends the process. */
void bounds_answering(void);
void bounds_end(void);

/* False when the rest of the process's life has no room for a whole request. */
bool bounds_allow(unsigned cpu_seconds);

/* Makes OpenSSL's allocations ours to watch; call before anything of OpenSSL. */
void memory_watch(void);
/* True once an allocation of OpenSSL was refused: its errors say then nothing about the input. */
bool memory_was_short(void);

#endif
