/* pfxd-front: the HTTPS interface for devices, or the one for administrators with health. It holds no database and no
 * key but its own for TLS, and decides nothing about who may have what. */
#include "clock.h"
#include "config.h"
#include "fault.h"
#include "harden.h"
#include "health.h"
#include "http.h"
#include "journal.h"
#include "log.h"
#include "notify.h"
#include "signals.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { SWEEP_MS = 1000, DRAIN_STEP_MS = 50, GREETING_GRACE_MS = 5000 };

struct front {
	struct config config;
	enum role role;
	char keeper_path[CONFIG_TEXT_MAX + 32];
	int signals;
	struct http main, health;
	struct notify notify;
	bool ending;
	bool refused; /* what the last reload was to take over, or some of it */
};

/* ---- open what it needs ---- */

/* Takes "--role ROLE" or "--role=ROLE" out of argv; the rest is config_start()'s. */
static const char *take_role(int *argc, char **argv)
{
	static const char option[] = "--role";
	const char *role = NULL;
	int kept = 0;
	for (int i = 0; i < *argc; i++) {
		if (strncmp(argv[i], "--role=", strlen(option) + 1) == 0)
			role = argv[i] + strlen(option) + 1;
		else if (strcmp(argv[i], option) == 0 && i + 1 < *argc)
			role = argv[++i];
		else
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	*argc = kept;
	return role;
}

static bool set_role(struct front *f, const char *role)
{
	const char *names[] = { [ROLE_DEVICE] = "device", [ROLE_ADMIN] = "admin" };
	const char *titles[] = { [ROLE_DEVICE] = "pfxd-front (devices)",
				 [ROLE_ADMIN] = "pfxd-front (administrators)" };
	for (enum role i = ROLE_DEVICE; role && i <= ROLE_ADMIN; i++) {
		if (strcmp(role, names[i]) != 0)
			continue;
		f->role = i;
		log_init(titles[i], f->config.level, f->config.names); /* both write into one log */
		snprintf(f->keeper_path, sizeof f->keeper_path, "%s/keeper-%s.sock", f->config.runtime, role);
		return true;
	}
	fprintf(stderr, "pfxd-front: --role must be device or admin; try --help\n");
	return false;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* An inherited listening socket. What it accepts inherits TCP_NODELAY; and since several threads accept from it, none
 * may block in that. */
static int open_socket(const char *name, int *ret)
{
	const int on = 1;
	int fd = inherited_socket(name);
	if (fd < 0)
		return fail(FAULT_UNAVAILABLE, "no listening socket named %s was passed (LISTEN_FDS, LISTEN_FDNAMES)",
			    name);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return fail(FAULT_UNAVAILABLE, "the socket %s: %s", name, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	*ret = fd;
	return 0;
}

static int open_all(struct front *f)
{
	raise_descriptor_limit();
	int rc = f->signals = signals_take(0);
	if (rc >= 0)
		rc = open_socket(f->role == ROLE_ADMIN ? "admin" : "device", &f->main.socket);
	if (rc == 0 && f->role == ROLE_ADMIN)
		rc = open_socket("health", &f->health.socket);
	const struct config *c = &f->config;
	return rc < 0 ? rc : tls_start(c->tls_certificate, c->tls_key, c->header_seconds);
}

/* ---- serve ---- */

static int start_health(struct front *f)
{
	struct http *h = &f->health;
	h->config = &f->config;
	h->role = ROLE_HEALTH;
	h->threads = 1;
	h->metrics = f->main.metrics;
	h->health = health_start(f->keeper_path);
	return h->health ? http_start(h) : fail(FAULT_INTERNAL, "no thread for health");
}

static int start_all(struct front *f)
{
	struct http *h = &f->main;
	h->config = &f->config;
	h->role = f->role;
	h->threads = f->config.threads;
	h->metrics = metrics_new();
	h->work = work_start(f->keeper_path, f->config.workers);
	h->imports = f->role == ROLE_ADMIN ? work_start(f->keeper_path, f->config.import_workers) : NULL;
	if (!h->metrics || !h->work || (f->role == ROLE_ADMIN && !h->imports))
		return fail(FAULT_INTERNAL, "no threads for requests");
	int rc = http_start(h);
	return rc == 0 && f->role == ROLE_ADMIN ? start_health(f) : rc;
}

/* Takes over what is right of the configuration and of the TLS pair; what is not leaves the old one in use. */
static void reload(struct front *f)
{
	notify_reloading();
	bool configured = config_reload(&f->config) == 0;
	bool paired = tls_reload(f->config.header_seconds) == 0;
	if (paired)
		log_detail(EVENT_RELOADED, "the TLS certificate and its key");
	else
		log_detail(EVENT_NOT_RELOADED, "%s", fault_detail());
	f->refused = !configured || !paired;
	notify_ready(&f->notify);
}

/* Waits up to ms for a signal, and does what it asks for. */
static void wait_for_signal(struct front *f, int ms)
{
	int number = signals_wait(f->signals, ms);
	if (number == SIGHUP)
		reload(f);
	else if (number)
		f->ending = true;
}

static void tell_status(struct front *f)
{
	char connections[NOTIFY_COUNT_MAX], requests[NOTIFY_COUNT_MAX];
	notify_status(&f->notify, "serving, %s, %s%s",
		      notify_count(http_connections(&f->main), "connection", "connections", connections),
		      notify_count(atomic_load(&f->main.in_flight), "request", "requests", requests),
		      f->refused ? "; the last reload was refused, the log says why" : "");
}

static void pulse(struct front *f)
{
	http_pulse(&f->main);
	if (f->role == ROLE_ADMIN)
		http_pulse(&f->health);
}

/* The watchdog hears that every thread that does HTTP turned since it was told so last. Not whether the keeper
 * answers: to start this room anew would mend nothing. */
static void beat(struct front *f)
{
	if (!notify_beat_is_due(&f->notify))
		return;
	bool turned = http_has_turned(&f->main);
	if (f->role == ROLE_ADMIN)
		turned &= http_has_turned(&f->health);
	notify_beat(&f->notify, turned, "a thread that does HTTP");
	pulse(f);
}

static void serve(struct front *f)
{
	notify_start(&f->notify);
	notify_ready(&f->notify);
	log_event(EVENT_SERVING, NULL);
	if (f->notify.beat_every_ms > 0)
		pulse(f);
	while (!f->ending) {
		tell_status(f);
		wait_for_signal(f, notify_wait_ms(&f->notify, SWEEP_MS));
		beat(f);
		deadline_sweep(f->main.deadlines);
		if (f->role == ROLE_ADMIN)
			deadline_sweep(f->health.deadlines);
	}
}

/* ---- end ---- */

/* Answers what has begun, for as long as a request may take. False when something did not end. */
static bool drain(struct front *f)
{
	int64_t begun_ms = clock_ms(), until_ms = begun_ms + (int64_t)f->config.request_seconds * 1000;
	notify_stopping("ending what was begun");
	http_quiesce(&f->main);
	if (f->role == ROLE_ADMIN)
		http_quiesce(&f->health);
	for (int64_t now; (now = clock_ms()) < until_ms; poll(NULL, 0, DRAIN_STEP_MS)) {
		bool grace_over = now - begun_ms >= GREETING_GRACE_MS;
		bool drained = http_is_drained(&f->main, grace_over);
		if (f->role == ROLE_ADMIN)
			drained &= http_is_drained(&f->health, grace_over);
		if (drained)
			return true;
	}
	log_event(EVENT_NOT_DRAINED, NULL);
	return false;
}

static void stop_all(struct front *f)
{
	http_stop(&f->main);
	if (f->role == ROLE_ADMIN)
		http_stop(&f->health);
	work_stop(f->main.work);
	work_stop(f->main.imports);
	health_stop(f->health.health);
	metrics_free(f->main.metrics);
	tls_end();
}

static int start_failed(void)
{
	log_detail(EVENT_NOT_STARTED, "%s", fault_detail());
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	static struct front front;
	harden_process();
	harden_no_exec();
	journal_start();
	const char *role = take_role(&argc, argv);
	int status = config_start_with(&front.config, argc, argv,
				       "the HTTPS interface for devices, or the one for administrators",
				       "  --role ROLE     must be given: device, or admin, which has health as well\n");
	if (status != 0)
		return status - 1;
	if (!set_role(&front, role))
		return 2;

	if (open_all(&front) < 0)
		return start_failed();
	harden_memory();
	if (start_all(&front) < 0)
		return start_failed();
	serve(&front);
	/* What is stuck goes with the process: exit() would pull the libraries from under its threads. */
	if (!drain(&front))
		_exit(EXIT_SUCCESS);
	stop_all(&front);
	log_event(EVENT_ENDED, NULL);
	return EXIT_SUCCESS;
}
