/* The signals that a process takes one after the other, from a descriptor: none interrupts what it does. */
#ifndef PFXD_SIGNALS_H
#define PFXD_SIGNALS_H

/* Blocks SIGTERM, SIGINT, SIGHUP and one more (0: none), and returns the descriptor that they are taken from,
 * close-on-exec, or UNAVAILABLE. Before any thread is started: threads inherit what is blocked. */
int signals_take(int more);

/* Waits up to ms for a signal, -1 for ever. Returns its number, or 0. */
int signals_wait(int signals, int ms);

#endif
