/* The keeper's sockets: how it asks itself whether it still answers, and an end that takes nothing out of the queues that
 * it could not answer. */
#include "keeper_fixture.h"

#include "frame.h"
#include "keeper/pulse.h"
#include "keeper/serve.h"
#include "protocol.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- a database that can be made to wait (Makefile: --wrap) ---- */

static atomic_bool blocked, broken;
static atomic_uint entered;

int __real_db_read(struct db *db, struct connection **ret);
int __wrap_db_read(struct db *db, struct connection **ret);

int __wrap_db_read(struct db *db, struct connection **ret)
{
	atomic_fetch_add(&entered, 1);
	while (blocked)
		poll(NULL, 0, 1);
	return broken ? fail(FAULT_UNAVAILABLE, "the disk is gone") : __real_db_read(db, ret);
}

/* ---- a server on two sockets in the fixture's folder ---- */

struct serving {
	struct fixture *f;
	struct server *server;
	int device, admin;
};

static int listen_as(struct fixture *f, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.sock", f->folder, name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* They last as long as the process, as the keeper's does. */
static struct server *servers[16];
static size_t server_count;

static void serve(struct serving *s)
{
	struct keeper *k = &s->f->keeper;
	k->config.device_front_user[0] = k->config.admin_front_user[0] = '\0';
	assert_done(serve_start(k, s->device, s->admin, -1, &s->server));
	servers[server_count++] = s->server;
}

static struct serving begin(struct fixture *f)
{
	struct serving s = { .f = f, .device = listen_as(f, "device"), .admin = listen_as(f, "admin") };
	serve(&s);
	return s;
}

static void end(struct serving *s)
{
	char path[64];
	close(s->device);
	close(s->admin);
	snprintf(path, sizeof path, "%s/device.sock", s->f->folder);
	unlink(path);
	snprintf(path, sizeof path, "%s/admin.sock", s->f->folder);
	unlink(path);
}

static int connect_to(struct fixture *f, const char *name)
{
	char path[64];
	snprintf(path, sizeof path, "%s/%s.sock", f->folder, name);
	int fd = unix_connect(path);
	assert_true(fd >= 0);
	return fd;
}

static bool has_something_to_read(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, ms) == 1;
}

/* ---- the pulse ---- */

enum { LONG_MS = 20 * 1000, SHORT_MS = 300 };

TEST(the_keeper_answers_itself_out_of_the_database)
{
	struct serving s = begin(*state);
	struct pulse p = { .server = s.server, .fd = -1 };
	assert_false(pulse_has_answered(&p)); /* it was not asked */
	for (int turn = 0; turn < 3; turn++) {
		pulse_begin(&p);
		assert_true(has_something_to_read(p.fd, LONG_MS));
		assert_true(pulse_has_answered(&p));
		assert_int_equal(p.fd, -1);
		assert_true(pulse_has_answered(&p));
	}
	assert_true(serve_stop(s.server, 20));
	end(&s);
}

TEST(while_the_database_does_not_answer_the_keeper_has_none_and_is_not_asked_again)
{
	struct serving s = begin(*state);
	struct pulse p = { .server = s.server, .fd = -1 };
	blocked = true;
	pulse_begin(&p);
	int asked = p.fd;
	for (int ms = 0; entered == 0 && ms < LONG_MS; ms++)
		poll(NULL, 0, 1);
	assert_int_equal(entered, 1);
	assert_false(pulse_has_answered(&p));
	pulse_begin(&p);
	assert_int_equal(p.fd, asked);
	assert_false(pulse_has_answered(&p));
	assert_int_equal(entered, 1);
	blocked = false;
	assert_true(has_something_to_read(p.fd, LONG_MS));
	assert_true(pulse_has_answered(&p));
	assert_true(serve_stop(s.server, 20));
	end(&s);
}

/* A disk that is gone is not mended by another keeper: it must not become a loop of restarts. */
TEST(a_database_that_can_not_be_read_is_an_answer_too)
{
	struct serving s = begin(*state);
	struct pulse p = { .server = s.server, .fd = -1 };
	broken = true;
	pulse_begin(&p);
	assert_true(has_something_to_read(p.fd, LONG_MS));
	assert_true(pulse_has_answered(&p));
	assert_int_equal(entered, 1);
	assert_true(serve_stop(s.server, 20));
	end(&s);
}

TEST(nobody_else_may_ask_for_what_the_keeper_asks_itself)
{
	static const char *const names[] = { "device", "admin" };
	struct serving s = begin(*state);
	uint8_t verb;
	struct view fields;
	for (size_t i = 0; i < 2; i++) {
		FD fd = connect_to(s.f, names[i]);
		BUF frame = buf_of(KIB);
		frame_begin(frame, VERB_PING);
		assert_done(frame_send(fd, frame, -1));
		assert_fault(frame_receive(fd, frame, KIB, -1, &verb, &fields), CLOSED);
	}
	assert_int_equal(entered, 0);
	assert_true(serve_stop(s.server, 20));
	end(&s);
}

