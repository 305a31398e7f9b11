/* Changes the text of a keyring, line by line: what is not changed stays as it stood there. pfxctl, as root on the
 * server. */
#include "keyring_edit.h"

#include "../../daemon/keeper/keyring.h"
#include "../shared/trouble.h"
#include "fault.h"

#include <string.h>

static bool line_of(struct view *text, struct view *ret)
{
	const uint8_t *end = text->len > 0 ? memchr(text->p, '\n', text->len) : NULL;
	return end ? view_get(text, (size_t)(end - text->p) + 1, ret) : view_get(text, text->len, ret) && ret->len > 0;
}

static bool begins(struct view line, const char *word)
{
	size_t len = strlen(word);
	return line.len > len && memcmp(line.p, word, len) == 0 && line.p[len] == ' ';
}

/* Which is the how-manieth of its kind so far. */
struct count {
	unsigned wrappings, cas, signers;
};

static bool is_dropped(struct view line, const struct keyring_edit *edit, struct count *n)
{
	if (begins(line, "wrap"))
		return n->wrappings++ > 0 && edit->drop_old_wrapping;
	if (begins(line, "ca"))
		return edit->drop_cas >> n->cas++ & 1;
	if (begins(line, "bundle-signer"))
		return edit->drop_cas >> n->signers++ & 1;
	return begins(line, "ca-request") && edit->drop_request;
}

static void put(struct buf *b, struct view v)
{
	buf_put(b, v.p, v.len);
}

static int check(const struct buf *text_secret, const struct count *n, const struct keyring_edit *edit)
{
	struct keyring *keyring = NULL;
	if (!buf_ok(text_secret) || buf_len(text_secret) > KEYRING_MAX_BYTES)
		return trouble(EXIT_LOCAL, "the keyring would be larger than %d bytes: retire what is old in it with "
			       "pfxctl keyring retire and pfxctl ca retire", (int)KEYRING_MAX_BYTES);
	if (edit->wrapping_secret.len > 0 && n->wrappings >= KEYRING_WRAPPING_KEYS_MAX)
		return trouble(EXIT_LOCAL, "the keyring has its most wrapping keys already, %d: take the old ones out "
			       "of it first, with pfxctl keyring retire", (int)KEYRING_WRAPPING_KEYS_MAX);
	if (edit->ca_secret.len > 0 && n->cas >= KEYRING_CAS_MAX)
		return trouble(EXIT_LOCAL, "the keyring has its most enrolment CAs already, %d: take those out of it "
			       "first that no device needs, with pfxctl ca retire", (int)KEYRING_CAS_MAX);
	if (keyring_parse(buf_view(text_secret), &keyring) < 0)
		return trouble(EXIT_LOCAL, "the changed keyring would be none: %s", fault_detail());
	keyring_free(keyring);
	return EXIT_DONE;
}

int keyring_edit(struct view text_secret, const struct keyring_edit *edit, struct buf *ret_secret)
{
	struct view line;
	struct count n = { 0 };
	while (line_of(&text_secret, &line)) {
		if (n.wrappings == 0 && begins(line, "wrap"))
			put(ret_secret, edit->wrapping_secret);
		if (n.cas == 0 && begins(line, "ca"))
			put(ret_secret, edit->ca_secret);
		if (!is_dropped(line, edit, &n))
			put(ret_secret, line);
	}
	put(ret_secret, edit->request_secret);
	return check(ret_secret, &n, edit);
}
