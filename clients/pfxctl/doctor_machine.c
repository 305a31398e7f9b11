/* The doctor's checks of the machine: clock, keyring, units, sockets. pfxctl, as root on the server. */
#include "doctor.h"

#include "../../daemon/keeper/ca.h"
#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "child.h"
#include "creds.h"
#include "fault.h"
#include "local.h"
#include "text.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Owners that a user namespace does not know are shown as this one: user_namespaces(7). */
enum { HIDDEN_OWNER = 65534, UNITS_MAX_BYTES = 4096, UNITS_SECONDS = 30 };

bool doctor_is_confined(void)
{
	char map[64] = "";
	unsigned long inside = 0, outside = 0, count = 0;
	FILE *f = fopen("/proc/self/uid_map", "re");
	if (!f)
		return false;
	bool read = fgets(map, sizeof map, f) != NULL;
	fclose(f);
	return read && sscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3 && count < UINT32_MAX;
}

static bool is_owned_by(const struct stat *st, uid_t owner)
{
	return st->st_uid == owner || (st->st_uid == HIDDEN_OWNER && doctor_is_confined());
}

/* ---- clock ---- */

void doctor_check_clock(struct doctor *d)
{
	struct stat self;
	char now[TIME_TEXT + 1], made[TIME_TEXT + 1];
	time_format(now_seconds(), now);
	if (stat("/proc/self/exe", &self) < 0 || self.st_mtime <= now_seconds()) {
		doctor_tell(d, FINDING_OK, "clock", "", "%s", now);
		return;
	}
	time_format(self.st_mtime, made);
	doctor_tell(d, FINDING_MEND, "clock", "set the clock, and keep it right with chrony or systemd-timesyncd",
		    "it says %s, and this program was made %s", now, made);
}

/* ---- keyring ---- */

static int remember_ca(struct doctor *d, const struct keyring *keyring)
{
	BUF der = buf_new(CERTIFICATE_MAX_BYTES);
	if (!der || ca_encode(keyring_ca_certificate(keyring, 0), der) < 0 ||
	    EVP_Digest(buf_data(der), buf_len(der), d->ca_sha256, NULL, EVP_sha256(), NULL) != 1)
		return trouble(EXIT_LOCAL, "OpenSSL could not encode the enrolment CA");
	d->knows_ca = true;
	return EXIT_DONE;
}

static int parse(struct doctor *d, struct view text_secret)
{
	struct keyring *keyring = NULL;
	if (keyring_parse(text_secret, &keyring) < 0)
		return trouble(EXIT_LOCAL, "it opens, but holds no keyring: %s", fault_detail());
	int rc = remember_ca(d, keyring);
	keyring_free(keyring);
	return rc;
}

/* Only the unit's sandbox can not reach the TPM; root can. */
static bool is_out_of_reach(const struct doctor *d)
{
	BUF sealed = buf_new(CREDS_MAX_BYTES + 1);
	return doctor_is_confined() && !d->server.keyring[0] && sealed &&
	       file_read(d->server.credential, CREDS_MAX_BYTES, sealed) == EXIT_DONE &&
	       creds_needs_tpm(buf_view(sealed));
}

static void open_keyring(struct doctor *d, const char *path)
{
	BUF text_secret = buf_new(KEYRING_MAX_BYTES + 1);
	int rc = text_secret ? server_open_keyring(&d->server, text_secret) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = parse(d, buf_view(text_secret));
	if (rc == EXIT_DONE)
		doctor_tell(d, FINDING_OK, "keyring", "", "%s opens on this machine", path);
	else if (is_out_of_reach(d))
		doctor_tell(d, FINDING_OK, "keyring", "", "%s needs the TPM, which can not be reached from this "
			    "sandbox: run pfxctl doctor as root to have it opened", path);
	else
		doctor_tell_trouble(d, "keyring", "it was sealed on another machine, or this one's host key or TPM is "
				    "another now: move it away, and bring it back with pfxctl keyring import EXPORT");
}

/* Before there is one no unit starts. To tell of each that it does not run would hide why. */
static void tell_no_keyring(struct doctor *d, const char *path)
{
	static const char new[] = "next: pfxctl keyring init, for a new service; or pfxctl keyring import EXPORT, for one "
				  "that moves here; then systemctl start pfxd.target";
	static const char old[] = "there is a database: next: pfxctl keyring import EXPORT; then systemctl start "
				  "pfxd.target";
	doctor_tell(d, FINDING_MEND, "keyring", file_exists(d->server.database) ? old : new,
		    "there is no keyring, so nothing starts: %s is not there", path);
	d->over = true;
}

