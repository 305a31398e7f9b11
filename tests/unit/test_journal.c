/* What is sent to the journal for a record, entry by entry: sd_journal_sendv() is this file's, and so is access(), which
 * tells whether there is a socket. */
#include "logged.h"

#include "journal.h"
#include "protocol.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>

/* Not with systemd's header, which makes another name of it. */
int sd_journal_sendv(const struct iovec *fields, int count);

/* The last entry, and what sending it returned. */
static struct {
	struct buf *text; /* of all fields, one after the other */
	size_t at[JOURNAL_FIELDS_MAX + 1];
	int count, entries, result;
} sent;

int sd_journal_sendv(const struct iovec *fields, int count)
{
	assert_in_range(count, 1, JOURNAL_FIELDS_MAX);
	buf_reset(sent.text);
	for (int i = 0; i < count; i++) {
		sent.at[i] = buf_len(sent.text);
		buf_put(sent.text, fields[i].iov_base, fields[i].iov_len);
	}
	assert_true(buf_ok(sent.text));
	sent.at[count] = buf_len(sent.text);
	sent.count = count;
	sent.entries++;
	return sent.result;
}

static bool socket_is_there;

int access(const char *path, int mode)
{
	if (strcmp(path, JOURNAL_SOCKET) == 0)
		return socket_is_there ? 0 : -1;
	return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

static struct view field_at(int i)
{
	return view_of(buf_data(sent.text) + sent.at[i], sent.at[i + 1] - sent.at[i]);
}

/* How many fields are this text. */
static int count_of(struct view text)
{
	int n = 0;
	for (int i = 0; i < sent.count; i++)
		n += view_equal(field_at(i), text);
	return n;
}

/* How many fields have this name. */
static int named(const char *name)
{
	int n = 0;
	size_t len = strlen(name);
	for (int i = 0; i < sent.count; i++) {
		struct view field = field_at(i);
		n += field.len > len && memcmp(field.p, name, len) == 0 && field.p[len] == '=';
	}
	return n;
}

#define assert_sent(text) assert_int_equal(count_of(VIEW(text)), 1)

/* Runs the statement where standard error is the journal. */
#define WITH_JOURNAL(statement) LOGGED(say_that_stderr_is_the_journal(0); journal_start(); statement)

TEST(an_entry_has_message_priority_identifier_id_number_and_fields)
{
	const struct log_field fields[] = { { "user", VIEW("ann"), LOG_PERSON }, { "empty", VIEW(""), LOG_PLAIN },
					    { "request_id", VIEW("7-8"), LOG_PLAIN }, { 0 } };
	WITH_JOURNAL(log_event(EVENT_REQUEST_DONE, fields));
	assert_string_equal(logged, "");
	assert_int_equal(sent.entries, 1);
	assert_int_equal(sent.count, 7);
	assert_sent("MESSAGE=2000 request success user=\"ann\" request_id=\"7-8\"");
	assert_sent("PRIORITY=6");
	assert_sent("SYSLOG_IDENTIFIER=pfxd-front");
	assert_sent("MESSAGE_ID=d7ccfab7b1b64dbea57838e159708dc9");
	assert_sent("PFXD_EVENT=2000");
	assert_sent("PFXD_USER=ann");
	assert_sent("PFXD_REQUEST_ID=7-8");
}

TEST(a_detail_is_a_field_too)
{
	WITH_JOURNAL(log_detail(EVENT_NOT_STARTED, "no socket named %s", "admin"));
	assert_sent("MESSAGE=1002 can not start: no socket named admin");
	assert_sent("PRIORITY=2");
	assert_sent("PFXD_DETAIL=no socket named admin");
}

TEST(what_is_no_event_has_no_message_id)
{
	log_set(LOG_LEVEL_DEBUG, true);
	WITH_JOURNAL(log_line(LOG_LEVEL_DEBUG, "x"));
	assert_int_equal(sent.count, 3);
	assert_sent("MESSAGE=x");
	assert_sent("PRIORITY=7");
}

TEST(the_priority_is_that_of_the_record_not_that_of_the_table)
{
	WITH_JOURNAL(log_event_at(LOG_LEVEL_ERROR, EVENT_REQUEST_FAILED, NULL));
	assert_sent("PRIORITY=3");
}

TEST(names_of_people_are_in_no_field_and_not_in_the_message_where_they_are_off)
{
	const struct log_field fields[] = { { "user", VIEW("ann"), LOG_PERSON }, { "device", VIEW("7"), LOG_PLAIN },
					    { 0 } };
	log_set(LOG_LEVEL_INFO, false);
	WITH_JOURNAL(log_event(EVENT_REENCRYPTED, fields));
	assert_int_equal(named("PFXD_USER"), 0);
	assert_sent("PFXD_DEVICE=7");
	assert_null(memmem(buf_data(sent.text), buf_len(sent.text), "ann", 3));
}

/* Each value is a field of its own, whatever is in it; the message has it escaped. */
TEST(a_value_that_is_binary_or_looks_like_a_field_forges_nothing)
{
	const struct log_field fields[] = { { "user", VIEW("ann\nPFXD_EVENT=1000\n\0\xff=\""), LOG_PERSON },
					    { "device", VIEW("7"), LOG_PLAIN }, { 0 } };
	WITH_JOURNAL(log_event(EVENT_REENCRYPTED, fields));
	assert_int_equal(sent.count, 7);
	assert_sent("PFXD_USER=ann\nPFXD_EVENT=1000\n\0\xff=\"");
	assert_sent("PFXD_EVENT=2050");
	assert_sent("MESSAGE=2050 re-encrypted user=\"ann\\x0aPFXD_EVENT=1000\\x0a\\x00\\xff=\\\"\" device=\"7\"");
}

static void log_words(size_t count)
{
	BUF words = buf_of(MIB);
	for (size_t i = 0; i < count; i++)
		buf_printf(words, "%s%040zu", i ? " " : "", i);
	const struct log_field fields[] = { { "thumbprint", buf_view(words), LOG_WORDS }, { 0 } };
	log_event(EVENT_REENCRYPTED, fields);
}

TEST(all_identities_that_a_user_may_have_are_a_field_each)
{
	WITH_JOURNAL(log_words(IDENTITIES_PER_USER_MAX));
	assert_string_equal(logged, "");
	assert_int_equal(named("PFXD_THUMBPRINT"), IDENTITIES_PER_USER_MAX);
	assert_sent("PFXD_THUMBPRINT=0000000000000000000000000000000000000000");
	assert_sent("PFXD_THUMBPRINT=0000000000000000000000000000000000000499");
}

TEST(what_has_more_fields_than_an_entry_may_have_becomes_a_line)
{
	enum { OWN = 5 };
	WITH_JOURNAL(log_words(JOURNAL_FIELDS_MAX - OWN));
	assert_int_equal(sent.entries, 1);
	assert_int_equal(sent.count, JOURNAL_FIELDS_MAX);
	WITH_JOURNAL(log_words(JOURNAL_FIELDS_MAX - OWN + 1));
	assert_int_equal(sent.entries, 1);
	assert_non_null(strstr(logged, "2050 re-encrypted thumbprint="));
}

/* The message takes of the value what goes into a line, so the rest of the entry is the same for every long one. */
TEST(what_is_longer_than_an_entry_may_be_becomes_a_line)
{
	char text[JOURNAL_ENTRY_MAX_BYTES];
	memset(text, 'x', sizeof text);
	struct log_field fields[] = { { "a", view_of(text, LOG_LINE_MAX), LOG_PLAIN }, { 0 } };
	WITH_JOURNAL(log_event(EVENT_SERVING, fields));
	size_t most = LOG_LINE_MAX + JOURNAL_ENTRY_MAX_BYTES - buf_len(sent.text);
	fields[0].value.len = most;
	WITH_JOURNAL(log_event(EVENT_SERVING, fields));
	assert_int_equal(sent.entries, 2);
	assert_int_equal(buf_len(sent.text), JOURNAL_ENTRY_MAX_BYTES);
	fields[0].value.len = most + 1;
	WITH_JOURNAL(log_event(EVENT_SERVING, fields));
	assert_int_equal(sent.entries, 2);
	assert_non_null(strstr(logged, "1000 serving a=\"xxx"));
}

TEST(what_the_journal_does_not_take_becomes_a_line)
{
	sent.result = -1;
	WITH_JOURNAL(log_event(EVENT_SERVING, NULL));
	assert_int_equal(sent.entries, 1);
	assert_string_equal(logged, "pfxd-front (devices): 1000 serving\n");
}

TEST(where_standard_error_is_not_the_journal_nothing_is_sent_there)
{
	LOGGED(journal_start(); log_event(EVENT_SERVING, NULL));
	assert_string_equal(logged, "pfxd-front (devices): 1000 serving\n");
	LOGGED(say_that_stderr_is_the_journal(1); journal_start(); log_event(EVENT_SERVING, NULL));
	assert_string_equal(logged, "pfxd-front (devices): 1000 serving\n");
	socket_is_there = false;
	LOGGED(say_that_stderr_is_the_journal(0); journal_start(); log_event(EVENT_SERVING, NULL));
	assert_string_equal(logged, "pfxd-front (devices): 1000 serving\n");
	assert_int_equal(sent.entries, 0);
}

static int fresh(void **state)
{
	(void)state;
	unsetenv("JOURNAL_STREAM");
	log_set_sink(NULL);
	socket_is_there = true;
	log_init("pfxd-front (devices)", LOG_LEVEL_INFO, true);
	buf_free(sent.text);
	memset(&sent, 0, sizeof sent);
	sent.text = buf_of(MIB);
	return 0;
}

static int free_last(void **state)
{
	(void)state;
	buf_free(sent.text);
	return 0;
}

#define T(name) cmocka_unit_test_setup(name, fresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_entry_has_message_priority_identifier_id_number_and_fields),
		T(a_detail_is_a_field_too),
		T(what_is_no_event_has_no_message_id),
		T(the_priority_is_that_of_the_record_not_that_of_the_table),
		T(names_of_people_are_in_no_field_and_not_in_the_message_where_they_are_off),
		T(a_value_that_is_binary_or_looks_like_a_field_forges_nothing),
		T(all_identities_that_a_user_may_have_are_a_field_each),
		T(what_has_more_fields_than_an_entry_may_have_becomes_a_line),
		T(what_is_longer_than_an_entry_may_be_becomes_a_line),
		T(what_the_journal_does_not_take_becomes_a_line),
		T(where_standard_error_is_not_the_journal_nothing_is_sent_there),
	};
	return cmocka_run_group_tests(tests, NULL, free_last);
}
