/* pfxd: starts the rooms without systemd, to try the service out and for containers. It has no key, reads nothing from
 * outside, and is the parent of every room: when it dies they die. */
#include "dev.h"
#include "fault.h"
#include "frame.h"
#include "harden.h"
#include "log.h"
#include "ready.h"
#include "rooms.h"
#include "signals.h"
#include "sockets.h"
#include "text.h"
#include "version.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BASE_PORT_DEFAULT = 8443,
	START_MAX_MS = 60000,
	ASK_EVERY_MS = 100,
	WELL_MAX_MS = 10000,    /* from all rooms being ready to all checks being well */
	FRONTS_END_MS = 30000,  /* all three count from the signal */
	KEEPER_END_MS = 36000,
	ALL_END_MS = 40000,
};

enum stage { STAGE_STARTING, STAGE_SERVING, STAGE_END_FRONTS, STAGE_END_KEEPER, STAGE_END_OPENERS, STAGE_OVER };

struct launcher {
	struct rooms rooms;
	struct dev dev;
	char dir[PATH_MAX];    /* that it works in */
	char folder[PATH_MAX]; /* that this program is in */
	int lock, signals;
	enum stage stage;
	int64_t started_ms, ask_at_ms, give_up_ms, end_asked_ms;
	bool answers; /* all of it did, and the line was printed */
	int status; /* to end with */
};

/* ---- the command line ---- */

static const char loopback[] = "127.0.0.1";

static void usage(void)
{
	printf("pfxd: starts the service in one folder, without systemd\n\n"
	       "usage: pfxd --dev DIR [--base-port N] [--listen ADDRESS] [--empty]\n"
	       "  --dev DIR         work in DIR, which is made on first use\n"
	       "  --base-port N     devices at N, administrators at N+1, health at N+2 (default %d)\n"
	       "  --listen ADDRESS  for devices and administrators (default %s); health is asked\n"
	       "                    without TLS, and stays at %s\n"
	       "  --empty           where the database of DIR is gone, begin an empty one\n"
	       "  --version         print the version and end\n"
	       "  -h, --help        print this and end\n\n"
	       "It prints one line when all of it answers, and ends on SIGTERM or Ctrl-C.\n"
	       "DIR then holds ca.pem for --cacert, admin.token with the first token, and pfxctl.conf.\n\n"
	       "It ends with 0 when it was asked to end, with 1 when it can not start (it says why on standard\n"
	       "error), and with 2 for a command line that is wrong.\n",
	       BASE_PORT_DEFAULT, loopback, loopback);
}

static bool set_address(struct dev *dev, const char *text)
{
	uint8_t binary[sizeof(struct in6_addr)];
	dev->address = text;
	if (inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1)
		return true;
	fprintf(stderr, "pfxd: --listen must be an IPv4 or IPv6 address, as 0.0.0.0 or ::\n");
	return false;
}

static bool set_ports(struct ports *ports, const char *text)
{
	uint64_t base;
	if (!number_parse(view_text(text), 65533, &base) || base == 0) {
		fprintf(stderr, "pfxd: --base-port must be a number from 1 to 65533\n");
		return false;
	}
	*ports = (struct ports){ .device = (int)base, .admin = (int)base + 1, .health = (int)base + 2 };
	return true;
}

static int check_options(const struct dev *dev, bool all_read)
{
	if (dev->dir && *dev->dir && all_read)
		return 0;
	if (dev->dir && !*dev->dir)
		fprintf(stderr, "pfxd: --dev needs the name of a folder, and was given an empty one\n");
	else
		fprintf(stderr, "pfxd: usage: pfxd --dev DIR [--base-port N] [--listen ADDRESS] [--empty]; try --help\n");
	return 2 + 1;
}

/* Returns 0 to go on, or an exit status + 1 to end with. */
static int read_options(int argc, char **argv, struct dev *ret)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "base-port", required_argument, NULL, 'p' },
		{ "listen", required_argument, NULL, 'l' },
		{ "empty", no_argument, NULL, 'e' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	ret->address = loopback;
	ret->ports = (struct ports){ BASE_PORT_DEFAULT, BASE_PORT_DEFAULT + 1, BASE_PORT_DEFAULT + 2 };
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 'd': ret->dir = optarg; break;
		case 'p':
			if (!set_ports(&ret->ports, optarg))
				return 2 + 1;
			break;
		case 'l':
			if (!set_address(ret, optarg))
				return 2 + 1;
			break;
		case 'e': ret->empty = true; break;
		case 'v': printf("pfxd %s\n", PFXD_VERSION); return EXIT_SUCCESS + 1;
		case 'h': usage(); return EXIT_SUCCESS + 1;
		default: fprintf(stderr, "pfxd: try --help\n"); return 2 + 1;
		}
	}
	return check_options(ret, optind == argc);
}

/* ---- open what it needs ---- */