/* ---- who may connect ---- */

TEST(a_keeper_whose_configuration_lets_nobody_known_connect_does_not_serve)
{
	struct fixture *f = *state;
	char *const keys[] = { f->keeper.config.device_front_user, f->keeper.config.admin_front_user };
	for (size_t i = 0; i < 2; i++) {
		struct serving s = { .f = f, .device = listen_as(f, "device"), .admin = listen_as(f, "admin") };
		keys[1 - i][0] = '\0';
		strcpy(keys[i], "nobody-is-called-so");
		FD front = connect_to(f, "device");
		assert_fault(serve_start(&f->keeper, s.device, s.admin, -1, &s.server), MALFORMED_REQUEST);
		servers[server_count++] = s.server;
		assert_non_null(strstr(fault_detail(), "there is no user nobody-is-called-so"));
		/* Nothing was taken off the queue. */
		FD next = accept(s.device, NULL, NULL);
		assert_true(next >= 0);
		end(&s);
	}
}

/* ---- the queue ---- */

TEST(a_request_that_its_front_gave_up_before_a_keeper_came_is_not_done)
{
	struct fixture *f = *state;
	uint8_t verb = 0;
	struct view fields;
	const struct msg_device question = { .request_id = view_text("request"), .fingerprint = view_text("none") };
	BUF frame = buf_of(KIB);
	struct serving s = { .f = f, .device = listen_as(f, "device"), .admin = listen_as(f, "admin") };
	int given_up = connect_to(f, "device");
	FD awaited = connect_to(f, "device");
	frame_begin(frame, VERB_CERTIFICATES);
	assert_done(put_device(frame, &question));
	assert_done(frame_send(given_up, frame, -1));
	assert_done(frame_send(awaited, frame, -1));
	close(given_up);
	serve(&s);
	assert_done(frame_receive(awaited, frame, KIB, clock_ms() + LONG_MS, &verb, &fields));
	assert_int_equal(verb, VERB_ERROR); /* nobody has that certificate */
	assert_true(serve_stop(s.server, 20));
	assert_int_equal(entered, 1);
	end(&s);
}

/* ---- the end ---- */

TEST(who_connects_while_the_keeper_ends_waits_for_the_next_one_and_nothing_of_it_is_lost)
{
	struct serving s = begin(*state);
	uint8_t verb = 0;
	struct view fields;
	BUF frame = buf_of(KIB);
	assert_true(serve_stop(s.server, 20));
	FD front = connect_to(s.f, "device");
	frame_begin(frame, VERB_HEALTH);
	assert_done(frame_send(front, frame, -1));
	assert_false(has_something_to_read(front, SHORT_MS)); /* neither an answer nor an end */
	FD next = accept(s.device, NULL, NULL);
	assert_true(next >= 0);
	assert_done(frame_receive(next, frame, KIB, -1, &verb, &fields));
	assert_int_equal(verb, VERB_HEALTH);
	end(&s);
}

TEST(a_request_that_was_sent_before_the_end_is_answered_and_then_the_connection_ends)
{
	struct serving s = begin(*state);
	struct pulse p = { .server = s.server, .fd = -1 };
	uint8_t verb = 0;
	struct view fields;
	BUF frame = buf_of(KIB);
	blocked = true;
	pulse_begin(&p);
	for (int ms = 0; entered == 0 && ms < LONG_MS; ms++)
		poll(NULL, 0, 1);
	assert_int_equal(entered, 1);
	assert_false(serve_stop(s.server, 0)); /* it still runs */
	blocked = false;
	assert_done(frame_receive(p.fd, frame, KIB, clock_ms() + LONG_MS, &verb, &fields));
	assert_int_equal(verb, VERB_PING);
	assert_fault(frame_receive(p.fd, frame, KIB, clock_ms() + LONG_MS, &verb, &fields), CLOSED);
	close(p.fd);
	end(&s);
}

static int begin_fixture(void **state)
{
	blocked = broken = false;
	entered = 0;
	return fixture_make(state);
}

#define serve_test(name) cmocka_unit_test_setup_teardown(name, begin_fixture, fixture_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		serve_test(the_keeper_answers_itself_out_of_the_database),
		serve_test(while_the_database_does_not_answer_the_keeper_has_none_and_is_not_asked_again),
		serve_test(a_database_that_can_not_be_read_is_an_answer_too),
		serve_test(nobody_else_may_ask_for_what_the_keeper_asks_itself),
		serve_test(a_keeper_whose_configuration_lets_nobody_known_connect_does_not_serve),
		serve_test(a_request_that_its_front_gave_up_before_a_keeper_came_is_not_done),
		serve_test(who_connects_while_the_keeper_ends_waits_for_the_next_one_and_nothing_of_it_is_lost),
		serve_test(a_request_that_was_sent_before_the_end_is_answered_and_then_the_connection_ends),
	};
	return RUN(tests);
}
