/* The table of connections: how many there are and from where, and which ones end when. */
#include "unit.h"

#include "front/deadline.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

struct pair {
	int client, server;
};

/* A connection over TCP: its state is what is looked at. */
static struct pair connected(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof address;
	int listening = socket(AF_INET, SOCK_STREAM, 0);
	struct pair p = { .client = socket(AF_INET, SOCK_STREAM, 0) };
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listening, 1), 0);
	assert_int_equal(getsockname(listening, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(p.client, (struct sockaddr *)&address, sizeof address), 0);
	p.server = accept(listening, NULL, NULL);
	assert_true(p.server >= 0);
	close(listening);
	return p;
}

static void hang_up(struct pair p)
{
	close(p.client);
	close(p.server);
}

/* Sends a byte, and waits until the other side has it. */
static void say(struct pair p)
{
	struct pollfd readable = { .fd = p.server, .events = POLLIN };
	assert_int_equal(send(p.client, "x", 1, 0), 1);
	assert_int_equal(poll(&readable, 1, -1), 1);
}

static bool is_shut_down(struct pair p)
{
	struct pollfd state = { .fd = p.server, .events = POLLRDHUP };
	poll(&state, 1, 0);
	return state.revents & POLLRDHUP;
}

static struct address v4(const char *text)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	assert_int_equal(inet_pton(AF_INET, text, &a.sin_addr), 1);
	return address_of((struct sockaddr *)&a);
}

static struct address v6(const char *text)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6 };
	assert_int_equal(inet_pton(AF_INET6, text, &a.sin6_addr), 1);
	return address_of((struct sockaddr *)&a);
}

TEST(who_has_waited_longest_makes_room_once)
{
	struct deadlines *d = deadline_table_new();
	struct pair a = connected(), b = connected(), c = connected();
	struct peer *peers[] = { deadline_add(d, a.server, v4("127.0.0.1"), 60),
				 deadline_add(d, b.server, v4("127.0.0.2"), 1),
				 deadline_add(d, c.server, v4("127.0.0.3"), 9) };
	assert_false(is_shut_down(a));
	poll(NULL, 0, 5);
	deadline_set(d, peers[0], PHASE_REQUEST, 1);
	poll(NULL, 0, 5);
	deadline_set(d, peers[1], PHASE_IDLE, 1);
	assert_true(deadline_end_longest(d));
	assert_true(is_shut_down(c));
	assert_true(deadline_end_longest(d));
	assert_true(is_shut_down(a));
	assert_false(is_shut_down(b));
	assert_true(deadline_end_longest(d));
	assert_true(is_shut_down(b));
	assert_false(deadline_end_longest(d));
	for (int i = 0; i < 3; i++)
		deadline_remove(d, peers[i]);
	deadline_table_free(d);
	hang_up(a);
	hang_up(b);
	hang_up(c);
}

TEST(connections_are_counted_by_address_and_an_ipv6_network_is_one)
{
	struct deadlines *d = deadline_table_new();
	struct peer *peers[6] = {
		deadline_add(d, -1, v4("127.0.0.1"), 60), deadline_add(d, -1, v6("::ffff:127.0.0.1"), 60),
		deadline_add(d, -1, v4("127.0.0.2"), 60), deadline_add(d, -1, v6("2001:db8:0:1::1"), 60),
		deadline_add(d, -1, v6("2001:db8:0:1:ffff::2"), 60), deadline_add(d, -1, v6("2001:db8:0:2::1"), 60),
	};
	assert_int_equal(deadline_count(d), 6);
	assert_int_equal(deadline_count_from(d, v4("127.0.0.1")), 2);
	assert_int_equal(deadline_count_from(d, v4("127.0.0.2")), 1);
	assert_int_equal(deadline_count_from(d, v4("127.0.0.3")), 0);
	assert_int_equal(deadline_count_from(d, v6("2001:db8:0:1::3")), 2);
	assert_int_equal(deadline_count_from(d, v6("2001:db8:0:2::3")), 1);
	deadline_remove(d, peers[0]);
	assert_int_equal(deadline_count_from(d, v4("127.0.0.1")), 1);
	for (size_t i = 1; i < COUNT_OF(peers); i++)
		deadline_remove(d, peers[i]);
	assert_int_equal(deadline_count(d), 0);
	assert_int_equal(deadline_count_from(d, v4("127.0.0.1")), 0);
	deadline_table_free(d);
}

