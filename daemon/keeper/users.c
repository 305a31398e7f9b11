/* The tables users and names. Keeper only. */
#include "users.h"

#include "fault.h"

#include <locale.h>
#include <pthread.h>
#include <wchar.h>
#include <wctype.h>

enum { FOLDED_MAX_BYTES = 4 * UPN_MAX_BYTES };

static pthread_once_t opened = PTHREAD_ONCE_INIT;
static locale_t unicode;

static void open_locale(void)
{
	unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
}

/* The small letter of a capital one. Only where that capital is the small one's own: the Kelvin sign and the dotted I
 * have k and i for small letters, and would make two people one. */
static wchar_t small(wchar_t w)
{
	wchar_t lower = (wchar_t)towlower((wint_t)w);
	return (wchar_t)towupper((wint_t)lower) == w ? lower : w;
}

/* A name in one case, by the simple mapping of each character. ret has FOLDED_MAX_BYTES + 1. */
static int fold(struct view upn, char *ret)
{
	pthread_once(&opened, open_locale);
	char text[UPN_MAX_BYTES + 1];
	if (upn.len == 0 || !text_is_clean(upn) || !text_copy(upn, text, sizeof text))
		return fail(FAULT_MALFORMED_REQUEST, "a UPN has 1 to %d bytes of UTF-8 without control characters",
			    UPN_MAX_BYTES);
	if (!unicode)
		return fail(FAULT_INTERNAL, "the locale C.UTF-8 is missing");
	locale_t before = uselocale(unicode);
	mbstate_t in = { 0 }, out = { 0 };
	size_t at = 0, len = 0;
	while (text[at]) {
		wchar_t w;
		size_t n = mbrtowc(&w, text + at, sizeof text - at, &in);
		size_t m = n > 0 && n <= 4 ? wcrtomb(ret + len, small(w), &out) : (size_t)-1;
		if (m == (size_t)-1)
			break;
		at += n;
		len += m;
	}
	uselocale(before);
	ret[len] = '\0';
	return text[at] ? fail(FAULT_MALFORMED_REQUEST, "a UPN holds a character that can not be compared") : 0;
}

static int find_name(const struct keyring *keyring, struct connection *c, const char *folded, struct row_name *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_name_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, view_text(folded));
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_NOT_FOUND, "there is no user of that name");
	return rc < 0 ? rc : load_name(keyring, s, ret);
}

int users_get(const struct keyring *keyring, struct connection *c, struct view id, struct row_user *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_user_get, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, id);
	rc = statement_step(s);
	if (rc == 0)
		return fail(FAULT_TAMPERED, "the record of user %.*s is gone", (int)id.len, (const char *)id.p);
	return rc < 0 ? rc : load_user(keyring, s, ret);
}

int users_find(const struct keyring *keyring, struct connection *c, struct view upn, struct row_user *ret)
{
	char folded[FOLDED_MAX_BYTES + 1];
	ROW(name, name);
	int rc = fold(upn, folded);
	if (rc == 0)
		rc = find_name(keyring, c, folded, &name);
	if (rc == -FAULT_NOT_FOUND)
		return fail(FAULT_NOT_FOUND, "there is no user %.*s", (int)upn.len, (const char *)upn.p);
	if (rc == 0)
		rc = users_get(keyring, c, name.user_id, ret);
	if (rc == 0 && ret->state != STATE_ACTIVE)
		rc = fail(FAULT_TAMPERED, "the name of a retired user is still there: user %.*s", (int)ret->id.len,
			  (const char *)ret->id.p);
	return rc;
}

static int put_name(const struct keyring *keyring, struct connection *c, enum sql sql, const char *folded,
		    struct view user_id, struct view shown)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	const struct row_name row = { .name = view_text(folded), .user_id = user_id, .shown = shown };
	int rc = statement_get(c, sql, &s);
	if (rc == 0)
		rc = bind_name(keyring, s, &row, mac);
	return rc < 0 ? rc : statement_run(s);
}

/* The object is the name as it is looked up: verification compares it with the table of names. */
static int record(struct keeper *k, struct connection *c, const struct actor *actor, const char *event,
		  struct view user_id, const char *folded, struct view upn)
{
	const struct audit_record r = { .event = event, .actor = actor->id, .user_id = user_id, .detail = upn,
					.object = view_text(folded), .request_id = actor->request_id };
	return audit_append(k, c, &r);
}

/* To count all users at each new one would be slow. So half of the room that is left may be filled before they are
 * counted again; half, because others may write, too. */
static int check_room(struct keeper *k, struct connection *c)
{
	int64_t count = 0;
	if (atomic_fetch_sub(&k->users_before_count, 1) > 0)
		return 0;
	int rc = statement_number(c, SQL_users_count, &count);
	if (rc < 0)
		return rc;
	int64_t room = (int64_t)k->config.max_users - count;
	atomic_store(&k->users_before_count, room / 2);
	return room > 0 ? 0 : fail(FAULT_CONFLICT, "there are %u users already: retire some, or raise [keeper] max_users",
				   (unsigned)k->config.max_users);
}

