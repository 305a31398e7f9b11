/* What a room tells systemd about itself, sd_notify(3), and when its watchdog wants to hear of it. Where nobody listens
 * (NOTIFY_SOCKET, WATCHDOG_USEC) none of it does anything. For one thread. */
#ifndef PFXD_NOTIFY_H
#define PFXD_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

enum { NOTIFY_STATUS_MAX = 256 };

struct notify {
	char status[NOTIFY_STATUS_MAX]; /* that was told last */
	int64_t status_at_ms;           /* before this moment no other is told */
	int64_t beat_every_ms;          /* a third of the watchdog's time; 0: there is no watchdog */
	int64_t beat_at_ms;             /* the next beat */
	bool missed;                    /* the last beat was left out */
};

/* Reads what the environment wants. The first beat is due a third of the watchdog's time from now. */
void notify_start(struct notify *n);

/* READY=1, at the start and after a reload. */
void notify_ready(struct notify *n);
/* STATUS=, if it is another than was told last; at most one every few seconds. */
void notify_status(struct notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* RELOADING=1 with the moment, until notify_ready(). */
void notify_reloading(void);
/* STOPPING=1. */
void notify_stopping(const char *status);

/* Whether the watchdog is to be fed now. */
bool notify_beat_is_due(const struct notify *n);
/* WATCHDOG=1 if the room is alive; else nothing, and a line in the log the first time: who is what stands still. */
void notify_beat(struct notify *n, bool alive, const char *who);
/* How long one may wait, ms at the most, before the next beat is due. */
int notify_wait_ms(const struct notify *n, int ms);

/* A number of things as the status shows it: "1,204 identities", "1 identity". one and many are short words. */
enum { NOTIFY_COUNT_MAX = 64 };
const char *notify_count(uint64_t number, const char *one, const char *many, char ret[static NOTIFY_COUNT_MAX]);

#endif