/* More than there are places, so that places are shared; taken out in another order than they came. */
TEST(ten_thousand_connections_of_a_hundred_addresses_are_counted_right)
{
	enum { COUNT = 10000, ADDRESSES = 100 };
	static struct peer *peers[COUNT];
	struct deadlines *d = deadline_table_new();
	char text[32];
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(text, sizeof text, "10.0.0.%u", i % ADDRESSES);
		peers[i] = deadline_add(d, -1, v4(text), 60);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		unsigned at = i * 7919 % COUNT; /* a prime: each once */
		snprintf(text, sizeof text, "10.0.0.%u", at % ADDRESSES);
		unsigned before = deadline_count_from(d, v4(text));
		deadline_remove(d, peers[at]);
		assert_int_equal(deadline_count_from(d, v4(text)), before - 1);
		assert_int_equal(deadline_count(d), COUNT - 1 - i);
	}
	deadline_table_free(d);
}

TEST(a_sweep_ends_those_whose_time_is_over_and_no_other)
{
	struct deadlines *d = deadline_table_new();
	struct pair late = connected(), early = connected();
	struct peer *a = deadline_add(d, late.server, v4("127.0.0.1"), 0);
	struct peer *b = deadline_add(d, early.server, v4("127.0.0.1"), 3600);
	deadline_sweep(d);
	assert_true(is_shut_down(late));
	assert_false(is_shut_down(early));
	deadline_set(d, b, PHASE_REQUEST, 0);
	deadline_sweep(d);
	assert_true(is_shut_down(early));
	deadline_remove(d, a);
	deadline_remove(d, b);
	deadline_table_free(d);
	hang_up(late);
	hang_up(early);
}

/* One connection in this phase; sent: a byte came, read: and was taken out by the HTTP library. */
static bool ends(enum phase phase, bool sent, bool read, bool all)
{
	struct deadlines *d = deadline_table_new();
	struct pair p = connected();
	char byte;
	struct peer *peer = deadline_add(d, p.server, v4("127.0.0.1"), 3600);
	deadline_set(d, peer, phase, 3600);
	if (sent)
		say(p);
	if (read)
		assert_int_equal(recv(p.server, &byte, 1, 0), 1);
	deadline_end_idle(d, all);
	bool ended = is_shut_down(p);
	deadline_remove(d, peer);
	deadline_table_free(d);
	hang_up(p);
	return ended;
}

TEST(at_the_end_an_idle_connection_is_ended_unless_its_next_request_has_come)
{
	assert_true(ends(PHASE_IDLE, false, false, false));
	assert_true(ends(PHASE_IDLE, true, true, false)); /* the byte was of the request before */
	assert_false(ends(PHASE_IDLE, true, false, false));
	assert_false(ends(PHASE_IDLE, true, false, true));
}

TEST(at_the_end_a_connection_that_never_said_a_word_is_ended_and_one_that_began_is_not)
{
	assert_false(ends(PHASE_GREETING, false, false, false));
	assert_true(ends(PHASE_GREETING, false, false, true));
	assert_false(ends(PHASE_GREETING, true, false, true));
	assert_false(ends(PHASE_GREETING, true, true, true));
}

TEST(at_the_end_a_request_that_was_begun_stays)
{
	assert_false(ends(PHASE_REQUEST, false, false, true));
	assert_false(ends(PHASE_REQUEST, true, true, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_has_waited_longest_makes_room_once),
		cmocka_unit_test(connections_are_counted_by_address_and_an_ipv6_network_is_one),
		cmocka_unit_test(ten_thousand_connections_of_a_hundred_addresses_are_counted_right),
		cmocka_unit_test(a_sweep_ends_those_whose_time_is_over_and_no_other),
		cmocka_unit_test(at_the_end_an_idle_connection_is_ended_unless_its_next_request_has_come),
		cmocka_unit_test(at_the_end_a_connection_that_never_said_a_word_is_ended_and_one_that_began_is_not),
		cmocka_unit_test(at_the_end_a_request_that_was_begun_stays),
	};
	return RUN(tests);
}