void doctor_check_keyring(struct doctor *d)
{
	struct stat st;
	char mend[PATH_BYTES + 128];
	const char *path = d->server.keyring[0] ? d->server.keyring : d->server.credential;
	if (stat(path, &st) < 0 && errno == ENOENT) {
		tell_no_keyring(d, path);
		return;
	}
	if ((st.st_mode & 077) || (!d->server.keyring[0] && !is_owned_by(&st, 0))) {
		snprintf(mend, sizeof mend, "%schmod 600 %s", d->server.keyring[0] ? "" : "chown root: it, and ", path);
		doctor_tell(d, FINDING_MEND, "keyring", mend, "others than root may read %s (mode %04o, user %u)",
			    path, (unsigned)st.st_mode & 07777, (unsigned)st.st_uid);
	}
	open_keyring(d, path);
}

/* ---- sockets ---- */

/* False, with the owner unknown, where the configuration names nobody: then it is the keeper's own user. */
static bool find_user(const char *name, uid_t *ret)
{
	const struct passwd *user = name[0] ? getpwnam(name) : NULL;
	*ret = user ? user->pw_uid : 0;
	return user != NULL;
}

static bool check_socket(struct doctor *d, const char *name, bool has_owner, uid_t owner)
{
	struct stat st;
	char path[PATH_BYTES];
	static const char mend[] = "systemctl restart its .socket unit, which makes it with owner and mode";
	if (path_join(path, d->server.runtime, name) != EXIT_DONE)
		return false;
	if (stat(path, &st) < 0)
		doctor_tell(d, FINDING_MEND, "sockets", "systemctl start pfxd.target", "%s: %s", path, strerror(errno));
	else if (!S_ISSOCK(st.st_mode))
		doctor_tell(d, FINDING_MEND, "sockets", mend, "%s is no socket", path);
	else if (st.st_mode & 077)
		doctor_tell(d, FINDING_MEND, "sockets", mend, "%s is open to others than its owner (mode %04o)", path,
			    (unsigned)st.st_mode & 07777);
	else if (has_owner && !is_owned_by(&st, owner))
		doctor_tell(d, FINDING_MEND, "sockets", mend, "%s belongs to user %u instead of %u", path,
			    (unsigned)st.st_uid, (unsigned)owner);
	else
		return true;
	return false;
}

void doctor_check_sockets(struct doctor *d)
{
	uid_t device, admin, keeper;
	bool has_device = find_user(d->server.config.device_front_user, &device);
	bool has_admin = find_user(d->server.config.admin_front_user, &admin);
	bool has_keeper = find_user("pfxd-keeper", &keeper);
	const struct {
		const char *name;
		bool has_owner;
		uid_t owner;
	} sockets[] = {
		{ LOCAL_SOCKET, true, 0 },
		{ "keeper-device.sock", has_device, device }, { "keeper-admin.sock", has_admin, admin },
		{ "opener-pfx.sock", has_keeper, keeper },    { "opener-csr.sock", has_keeper, keeper },
	};
	size_t count = sizeof sockets / sizeof sockets[0], well = 0;
	if (d->is_stopped)
		return;
	for (size_t i = 0; i < count; i++)
		well += check_socket(d, sockets[i].name, sockets[i].has_owner, sockets[i].owner);
	if (well == count)
		doctor_tell(d, FINDING_OK, "sockets", "", "%zu in %s", count, d->server.runtime);
}

/* ---- units ---- */

#define SYSTEMCTL "/usr/bin/systemctl"

static const char *const units[] = { /* the keeper first */
	"pfxd-keeper.service",       "pfxd-device.service",       "pfxd-admin.service",
	"pfxd-device.socket",        "pfxd-admin.socket",         "pfxd-health.socket",
	"pfxd-keeper-device.socket", "pfxd-keeper-admin.socket",  "pfxd-keeper-local.socket",
	"pfxd-opener-pfx.socket",    "pfxd-opener-csr.socket",
};
enum { UNITS = sizeof units / sizeof units[0] };

struct unit_state {
	struct view active; /* ActiveState=, as systemctl show prints it */
	uint64_t restarts;  /* since somebody started it, without a start that lasted; a socket has none */
};

