/* ca rotate and ca retire: a successor to the enrolment CA, and the end of those that no device needs. pfxctl, as root
 * on the server. */
#include "ca_change.h"

#include "../../daemon/keeper/ca.h"
#include "../shared/openssl_more.h"
#include "../shared/trouble.h"
#include "commands.h"
#include "fault.h"
#include "frame.h"
#include "local.h"
#include "text.h"

static const char needs_export[] = "older copies of the keyring do not have the new CA: restored from one of them, the "
				   "service would know no device that enrolled since";

int ca_change_go_on(struct change *c, bool *ret_done)
{
	*ret_done = change_is_under_way(c);
	if (*ret_done)
		cli_say(c->cli, "a change of the keyring was begun before: it is brought to its end, and no other one "
				"is begun. If that was not this command, run it once more afterwards");
	return change_complete(c);
}

int ca_change_add(struct change *c, EVP_PKEY *key, X509 *ca, const STACK_OF(X509) *chain, bool drop_request)
{
	BUF ca_secret = buf_new(KEYRING_MAX_BYTES);
	int rc = safekeeping_check(c->cli, needs_export);
	if (rc == EXIT_DONE && (!ca_secret || keyring_put_ca(key, ca, chain, ca_secret) < 0))
		rc = trouble(EXIT_LOCAL, "can not make the bundle signer of the CA: %s", fault_detail());
	if (rc)
		return rc;
	const struct keyring_edit edit = { .ca_secret = buf_view(ca_secret), .drop_request = drop_request };
	rc = change_place(c, &edit, true);
	if (rc)
		return rc;
	cli_say(c->cli, "the keyring has a new enrolment CA. Devices of the one before learn of it when they pull, and "
		"are renewed by it; until the last has been, keep both: pfxctl ca retire says when");
	safekeeping_tell(c->cli);
	return change_complete(c);
}

int ca_rotate_run(const struct cli *cli)
{
	CHANGE c = { .lock = -1 };
	PKEY key = NULL;
	CERTIFICATE ca = NULL;
	bool done = false;
	int rc = change_begin(cli, &c);
	if (rc == EXIT_DONE)
		rc = ca_change_go_on(&c, &done);
	if (rc || done)
		return rc;
	if (ca_make(&key, &ca) < 0)
		return trouble(EXIT_LOCAL, "%s", fault_detail());
	return ca_change_add(&c, key, ca, NULL, false);
}

/* ---- retire ---- */

static void tell_needed(const struct change *c, const struct msg_authority *m)
{
	char end[TIME_TEXT + 1];
	time_format(m->last_end, end);
	cli_say(c->cli, "%llu active devices still have a certificate of the CA %02x%02x%02x%02x..., the last until "
		"%s (held ones count): it stays. They are renewed when they sync; revoke those that are gone",
		(unsigned long long)m->devices, m->sha256.p[0], m->sha256.p[1], m->sha256.p[2], m->sha256.p[3], end);
}

/* A bit for each but the newest that nobody needs. */
static int find_unneeded(struct change *c, unsigned *ret_drop, unsigned *ret_needed)
{
	struct view fields = view_text("");
	struct msg_authorities all;
	struct msg_authority one;
	BUF answer = buf_new(FRAME_MAX_BYTES);
	int rc = answer ? local_ask(&c->server, VERB_AUTHORITIES, LOCAL_ANSWER_SECONDS, answer, &fields) :
			  trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE && read_authorities(fields, &all) < 0)
		rc = local_other_version();
	if (rc)
		return rc;
	for (unsigned i = 0; i < KEYRING_CAS_MAX && all.authorities.len > 0; i++) {
		if (get_authority(&all.authorities, &one) < 0 || one.sha256.len != FINGERPRINT_BYTES)
			return local_other_version();
		if (i > 0 && one.devices > 0) {
			++*ret_needed;
			tell_needed(c, &one);
		} else if (i > 0) {
			*ret_drop |= 1U << i;
		}
	}
	return EXIT_DONE;
}

int ca_retire_run(const struct cli *cli)
{
	CHANGE c = { .lock = -1 };
	struct keyring_edit edit = { .drop_request = false };
	unsigned needed = 0;
	int rc = change_begin(cli, &c);
	if (rc == EXIT_DONE)
		rc = change_complete(&c);
	if (rc == EXIT_DONE)
		rc = find_unneeded(&c, &edit.drop_cas, &needed);
	if (rc)
		return rc;
	if (!edit.drop_cas && needed)
		return trouble_coded(EXIT_REFUSED, "needed", "devices still need every CA that there is");
	if (!edit.drop_cas) {
		cli_say(cli, "there is one enrolment CA, and it is in use");
		return EXIT_DONE;
	}
	rc = change_place(&c, &edit, false);
	if (rc == EXIT_DONE)
		rc = change_complete(&c);
	if (rc == EXIT_DONE)
		cli_say(cli, "retired %d of the enrolment CAs: no device needed it", __builtin_popcount(edit.drop_cas));
	return rc;
}