/* Beside this program, where `make` puts them all; or, once installed, the rooms in lib/pfxd next to bin. */
static int find_programs(struct launcher *l)
{
	char self[PATH_MAX], keeper[PATH_MAX + 16];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	if (len < 0)
		return fail(FAULT_INTERNAL, "can not find where this program is: %s", strerror(errno));
	self[len] = '\0';
	snprintf(l->folder, sizeof l->folder, "%s", dirname(self));
	snprintf(keeper, sizeof keeper, "%s/pfxd-keeper", l->folder);
	bool beside = access(keeper, X_OK) == 0;
	snprintf(l->rooms.programs, sizeof l->rooms.programs, "%s%s", l->folder, beside ? "" : "/../lib/pfxd");
	return 0;
}

static int open_sockets(struct launcher *l)
{
	struct rooms *r = &l->rooms;
	const struct ports *p = &l->dev.ports;
	const struct { int *fd; const char *address; int port; } ports[] = {
		{ &r->device, l->dev.address, p->device }, { &r->admin, l->dev.address, p->admin },
		{ &r->health, loopback, p->health },
	};
	const struct { int *fd; const char *path; } paths[] = {
		{ &r->keeper_device, "run/keeper-device.sock" }, { &r->keeper_admin, "run/keeper-admin.sock" },
		{ &r->keeper_local, "run/keeper-local.sock" },
		{ &r->gate[OPENER_PFX].socket, "run/opener-pfx.sock" },
		{ &r->gate[OPENER_CSR].socket, "run/opener-csr.sock" },
	};
	for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
		if ((*ports[i].fd = listen_on_port(ports[i].address, ports[i].port)) < 0)
			return *ports[i].fd;
	for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
		if ((*paths[i].fd = listen_on_path(paths[i].path)) < 0)
			return *paths[i].fd;
	r->notify = open_notify_socket(r->notify_name, sizeof r->notify_name);
	return r->notify < 0 ? r->notify : 0;
}

static int open_all(struct launcher *l)
{
	int rc = find_programs(l);
	l->dev.programs = l->folder;
	l->dev.rooms = l->rooms.programs;
	if (rc == 0)
		rc = l->lock = dev_open(&l->dev);
	if (rc < 0)
		return rc;
	if (!getcwd(l->dir, sizeof l->dir))
		return fail(FAULT_INTERNAL, "can not tell the path of %s: %s", l->dev.dir, strerror(errno));
	rc = l->signals = signals_take(SIGCHLD);
	return rc < 0 ? rc : open_sockets(l);
}

/* ---- stages ---- */

static void end_with(struct launcher *l, int status)
{
	int *const sockets[] = { &l->rooms.device, &l->rooms.admin, &l->rooms.health };
	/* Nobody serves these any more: who connects is refused at once, rather than left waiting. */
	for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++) {
		closep(sockets[i]);
		*sockets[i] = -1;
	}
	l->status = status;
	l->stage = STAGE_END_FRONTS;
	l->end_asked_ms = clock_ms();
	room_signal(&l->rooms, ROOM_DEVICE_FRONT, SIGTERM);
	room_signal(&l->rooms, ROOM_ADMIN_FRONT, SIGTERM);
}

static bool all_ready(const struct rooms *r)
{
	for (enum room_id id = 0; id < ROOM_COUNT; id++)
		if (!r->room[id].ready)
			return false;
	return true;
}

static void tell(const struct launcher *l, const char *how)
{
	const struct ports *p = &l->dev.ports;
	const char *host = l->dev.address;
	const char *open = strchr(host, ':') ? "[" : "", *close = *open ? "]" : "";
	if (strcmp(host, loopback) == 0)
		host = "localhost";
	printf("pfxd: %s: devices https://%s%s%s:%d, administrators https://%s%s%s:%d, health http://%s:%d (%s)\n", how,
	       open, host, close, p->device, open, host, close, p->admin, loopback, p->health, l->dir);
	fflush(stdout);
}

/* Once every room says that it is ready, a room that dies is started again. */
static void check_start(struct launcher *l)
{
	if (all_ready(&l->rooms)) {
		if (dev_begun() < 0)
			log_detail(EVENT_FOLDER_ODD, "%s", fault_detail());
		l->stage = STAGE_SERVING;
		l->give_up_ms = clock_ms() + WELL_MAX_MS;
	} else if (clock_ms() - l->started_ms > START_MAX_MS) {
		log_detail(EVENT_ROOM_NOT_STARTED, "after %d seconds a room does not say that it is ready",
			   START_MAX_MS / 1000);
		end_with(l, EXIT_FAILURE);
	}
}

/* Prints the line when all of it answers. A service that is up but not well gets it too, after a while and with what is
 * wrong in the log: it stays up to be looked at. */
static void check_answers(struct launcher *l)
{
	int64_t now = clock_ms();
	if (now < l->ask_at_ms)
		return;
	l->ask_at_ms = now + ASK_EVERY_MS;
	l->answers = ready_for_all(l->dev.ports.health);
	if (l->answers) {
		tell(l, "ready");
	} else if (now >= l->give_up_ms) {
		log_detail(EVENT_NOT_READY, "%s", fault_detail());
		tell(l, "up, but not ready (see /readyz)");
		l->answers = true;
	}
}