/* One that is started again and again is activating most of the time. */
static bool check_unit(struct doctor *d, const char *unit, const struct unit_state *state)
{
	char mend[160];
	bool starts = view_is(state->active, "activating");
	if (view_is(state->active, "active") || view_is(state->active, "reloading") || (starts && state->restarts == 0))
		return true;
	snprintf(mend, sizeof mend, starts ? "journalctl -u %s -n 20 says why; it is tried again by itself" :
			view_is(state->active, "failed") ?
				"journalctl -u %s -n 20 says why; then systemctl restart it" :
				"systemctl start pfxd.target", unit);
	if (starts)
		doctor_tell(d, FINDING_MEND, "units", mend, "%s does not stay up: it was started again %llu times", unit,
			    (unsigned long long)state->restarts);
	else
		doctor_tell(d, FINDING_MEND, "units", mend, "%s is %.*s", unit, (int)state->active.len,
			    (const char *)state->active.p);
	return false;
}

static bool take_line(struct view *lines, struct view *ret)
{
	const uint8_t *end = memchr(lines->p, '\n', lines->len);
	if (!end)
		return false;
	*ret = view_of(lines->p, (size_t)(end - lines->p));
	*lines = view_of(end + 1, lines->len - ret->len - 1);
	return true;
}

static bool take_value(struct view line, const char *name, struct view *ret)
{
	size_t len = strlen(name);
	if (line.len < len || memcmp(line.p, name, len) != 0)
		return false;
	*ret = view_of(line.p + len, line.len - len);
	return true;
}

/* An empty line stands between two units. False where it tells of no other one. */
static bool take_state(struct view *lines, struct unit_state *ret)
{
	struct view line, value;
	*ret = (struct unit_state){ .restarts = 0 };
	while (take_line(lines, &line) && line.len > 0)
		if (take_value(line, "NRestarts=", &value))
			number_parse(value, UINT32_MAX, &ret->restarts);
		else
			take_value(line, "ActiveState=", &ret->active);
	return ret->active.len > 0;
}

static size_t take_states(struct view lines, struct unit_state ret[static UNITS])
{
	size_t taken = 0;
	while (taken < UNITS && take_state(&lines, &ret[taken]))
		taken++;
	return taken;
}

/* One line for a service that nobody started, where each unit and each socket would have one that says the same. */
static void check_states(struct doctor *d, const struct unit_state states[static UNITS])
{
	size_t well = 0, inactive = 0;
	for (size_t i = 0; i < UNITS; i++)
		inactive += view_is(states[i].active, "inactive");
	d->is_stopped = inactive == UNITS;
	if (d->is_stopped) {
		doctor_tell(d, FINDING_MEND, "units", "systemctl start pfxd.target", "the service is not started: none "
			    "of its %d units is active", (int)UNITS);
		return;
	}
	for (size_t i = 0; i < UNITS; i++) {
		bool is_well = check_unit(d, units[i], &states[i]);
		d->keeper_is_down |= i == 0 && !is_well;
		well += is_well;
	}
	if (well == UNITS)
		doctor_tell(d, FINDING_OK, "units", "", "%d are active", (int)UNITS);
}

void doctor_check_units(struct doctor *d)
{
	const char *arguments[UNITS + 4] = { "systemctl", "show", "--property=ActiveState,NRestarts" };
	struct unit_state states[UNITS];
	char said[CHILD_SAID_MAX];
	int status;
	BUF lines = buf_new(UNITS_MAX_BYTES);
	const struct child child = { .program = SYSTEMCTL, .arguments = arguments, .seconds = UNITS_SECONDS };
	memcpy(arguments + 3, units, sizeof units);
	if (!file_exists("/run/systemd/system") || !lines)
		doctor_tell(d, FINDING_OK, "units", "", "systemd does not run here, so they were not looked at");
	else if (child_run(&child, lines, said, &status) != EXIT_DONE || buf_len(lines) == 0)
		doctor_tell(d, FINDING_OK, "units", "", "systemctl does not answer, so they were not looked at: %s",
			    said);
	else if (take_states(buf_view(lines), states) == UNITS)
		check_states(d, states);
	else
		doctor_tell(d, FINDING_OK, "units", "", "systemctl did not tell of all of them, so they were not looked "
			    "at");
}