int users_create(struct keeper *k, struct connection *c, const struct actor *actor, struct view id, struct view upn)
{
	char folded[FOLDED_MAX_BYTES + 1];
	STATEMENT s = NULL;
	uint8_t mac[32];
	const struct row_user row = { .id = id, .upn = upn, .state = STATE_ACTIVE, .created_at = now_seconds() };
	int rc = fold(upn, folded);
	if (rc == 0)
		rc = check_room(k, c);
	if (rc == 0)
		rc = statement_get(c, SQL_user_insert, &s);
	if (rc == 0)
		rc = bind_user(k->keyring, s, &row, mac);
	if (rc == 0)
		rc = statement_run(s);
	if (rc == 0)
		rc = put_name(k->keyring, c, SQL_name_insert, folded, id, upn);
	return rc < 0 ? rc : record(k, c, actor, "user.create", id, folded, upn);
}

static int update(const struct keyring *keyring, struct connection *c, const struct row_user *row)
{
	STATEMENT s = NULL;
	uint8_t mac[32];
	int rc = mac_user(keyring, row, mac);
	if (rc == 0)
		rc = statement_get(c, SQL_user_update, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, row->id);
	bind_text(s, 2, row->upn);
	bind_number(s, 3, row->state);
	bind_blob(s, 4, view_of(mac, sizeof mac));
	return statement_run(s);
}

int users_rename(struct keeper *k, struct connection *c, const struct actor *actor, struct view upn,
		 struct view new_upn)
{
	char folded[FOLDED_MAX_BYTES + 1];
	ROW(user, user);
	ROW(name, taken);
	int rc = users_find(k->keyring, c, upn, &user);
	if (rc == 0)
		rc = fold(new_upn, folded);
	if (rc < 0)
		return rc;
	rc = find_name(k->keyring, c, folded, &taken);
	if (rc == 0 && !view_equal(taken.user_id, user.id))
		return fail(FAULT_CONFLICT, "the name %.*s is another user's, now or earlier", (int)new_upn.len,
			    (const char *)new_upn.p);
	if (rc < 0 && rc != -FAULT_NOT_FOUND)
		return rc;
	user.upn = new_upn;
	rc = update(k->keyring, c, &user);
	if (rc == 0)
		rc = put_name(k->keyring, c, SQL_name_replace, folded, user.id, new_upn);
	return rc < 0 ? rc : record(k, c, actor, "user.rename", user.id, folded, new_upn);
}

int users_retire(struct keeper *k, struct connection *c, const struct actor *actor, const struct row_user *user)
{
	STATEMENT s = NULL;
	struct row_user retired = *user;
	retired.bytes = NULL; /* still the caller's */
	retired.state = STATE_REVOKED;
	int rc = update(k->keyring, c, &retired);
	if (rc == 0)
		rc = statement_get(c, SQL_names_delete, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, user->id);
	rc = statement_run(s);
	return rc < 0 ? rc : record(k, c, actor, "user.retire", user->id, NULL, user->upn);
}

static int count(struct connection *c, enum sql sql, struct view id, uint32_t *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, sql, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, id);
	rc = statement_step(s);
	if (rc > 0)
		*ret = (uint32_t)column_number(s, 0);
	return rc < 0 ? rc : 0;
}

static int put_aliases(const struct keyring *keyring, struct connection *c, const struct row_user *user,
		       struct buf *ret)
{
	STATEMENT s = NULL;
	int rc = statement_get(c, SQL_names_of_user, &s);
	if (rc < 0)
		return rc;
	bind_text(s, 1, user->id);
	while ((rc = statement_step(s)) > 0) {
		ROW(name, name);
		rc = load_name(keyring, s, &name);
		const struct msg_string alias = { name.shown };
		if (rc == 0 && !view_equal(name.shown, user->upn))
			rc = put_string(ret, &alias);
		if (rc < 0)
			return rc;
	}
	return rc;
}

int users_put_facts(const struct keyring *keyring, struct connection *c, const struct row_user *user, struct buf *ret)
{
	BUF aliases = buf_new(MIB);
	struct msg_user_facts facts = { .id = user->id, .upn = user->upn };
	int rc = aliases ? put_aliases(keyring, c, user, aliases) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc == 0)
		rc = count(c, SQL_user_count_identities, user->id, &facts.identities);
	if (rc == 0)
		rc = count(c, SQL_user_count_devices, user->id, &facts.devices);
	if (rc < 0)
		return rc;
	facts.aliases = buf_view(aliases);
	return put_user_facts(ret, &facts);
}
