/* Speaks to systemd. Front and keeper. Tells states and numbers, never names of people. */
#include "notify.h"

#include "clock.h"
#include "log.h"
#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

enum { BEATS = 3 /* within the watchdog's time */, STATUS_EVERY_MS = 2000 };

void notify_start(struct notify *n)
{
	uint64_t us = 0;
	*n = (struct notify){ .beat_every_ms = 0 };
	if (sd_watchdog_enabled(0, &us) <= 0)
		return;
	n->beat_every_ms = (int64_t)(us / 1000 / BEATS);
	if (n->beat_every_ms == 0)
		n->beat_every_ms = 1;
	n->beat_at_ms = clock_ms() + n->beat_every_ms;
}

void notify_ready(struct notify *n)
{
	sd_notify(0, "READY=1");
	n->status_at_ms = 0;
}

void notify_status(struct notify *n, const char *format, ...)
{
	char status[NOTIFY_STATUS_MAX];
	va_list args;
	int64_t now = clock_ms();
	if (now < n->status_at_ms)
		return;
	va_start(args, format);
	vsnprintf(status, sizeof status, format, args);
	va_end(args);
	if (strcmp(status, n->status) == 0)
		return;
	strcpy(n->status, status);
	n->status_at_ms = now + STATUS_EVERY_MS;
	sd_notifyf(0, "STATUS=%s", status);
}

void notify_reloading(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void notify_stopping(const char *status)
{
	sd_notifyf(0, "STOPPING=1\nSTATUS=%s", status);
}

bool notify_beat_is_due(const struct notify *n)
{
	return n->beat_every_ms > 0 && clock_ms() >= n->beat_at_ms;
}

void notify_beat(struct notify *n, bool alive, const char *who)
{
	n->beat_at_ms = clock_ms() + n->beat_every_ms;
	if (alive)
		sd_notify(0, "WATCHDOG=1");
	if (alive != n->missed)
		return;
	n->missed = !alive;
	if (alive)
		log_detail(EVENT_GOES_ON, "%s", who);
	else
		log_detail(EVENT_STANDS_STILL, "%s", who);
}

int notify_wait_ms(const struct notify *n, int ms)
{
	if (n->beat_every_ms == 0)
		return ms;
	int64_t left = n->beat_at_ms - clock_ms();
	if (left < 0)
		left = 0;
	return left < ms ? (int)left : ms;
}

const char *notify_count(uint64_t number, const char *one, const char *many, char ret[static NOTIFY_COUNT_MAX])
{
	char grouped[NUMBER_GROUPED_MAX];
	number_grouped(number, grouped);
	snprintf(ret, NOTIFY_COUNT_MAX, "%s %s", grouped, number == 1 ? one : many);
	return ret;
}
