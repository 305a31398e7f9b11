/* The keeper's connections to openers, with openers of the test's own: the spare, its age, how many there are, and the
 * pace at which the keeper connects when they end at once. The clock is the test's too (Makefile: --wrap). */
#include "unit.h"

#include "frame.h"
#include "keeper/openers.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int64_t __real_clock_ms(void);
int64_t __wrap_clock_ms(void);

static atomic_llong ahead_ms, stopped_at_ms; /* 0: it goes */

int64_t __wrap_clock_ms(void)
{
	return stopped_at_ms ? stopped_at_ms : __real_clock_ms() + ahead_ms;
}

enum { SECOND = 1000, WAIT_MS = 20 * SECOND };

/* ---- openers of the test's own ---- */

static struct {
	char folder[32];
	int sockets[2];
	atomic_bool end_at_once, answer_nothing, hold;
	atomic_uint connections, open, pings, requests, held;
} fake;

static bool answer(int fd, uint8_t verb)
{
	const struct msg_error wrong = { .fault = FAULT_WRONG_PASSWORD, .detail = view_text("no") };
	BUF b = buf_of(KIB);
	for (atomic_fetch_add(&fake.held, 1); verb != VERB_PING && fake.hold;)
		poll(NULL, 0, 1);
	atomic_fetch_sub(&fake.held, 1);
	frame_begin(b, VERB_STARTED);
	int rc = frame_send(fd, b, -1);
	frame_begin(b, verb == VERB_PING ? verb : (uint8_t)VERB_ERROR);
	if (verb != VERB_PING)
		put_error(b, &wrong);
	atomic_fetch_add(verb == VERB_PING ? &fake.pings : &fake.requests, 1);
	return rc == 0 && frame_send(fd, b, -1) == 0;
}

static void *opener_main(void *arg)
{
	int fd = (int)(intptr_t)arg;
	uint8_t verb;
	struct view fields;
	BUF b = buf_of(KIB);
	while (!fake.end_at_once && frame_receive(fd, b, KIB, -1, &verb, &fields) == 0 && !fake.end_at_once)
		if (!fake.answer_nothing && !answer(fd, verb))
			break;
	close(fd);
	atomic_fetch_sub(&fake.open, 1);
	return NULL;
}

static void *gate_main(void *arg)
{
	for (;;) {
		pthread_t thread;
		int fd = accept(*(int *)arg, NULL, NULL);
		if (fd < 0)
			return NULL;
		atomic_fetch_add(&fake.connections, 1);
		atomic_fetch_add(&fake.open, 1);
		pthread_create(&thread, NULL, opener_main, (void *)(intptr_t)fd);
		pthread_detach(thread);
	}
}

