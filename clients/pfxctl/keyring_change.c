/* Changes the keyring of a service that runs. pfxctl, as root on the server. The new keyring was opened once before it
 * takes the place of the old one, which is replaced as a whole and stays beside it until the keeper runs with the
 * new. */
#include "keyring_change.h"

#include "../../daemon/keeper/ca.h"
#include "../shared/trouble.h"
#include "child.h"
#include "creds.h"
#include "fault.h"
#include "frame.h"
#include "harden.h"
#include "local.h"
#include "wipe.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEMCTL "/usr/bin/systemctl"

enum { RESTART_SECONDS = 120, SETTLE_SECONDS = 60, LOOK_AGAIN_MS = 100 };

static const char *keyring_path(const struct server *s)
{
	return s->keyring[0] ? s->keyring : s->credential;
}

/* ---- what is there ---- */

static int read_keyring(struct change *c)
{
	int rc = server_open_keyring(&c->server, c->text_secret);
	if (rc == EXIT_DONE && keyring_parse(buf_view(c->text_secret), &c->keyring) < 0)
		rc = trouble(EXIT_LOCAL, "%s holds no keyring: %s", keyring_path(&c->server), fault_detail());
	return rc;
}

int change_ask(struct change *c)
{
	struct view fields, rest;
	struct msg_wrapping_key key;
	buf_reset(c->keeper.answer);
	int rc = local_ask(&c->server, VERB_ROTATION, LOCAL_ANSWER_SECONDS, c->keeper.answer, &fields);
	if (rc == EXIT_DONE && read_rotation(fields, &c->keeper.m) < 0)
		rc = local_other_version();
	if (rc)
		return rc;
	c->keeper.old_needed = 0;
	rest = c->keeper.m.keys;
	for (size_t i = 0; rest.len > 0 && get_wrapping_key(&rest, &key) == 0; i++)
		c->keeper.old_needed += i > 0 ? key.needed : 0;
	return EXIT_DONE;
}

static bool has_wrapping_keys(const struct change *c)
{
	struct view rest = c->keeper.m.keys;
	struct msg_wrapping_key key;
	size_t i = 0;
	for (const char *id; rest.len > 0 && get_wrapping_key(&rest, &key) == 0; i++)
		if (!(id = keyring_wrapping_id(c->keyring, i)) || !view_is(key.id, id))
			return false;
	return !keyring_wrapping_id(c->keyring, i);
}

static bool has_cas(const struct change *c)
{
	struct view rest = c->keeper.m.cas, one;
	uint8_t digest[FINGERPRINT_BYTES];
	size_t i = 0;
	for (; view_get(&rest, FINGERPRINT_BYTES, &one); i++) {
		X509 *ca = keyring_ca_certificate(c->keyring, i);
		if (!ca || ca_fingerprint(ca, digest) < 0 || !view_equal(one, view_of(digest, sizeof digest)))
			return false;
	}
	return !keyring_ca_certificate(c->keyring, i);
}

static bool is_settled(const struct change *c)
{
	return has_wrapping_keys(c) && has_cas(c);
}

static int before_path(const struct server *s, char ret[static PATH_BYTES])
{
	int len = snprintf(ret, PATH_BYTES, "%s.before", keyring_path(s));
	return len < PATH_BYTES ? EXIT_DONE : trouble(EXIT_LOCAL, "a path is too long");
}

/* The old one is there as well; where both are one and the same file, it was cut short before the new one came. */
static bool is_unfinished(const struct server *s)
{
	char before[PATH_BYTES];
	struct stat old, new;
	return before_path(s, before) == EXIT_DONE && stat(before, &old) == 0 && stat(keyring_path(s), &new) == 0 &&
	       (old.st_dev != new.st_dev || old.st_ino != new.st_ino);
}

bool change_is_under_way(const struct change *c)
{
	return !is_settled(c) || is_unfinished(&c->server);
}

/* One and the same keyring has in common the key that either of them was last given. */
static int check_same(const struct change *c)
{
	struct view rest = c->keeper.m.keys;
	struct msg_wrapping_key key = { .needed = 0 };
	bool same = get_wrapping_key(&rest, &key) == 0 && keyring_wrapping_key(c->keyring, key.id);
	if (same)
		return EXIT_DONE;
	return trouble(EXIT_LOCAL, "the keeper runs with another keyring than the one at %s: put back the one that "
		       "belongs to the database; pfxctl doctor tells more", keyring_path(&c->server));
}

int change_begin(const struct cli *cli, struct change *ret)
{
	*ret = (struct change){ .cli = cli, .lock = -1 };
	ret->text_secret = buf_new(KEYRING_MAX_BYTES + 1);
	ret->keeper.answer = buf_new(FRAME_MAX_BYTES);
	harden_memory();
	if (!ret->text_secret || !ret->keeper.answer)
		return trouble(EXIT_LOCAL, "no memory");
	int rc = server_need_root(cli);
	if (rc == EXIT_DONE)
		rc = server_find(cli, &ret->server);
	if (rc == EXIT_DONE)
		rc = server_lock_keyring(&ret->server, &ret->lock);
	if (rc == EXIT_DONE)
		rc = read_keyring(ret);
	if (rc == EXIT_DONE)
		rc = change_ask(ret);
	return rc ? rc : check_same(ret);
}

