/* The rooms: started, watched, started again when they die, and ended in their order. */
#ifndef PFXD_ROOMS_H
#define PFXD_ROOMS_H

#include "spawn.h"

#include <limits.h>
#include <stdint.h>

enum room_id { ROOM_KEEPER, ROOM_DEVICE_FRONT, ROOM_ADMIN_FRONT, ROOM_COUNT };
enum opener_kind { OPENER_PFX, OPENER_CSR, OPENER_KINDS };

enum {
	OPENERS_MAX = 16, /* of one kind, at a time */
	RESTART_FIRST_MS = 100,
	RESTART_LAST_MS = 5000,
	LIVED_LONG_MS = 10000, /* after so long a life the next restart is quick again */
};

/* One that is there all the time. */
struct room {
	const char *title;
	pid_t pid; /* 0: not running */
	bool ready;
	int64_t started_ms, restart_at_ms, pause_ms;
};

/* The socket at which the keeper asks for openers of one kind: one process for each connection. */
struct opener_gate {
	int socket;
	pid_t pids[OPENERS_MAX]; /* 0: free */
};

struct rooms {
	char programs[PATH_MAX + 16]; /* the folder of the rooms' programs */
	char notify_name[64];
	int notify;
	int device, admin, health, keeper_device, keeper_admin, keeper_local; /* listening sockets */
	struct room room[ROOM_COUNT];
	struct opener_gate gate[OPENER_KINDS];
	bool openers_end; /* they were told to: that one dies of a signal is no news any more */
};

/* Starts one. UNAVAILABLE. */
int room_start(struct rooms *r, enum room_id id);

/* Accepts one connection at a gate and starts an opener on it. */
void opener_start(struct rooms *r, enum opener_kind kind);
bool opener_has_place(const struct opener_gate *gate);

/* Collects every child that has ended. Returns true when a room was among them; *ret_id and *ret_status are the
 * last such. Rooms that ended are due again at their restart_at_ms. */
bool rooms_reap(struct rooms *r, enum room_id *ret_id, int *ret_status);

/* Starts those that are due. Returns the milliseconds until the next is, or -1. */
int rooms_restart_due(struct rooms *r);

/* Sends signal to one room if it runs, or to all openers, whose end it is then. */
void room_signal(const struct rooms *r, enum room_id id, int signal);
void openers_signal(struct rooms *r, int signal);
bool openers_are_gone(const struct rooms *r);

/* A sentence on how a process ended. The text is static. */
const char *how_it_ended(int status);

#endif