/* Goes from one stage of the end to the next, when what it waits for is gone or its time is over. */
static void check_end(struct launcher *l)
{
	struct rooms *r = &l->rooms;
	int64_t waited = clock_ms() - l->end_asked_ms;
	bool fronts_gone = r->room[ROOM_DEVICE_FRONT].pid <= 0 && r->room[ROOM_ADMIN_FRONT].pid <= 0;
	if (l->stage == STAGE_END_FRONTS && (fronts_gone || waited > FRONTS_END_MS)) {
		l->stage = STAGE_END_KEEPER;
		room_signal(r, ROOM_KEEPER, SIGTERM);
	}
	if (l->stage == STAGE_END_KEEPER && (r->room[ROOM_KEEPER].pid <= 0 || waited > KEEPER_END_MS)) {
		l->stage = STAGE_END_OPENERS;
		openers_signal(r, SIGTERM);
	}
	bool all_gone = fronts_gone && r->room[ROOM_KEEPER].pid <= 0 && openers_are_gone(r);
	if ((l->stage == STAGE_END_OPENERS && all_gone) || waited > ALL_END_MS)
		l->stage = STAGE_OVER;
}

/* ---- events ---- */

static void on_children(struct launcher *l)
{
	enum room_id id;
	int status;
	if (!rooms_reap(&l->rooms, &id, &status) || l->stage > STAGE_SERVING)
		return;
	const struct room *room = &l->rooms.room[id];
	if (l->stage == STAGE_STARTING) {
		log_detail(EVENT_ROOM_NOT_STARTED, "%s could not start: it %s", room->title, how_it_ended(status));
		end_with(l, EXIT_FAILURE);
		return;
	}
	log_detail(EVENT_ROOM_RESTARTED, "%s %s; it is started again in %lld ms", room->title, how_it_ended(status),
		   (long long)room->pause_ms);
}

static void on_signal(struct launcher *l)
{
	for (int number; (number = signals_wait(l->signals, 0)) != 0;) {
		if (number == SIGCHLD)
			continue;
		if (l->stage <= STAGE_SERVING)
			end_with(l, EXIT_SUCCESS);
		else
			l->stage = STAGE_OVER; /* who asks twice does not want to wait */
	}
	on_children(l);
}

static void on_notify(struct launcher *l)
{
	pid_t sender;
	if (!ready_message(l->rooms.notify, &sender))
		return;
	for (enum room_id id = 0; id < ROOM_COUNT; id++)
		if (l->rooms.room[id].pid == sender)
			l->rooms.room[id].ready = true;
}

static void wait_for_events(struct launcher *l, int ms)
{
	struct rooms *r = &l->rooms;
	struct pollfd p[2 + OPENER_KINDS] = {
		{ .fd = l->signals, .events = POLLIN }, { .fd = r->notify, .events = POLLIN },
	};
	/* At its limit a gate is not looked at: who connects there waits, and a full house costs nothing. */
	for (enum opener_kind kind = 0; kind < OPENER_KINDS; kind++) {
		p[2 + kind].fd = opener_has_place(&r->gate[kind]) ? r->gate[kind].socket : -1;
		p[2 + kind].events = POLLIN;
	}
	if (poll(p, 2 + OPENER_KINDS, ms) <= 0)
		return;
	if (p[0].revents)
		on_signal(l);
	if (p[1].revents)
		on_notify(l);
	for (enum opener_kind kind = 0; kind < OPENER_KINDS; kind++)
		if (p[2 + kind].revents)
			opener_start(r, kind);
}

static void run(struct launcher *l)
{
	while (l->stage != STAGE_OVER) {
		int ms = l->stage == STAGE_SERVING ? rooms_restart_due(&l->rooms) : ASK_EVERY_MS;
		wait_for_events(l, l->answers || (ms >= 0 && ms < ASK_EVERY_MS) ? ms : ASK_EVERY_MS);
		if (l->stage == STAGE_STARTING)
			check_start(l);
		else if (l->stage == STAGE_SERVING && !l->answers)
			check_answers(l);
		else if (l->stage > STAGE_SERVING)
			check_end(l);
	}
	for (enum room_id id = 0; id < ROOM_COUNT; id++)
		room_signal(&l->rooms, id, SIGKILL);
	openers_signal(&l->rooms, SIGKILL);
}

int main(int argc, char **argv)
{
	static struct launcher l;
	harden_process();
	log_init("pfxd", LOG_LEVEL_INFO, true);
	int status = read_options(argc, argv, &l.dev);
	if (status != 0)
		return status - 1;

	int rc = open_all(&l);
	for (enum room_id id = 0; rc == 0 && id < ROOM_COUNT; id++)
		rc = room_start(&l.rooms, id);
	if (rc < 0) {
		fprintf(stderr, "pfxd: %s\n", fault_detail());
		return EXIT_FAILURE;
	}
	l.started_ms = clock_ms();
	run(&l);
	if (l.status == EXIT_SUCCESS)
		log_event(EVENT_ENDED, NULL);
	return l.status;
}