void change_done(struct change *c)
{
	file_set_done(&c->files);
	safekeeping_done(&c->safekeeping);
	keyring_free(c->keyring);
	buf_free(c->text_secret);
	buf_free(c->keeper.answer);
	if (c->lock >= 0)
		close(c->lock);
	wipe_traces();
}

/* ---- the new one ---- */

static int keep_old(const struct server *s)
{
	char before[PATH_BYTES];
	int rc = before_path(s, before);
	if (rc == EXIT_DONE)
		rc = file_remove(before);
	if (rc == EXIT_DONE && link(keyring_path(s), before) < 0)
		rc = trouble(EXIT_LOCAL, "can not keep the old keyring as %s: %s", before, strerror(errno));
	return rc;
}

int change_finish(const struct change *c)
{
	char before[PATH_BYTES];
	int rc = before_path(&c->server, before);
	return rc ? rc : file_remove(before);
}

/* As the old one was sealed: who moved a keyring away from a TPM once does not want it back there. */
static int seal(const struct change *c, struct view text_secret, struct buf *ret)
{
	const char *with_key = c->cli->value[OPT_WITH_KEY];
	BUF old = buf_new(CREDS_MAX_BYTES + 1);
	if (c->server.keyring[0]) {
		buf_put(ret, text_secret.p, text_secret.len);
		return EXIT_DONE;
	}
	int rc = old ? file_read(c->server.credential, CREDS_MAX_BYTES, old) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE && !with_key)
		with_key = creds_needs_tpm(buf_view(old)) ? "host+tpm2" : "host";
	return rc ? rc : creds_seal(text_secret, with_key, ret);
}

static int read_again(struct change *c, struct buf *new_secret)
{
	keyring_free(c->keyring);
	c->keyring = NULL;
	buf_reset(c->text_secret);
	buf_put(c->text_secret, buf_data(new_secret), buf_len(new_secret));
	return keyring_parse(buf_view(c->text_secret), &c->keyring) < 0 ? trouble(EXIT_LOCAL, "%s", fault_detail()) :
									  EXIT_DONE;
}

int change_place(struct change *c, const struct keyring_edit *edit, bool with_export)
{
	BUF new_secret = buf_new(2 * KEYRING_MAX_BYTES);
	BUF sealed_secret = buf_new(CREDS_MAX_BYTES);
	int rc = new_secret && sealed_secret ? keyring_edit(buf_view(c->text_secret), edit, new_secret) :
					       trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = seal(c, buf_view(new_secret), sealed_secret);
	if (rc)
		return rc;
	file_set_begin(&c->files);
	if (with_export)
		rc = safekeeping_add(&c->safekeeping, c->cli, buf_view(new_secret), &c->files);
	if (rc == EXIT_DONE)
		rc = file_set_replace(&c->files, keyring_path(&c->server), 0600, buf_view(sealed_secret));
	if (rc == EXIT_DONE && with_export)
		rc = safekeeping_show(&c->safekeeping, c->cli);
	if (rc == EXIT_DONE)
		rc = keep_old(&c->server);
	if (rc == EXIT_DONE && (rc = file_set_place(&c->files)) != EXIT_DONE && with_export)
		rc = trouble(EXIT_LOCAL, "%s; nothing was changed, and what was shown is worth "
					 "nothing", trouble_text());
	file_set_done(&c->files);
	c->files.begun = false;
	return rc ? rc : read_again(c, new_secret);
}

/* ---- to the keeper ---- */

static int restart(const struct change *c)
{
	static const char *const arguments[] = { "systemctl", "restart", "pfxd-keeper.service", NULL };
	char said[CHILD_SAID_MAX];
	int status = 0;
	BUF nothing = buf_new(CHILD_SAID_MAX);
	const struct child child = { .program = SYSTEMCTL, .arguments = arguments, .seconds = RESTART_SECONDS };
	if (c->cli->value[OPT_DEV])
		return trouble(EXIT_LATER, "the keyring is changed, and the keeper has to read it: end pfxd --dev %s "
			       "and start it again; then run the same command once more", c->cli->value[OPT_DEV]);
	if (!file_exists("/run/systemd/system"))
		return trouble(EXIT_LATER, "the keyring is changed, and the keeper has to read it: start it anew; then "
			       "run the same command once more");
	int rc = nothing ? child_run(&child, nothing, said, &status) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE && status != 0)
		rc = trouble(EXIT_LOCAL, "systemctl restart pfxd-keeper.service ended with status %d: %s; the keyring "
			     "is changed, and %s.before is the old one", status, said, keyring_path(&c->server));
	return rc;
}

/* Until it has started, and answers with what is on disk now. */
static int wait_settled(struct change *c)
{
	int64_t until_ms = clock_ms() + SETTLE_SECONDS * 1000;
	for (;;) {
		int rc = change_ask(c);
		if (rc == EXIT_DONE && is_settled(c))
			return EXIT_DONE;
		if (rc != EXIT_DONE && rc != EXIT_LATER)
			return rc;
		if (clock_ms() >= until_ms)
			return trouble(EXIT_LATER, "the keeper was restarted and does not run with the new keyring "
				       "yet: journalctl -u pfxd-keeper says why; %s.before is the old one",
				       keyring_path(&c->server));
		poll(NULL, 0, LOOK_AGAIN_MS);
	}
}

int change_settle(struct change *c)
{
	int rc = is_settled(c) ? EXIT_DONE : restart(c);
	return rc ? rc : wait_settled(c);
}

int change_complete(struct change *c)
{
	int rc = change_settle(c);
	return rc ? rc : change_finish(c);
}
