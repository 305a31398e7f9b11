/* Whether the threads of a listener turn: each is given a connection that is at its end already, and one that turns
 * takes it, sees its end, and closes it. A thread that stands still does not, whatever it stands at. */
#ifndef PFXD_PULSE_H
#define PFXD_PULSE_H

#include <stdbool.h>

struct MHD_Daemon;
struct pulse;

/* For a listener with so many threads. NULL without memory. */
struct pulse *pulse_new(unsigned threads);
void pulse_free(struct pulse *p);

/* Begins a round. anew: what is still out from the last one proves nothing any more, and is left behind; else a thread
 * that has not answered yet is not asked again. */
void pulse_begin(struct pulse *p, struct MHD_Daemon *daemon, bool anew);
/* Whether every thread has turned since the round began. */
bool pulse_has_turned(struct pulse *p);

#endif
