/* Starts and watches the rooms. Launcher. It does for them what systemd does elsewhere, so they hold no code for it. */
#include "rooms.h"

#include "fault.h"
#include "frame.h"
#include "log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const struct {
	const char *program;
	const char *arguments[6];
} commands[ROOM_COUNT] = {
	[ROOM_KEEPER] = { "pfxd-keeper", { "pfxd-keeper", "--config", "pfxd.conf" } },
	[ROOM_DEVICE_FRONT] = { "pfxd-front", { "pfxd-front", "--role", "device", "--config", "pfxd.conf" } },
	[ROOM_ADMIN_FRONT] = { "pfxd-front", { "pfxd-front", "--role", "admin", "--config", "pfxd.conf" } },
};

static const char *const opener_arguments[OPENER_KINDS][4] = {
	[OPENER_PFX] = { "pfxd-opener", "--kind", "pfx" },
	[OPENER_CSR] = { "pfxd-opener", "--kind", "csr" },
};

static size_t sockets_of(const struct rooms *r, enum room_id id, struct passed ret[PASSED_MAX])
{
	switch (id) {
	case ROOM_KEEPER:
		ret[0] = (struct passed){ "device", r->keeper_device };
		ret[1] = (struct passed){ "admin", r->keeper_admin };
		ret[2] = (struct passed){ "local", r->keeper_local };
		return 3;
	case ROOM_DEVICE_FRONT:
		ret[0] = (struct passed){ "device", r->device };
		return 1;
	default:
		ret[0] = (struct passed){ "admin", r->admin };
		ret[1] = (struct passed){ "health", r->health };
		return 2;
	}
}

static pid_t start_program(const struct rooms *r, const char *name, struct spawn s)
{
	char path[PATH_MAX + 64];
	snprintf(path, sizeof path, "%s/%s", r->programs, name);
	s.program = path;
	return spawn(&s);
}

int room_start(struct rooms *r, enum room_id id)
{
	struct passed passed[PASSED_MAX];
	struct room *room = &r->room[id];
	struct spawn s = {
		.arguments = commands[id].arguments, .notify = r->notify_name, .passed = passed,
		.passed_count = sockets_of(r, id, passed),
	};
	pid_t pid = start_program(r, commands[id].program, s);
	if (pid < 0)
		return (int)pid;
	room->title = commands[id].arguments[0];
	if (id != ROOM_KEEPER)
		room->title = id == ROOM_ADMIN_FRONT ? "pfxd-front for administrators" : "pfxd-front for devices";
	room->pid = pid;
	room->ready = false;
	room->started_ms = clock_ms();
	return 0;
}

/* ---- openers ---- */

bool opener_has_place(const struct opener_gate *gate)
{
	for (size_t i = 0; i < OPENERS_MAX; i++)
		if (gate->pids[i] == 0)
			return true;
	return false;
}

void opener_start(struct rooms *r, enum opener_kind kind)
{
	struct opener_gate *gate = &r->gate[kind];
	FD connection = accept4(gate->socket, NULL, NULL, SOCK_CLOEXEC);
	if (connection < 0)
		return;
	const struct passed passed = { "connection", connection };
	struct spawn s = {
		.arguments = opener_arguments[kind], .passed = &passed, .passed_count = 1, .confined = true,
	};
	pid_t pid = start_program(r, "pfxd-opener", s);
	if (pid < 0) {
		log_detail(EVENT_ROOM_NOT_STARTED, "no opener: %s", fault_detail());
		return;
	}
	for (size_t i = 0; i < OPENERS_MAX; i++) {
		if (gate->pids[i] == 0) {
			gate->pids[i] = pid;
			return;
		}
	}
}

void openers_signal(struct rooms *r, int signal)
{
	r->openers_end = true;
	for (enum opener_kind kind = 0; kind < OPENER_KINDS; kind++)
		for (size_t i = 0; i < OPENERS_MAX; i++)
			if (r->gate[kind].pids[i] > 0)
				kill(r->gate[kind].pids[i], signal);
}

bool openers_are_gone(const struct rooms *r)
{
	for (enum opener_kind kind = 0; kind < OPENER_KINDS; kind++)
		for (size_t i = 0; i < OPENERS_MAX; i++)
			if (r->gate[kind].pids[i] > 0)
				return false;
	return true;
}

/* ---- ends and new beginnings ---- */

const char *how_it_ended(int status)
{
	static char text[64];
	if (WIFSIGNALED(status))
		snprintf(text, sizeof text, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(text, sizeof text, "ended with status %d", WEXITSTATUS(status));
	return text;
}

/* An opener may die of what it reads: that is what it is for. */
static void forget_opener(struct rooms *r, pid_t pid, int status)
{
	for (enum opener_kind kind = 0; kind < OPENER_KINDS; kind++) {
		for (size_t i = 0; i < OPENERS_MAX; i++) {
			if (r->gate[kind].pids[i] != pid)
				continue;
			r->gate[kind].pids[i] = 0;
			if (WIFSIGNALED(status) && !r->openers_end)
				log_detail(EVENT_OPENER_KILLED, "for %s, %s", opener_arguments[kind][2],
					   how_it_ended(status));
		}
	}
}

static void schedule_restart(struct room *room)
{
	int64_t now = clock_ms();
	bool lived_long = now - room->started_ms >= LIVED_LONG_MS;
	room->pause_ms = lived_long || room->pause_ms == 0 ? RESTART_FIRST_MS : room->pause_ms * 2;
	if (room->pause_ms > RESTART_LAST_MS)
		room->pause_ms = RESTART_LAST_MS;
	room->restart_at_ms = now + room->pause_ms;
	room->pid = 0;
}

bool rooms_reap(struct rooms *r, enum room_id *ret_id, int *ret_status)
{
	bool found = false;
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		enum room_id id = 0;
		while (id < ROOM_COUNT && r->room[id].pid != pid)
			id++;
		if (id == ROOM_COUNT) {
			forget_opener(r, pid, status);
			continue;
		}
		schedule_restart(&r->room[id]);
		*ret_id = id;
		*ret_status = status;
		found = true;
	}
	return found;
}

int rooms_restart_due(struct rooms *r)
{
	int64_t now = clock_ms(), next = -1;
	for (enum room_id id = 0; id < ROOM_COUNT; id++) {
		struct room *room = &r->room[id];
		if (room->pid > 0)
			continue;
		if (room->restart_at_ms <= now && room_start(r, id) < 0) {
			log_detail(EVENT_ROOM_NOT_STARTED, "%s: %s", room->title, fault_detail());
			room->restart_at_ms = now + RESTART_LAST_MS;
		}
		if (room->pid <= 0 && (next < 0 || room->restart_at_ms - now < next))
			next = room->restart_at_ms - now;
	}
	return (int)next;
}

void room_signal(const struct rooms *r, enum room_id id, int signal)
{
	if (r->room[id].pid > 0)
		kill(r->room[id].pid, signal);
}