static int listen_as(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.sock", fake.folder, name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/* One gate for the whole run: the socket of the kind that is asked. */
static int open_gates(void **state)
{
	static const char *const names[] = { "opener-pfx", "opener-csr" };
	pthread_t thread;
	(void)state;
	strcpy(fake.folder, "/tmp/test-openers-XXXXXX");
	assert_non_null(mkdtemp(fake.folder));
	for (size_t i = 0; i < 2; i++) {
		fake.sockets[i] = listen_as(names[i]);
		pthread_create(&thread, NULL, gate_main, &fake.sockets[i]);
		pthread_detach(thread);
	}
	return 0;
}

static int close_gates(void **state)
{
	char path[64];
	(void)state;
	snprintf(path, sizeof path, "%s/opener-pfx.sock", fake.folder);
	unlink(path);
	snprintf(path, sizeof path, "%s/opener-csr.sock", fake.folder);
	unlink(path);
	return rmdir(fake.folder);
}

/* ---- a keeper's side ---- */

struct fixture {
	struct config config;
	struct counters counters;
	struct openers *openers;
};

static int make(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	assert_non_null(f);
	config_init(&f->config);
	strcpy(f->config.runtime, fake.folder);
	assert_done(openers_new(&f->config, &f->counters, &f->openers));
	fake.end_at_once = fake.answer_nothing = fake.hold = false;
	fake.connections = fake.pings = fake.requests = 0;
	ahead_ms = stopped_at_ms = 0; /* for what waits in frame.c, where the clock is the real one */
	*state = f;
	return 0;
}

static int drop(void **state)
{
	struct fixture *f = *state;
	openers_free(f->openers);
	free(f);
	for (int ms = 0; fake.open > 0 && ms < WAIT_MS; ms++)
		poll(NULL, 0, 1);
	return fake.open > 0 ? -1 : 0;
}

static int check(struct fixture *f)
{
	return openers_check(f->openers, SOCKET_PFX_OPENER);
}

/* A request with this token; what the fake opener says to it, or why it did not get there. */
static int ask(struct fixture *f, const char *token)
{
	BUF request = buf_of(KIB);
	BUF reply = buf_of(KIB);
	struct view fields;
	frame_begin(request, VERB_OPEN_PFX);
	return openers_pfx(f->openers, view_text(token), request, reply, &fields);
}

static void wait_for(atomic_uint *number, unsigned value)
{
	for (int ms = 0; *number != value && ms < WAIT_MS; ms++)
		poll(NULL, 0, 1);
	assert_int_equal(*number, value);
}

/* ---- the spare ---- */

TEST(a_check_connects_a_spare_and_the_next_one_asks_the_same)
{
	struct fixture *f = *state;
	assert_int_equal(openers_count(f->openers), 0);
	for (unsigned n = 1; n <= 20; n++) {
		assert_done(check(f));
		assert_int_equal(fake.pings, n);
	}
	assert_int_equal(fake.connections, 1);
	assert_int_equal(openers_count(f->openers), 1);
	assert_done(openers_check(f->openers, SOCKET_CSR_OPENER));
	assert_int_equal(openers_count(f->openers), 2);
}

TEST(a_request_takes_the_spare_and_leaves_another)
{
	struct fixture *f = *state;
	assert_done(check(f));
	assert_fault(ask(f, "a"), WRONG_PASSWORD);
	wait_for(&fake.connections, 2); /* one that served a, and a spare */
	assert_fault(ask(f, "a"), WRONG_PASSWORD);
	assert_fault(ask(f, "a"), WRONG_PASSWORD);
	assert_int_equal(fake.connections, 2);
	assert_done(check(f));
	assert_int_equal(fake.connections, 2);
}

TEST(a_spare_that_is_old_is_replaced_before_it_ends_itself)
{
	struct fixture *f = *state;
	assert_done(check(f));
	ahead_ms += 49 * SECOND;
	assert_done(check(f));
	assert_int_equal(fake.connections, 1);
	ahead_ms += 2 * SECOND; /* an opener's own end is at 60 */
	assert_done(check(f));
	assert_int_equal(fake.connections, 2);
	wait_for(&fake.open, 1);
}

TEST(a_spare_that_was_lost_is_replaced_and_that_is_no_failure)
{
	struct fixture *f = *state;
	assert_done(check(f));
	fake.end_at_once = true; /* at the next ping */
	assert_int_not_equal(check(f), 0);
	fake.end_at_once = false;
	wait_for(&fake.open, 0);
	ahead_ms += SECOND;
	assert_done(check(f));
	unsigned connections = fake.connections;
	assert_done(check(f));
	assert_int_equal(fake.connections, connections);
}

TEST(one_that_answers_nothing_is_given_up)
{
	struct fixture *f = *state;
	fake.answer_nothing = true;
	assert_fault(check(f), TIMED_OUT); /* after the five seconds that a ping may take */
	assert_int_equal(openers_count(f->openers), 0);
	wait_for(&fake.open, 0);
}

/* ---- how many ---- */

TEST(there_are_never_more_than_may_work_and_one_spare)
{
	static const char *const tokens[] = { "a", "b", "c", "d", "e", "a", "b", "c", "d", "e" };
	struct fixture *f = *state;
	f->config.pfx_openers = 2;
	for (size_t i = 0; i < COUNT_OF(tokens); i++) {
		assert_fault(ask(f, tokens[i]), WRONG_PASSWORD);
		assert_true(openers_count(f->openers) <= 3);
	}
	assert_done(check(f));
	assert_int_equal(openers_count(f->openers), 3);
	wait_for(&fake.open, 3);
}

struct asker {
	struct fixture *f;
	const char *token;
	pthread_t thread;
	int rc;
};

static void *ask_main(void *arg)
{
	struct asker *a = arg;
	a->rc = ask(a->f, a->token);
	return NULL;
}

TEST(while_as_many_work_as_may_what_others_left_is_closed_for_them)
{
	struct fixture *f = *state;
	struct asker askers[2] = { { .f = f, .token = "c" }, { .f = f, .token = "d" } };
	f->config.pfx_openers = 2;
	assert_fault(ask(f, "a"), WRONG_PASSWORD);
	assert_fault(ask(f, "b"), WRONG_PASSWORD);
	assert_int_equal(openers_count(f->openers), 3); /* a's, b's, and the spare */
	fake.hold = true; /* until all of them are there, or the test has failed */
	for (size_t i = 0; i < 2; i++)
		pthread_create(&askers[i].thread, NULL, ask_main, &askers[i]);
	wait_for(&fake.held, 2);
	assert_int_equal(openers_count(f->openers), 3);
	wait_for(&fake.open, 3);
	fake.hold = false;
	for (size_t i = 0; i < 2; i++) {
		pthread_join(askers[i].thread, NULL);
		assert_fault(askers[i].rc, WRONG_PASSWORD);
	}
}

TEST(at_the_most_that_the_configuration_allows_every_opener_has_a_place)
{
	enum { MOST = 64 };
	struct fixture *f = *state;
	char token[24];
	f->config.pfx_openers = MOST;
	for (unsigned n = 0; n < 2 * MOST; n++) {
		snprintf(token, sizeof token, "token-%u", n);
		assert_fault(ask(f, token), WRONG_PASSWORD);
	}
	assert_int_equal(openers_count(f->openers), MOST + 1);
	wait_for(&fake.open, MOST + 1);
}

TEST(a_reload_to_fewer_closes_what_is_too_many)
{
	struct fixture *f = *state;
	f->config.pfx_openers = 4;
	assert_fault(ask(f, "a"), WRONG_PASSWORD);
	assert_fault(ask(f, "b"), WRONG_PASSWORD);
	assert_fault(ask(f, "c"), WRONG_PASSWORD);
	assert_int_equal(openers_count(f->openers), 4);
	f->config.pfx_openers = 1;
	assert_fault(ask(f, "c"), WRONG_PASSWORD);
	assert_int_equal(openers_count(f->openers), 2);
}

/* ---- the pace ---- */

/* Asks again and again, as requests that come without a pause would, until so many connections were made. */
static void insist(struct fixture *f, unsigned connections)
{
	for (int64_t begun = __real_clock_ms(); fake.connections < connections;) {
		assert_true(__real_clock_ms() - begun < WAIT_MS);
		ask(f, "a");
	}
}

TEST(openers_that_end_at_once_are_connected_to_ever_more_slowly)
{
	/* The pauses before the second to the sixth: 20, 40, 80, 160 and 320 ms. */
	struct fixture *f = *state;
	int64_t begun = __real_clock_ms();
	fake.end_at_once = true;
	insist(f, 6);
	assert_true(__real_clock_ms() - begun >= 620);
	/* And then nobody waits so long: who asks is told at once. */
	unsigned connections = fake.connections;
	stopped_at_ms = __real_clock_ms();
	for (int n = 0; n < 50; n++)
		assert_fault(ask(f, "a"), UNAVAILABLE);
	assert_int_equal(fake.connections, connections);
}

TEST(the_slowest_pace_is_one_in_five_seconds)
{
	struct fixture *f = *state;
	fake.end_at_once = true;
	for (int n = 0; n < 40; n++) {
		ask(f, "a");
		ahead_ms += 5 * SECOND;
	}
	unsigned connections = fake.connections;
	assert_true(connections >= 40);
	ahead_ms += 5 * SECOND;
	assert_int_not_equal(check(f), 0);
	assert_int_equal(fake.connections, connections + 1);
	ahead_ms += 4 * SECOND;
	assert_fault(check(f), UNAVAILABLE);
	assert_int_equal(fake.connections, connections + 1);
}

TEST(once_one_answers_nobody_waits_any_more)
{
	struct fixture *f = *state;
	fake.end_at_once = true;
	for (int n = 0; n < 10; n++) {
		ask(f, "a");
		ahead_ms += 5 * SECOND;
	}
	fake.end_at_once = false;
	assert_done(check(f));
	stopped_at_ms = __real_clock_ms() + ahead_ms;
	for (char token[] = "a"; *token < 'k'; ++*token) /* each takes the spare, and another takes its place */
		assert_fault(ask(f, token), WRONG_PASSWORD);
	assert_int_equal(fake.requests, 10);
}

/* The sentence of a refused file must reach its administrator, whatever became of the next spare. */
TEST(what_an_opener_says_is_told_also_where_no_other_can_be_had)
{
	struct fixture *f = *state;
	char socket_path[64], away[64];
	assert_done(check(f));
	snprintf(socket_path, sizeof socket_path, "%s/opener-pfx.sock", fake.folder);
	snprintf(away, sizeof away, "%s/away", fake.folder);
	assert_int_equal(rename(socket_path, away), 0);
	assert_fault(ask(f, "a"), WRONG_PASSWORD);
	assert_string_equal(fault_detail(), "no");
	assert_int_equal(rename(away, socket_path), 0);
}

TEST(a_socket_that_is_not_there_is_tried_as_slowly)
{
	struct fixture *f = *state;
	strcpy(f->config.runtime, "/nowhere");
	openers_free(f->openers);
	assert_done(openers_new(&f->config, &f->counters, &f->openers));
	int64_t begun = __real_clock_ms();
	assert_fault(ask(f, "a"), UNAVAILABLE); /* four tries: 20, 40 and 80 ms between them */
	assert_true(__real_clock_ms() - begun >= 140);
}

#define openers_test(name) cmocka_unit_test_setup_teardown(name, make, drop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		openers_test(a_check_connects_a_spare_and_the_next_one_asks_the_same),
		openers_test(a_request_takes_the_spare_and_leaves_another),
		openers_test(a_spare_that_is_old_is_replaced_before_it_ends_itself),
		openers_test(a_spare_that_was_lost_is_replaced_and_that_is_no_failure),
		openers_test(one_that_answers_nothing_is_given_up),
		openers_test(there_are_never_more_than_may_work_and_one_spare),
		openers_test(while_as_many_work_as_may_what_others_left_is_closed_for_them),
		openers_test(at_the_most_that_the_configuration_allows_every_opener_has_a_place),
		openers_test(a_reload_to_fewer_closes_what_is_too_many),
		openers_test(openers_that_end_at_once_are_connected_to_ever_more_slowly),
		openers_test(the_slowest_pace_is_one_in_five_seconds),
		openers_test(once_one_answers_nobody_waits_any_more),
		openers_test(what_an_opener_says_is_told_also_where_no_other_can_be_had),
		openers_test(a_socket_that_is_not_there_is_tried_as_slowly),
	};
	return cmocka_run_group_tests(tests, open_gates, close_gates);
}
