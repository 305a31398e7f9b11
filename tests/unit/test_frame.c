/* Frames over real sockets: whole ones, cut ones, slow ones and lying ones. */
#include "unit.h"

#include "frame.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { SOON_MS = 5000, NOW_MS = 50 };

/* What both ends of a test's connection are, and what was received. */
struct link {
	int near, far;
	struct buf *b;
	uint8_t verb;
	struct view fields;
};

static void link_done(struct link *l)
{
	close(l->near);
	if (l->far >= 0)
		close(l->far);
	buf_free(l->b);
}
#define LINK(name) __attribute__((cleanup(link_done))) struct link name = link_new()

static struct link link_new(void)
{
	int fds[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	return (struct link){ .near = fds[0], .far = fds[1], .b = buf_of(1 << 24) };
}

static int receive(struct link *l, size_t max, int64_t ms)
{
	return frame_receive(l->near, l->b, max, clock_ms() + ms, &l->verb, &l->fields);
}

static void write_raw(struct link *l, struct view bytes)
{
	assert_int_equal(write(l->far, bytes.p, bytes.len), bytes.len);
}

static int send_text(int fd, uint8_t verb, const char *text)
{
	BUF b = buf_of(1000);
	frame_begin(b, verb);
	buf_put_text(b, text);
	return frame_send(fd, b, clock_ms() + SOON_MS);
}

TEST(a_frame_arrives_with_verb_and_fields)
{
	LINK(l);
	assert_done(send_text(l.far, 17, "fields"));
	assert_done(receive(&l, 100, SOON_MS));
	assert_int_equal(l.verb, 17);
	assert_text(l.fields, "fields");
}

TEST(the_length_on_the_wire_counts_verb_and_fields)
{
	LINK(l);
	uint8_t raw[8];
	assert_done(send_text(l.far, 17, "abc"));
	assert_int_equal(read(l.near, raw, sizeof raw), 8);
	assert_memory_equal(raw, "\0\0\0\4\x11" "abc", 8);
}

TEST(frames_that_come_together_are_told_apart)
{
	LINK(l);
	assert_done(send_text(l.far, 1, "one"));
	assert_done(send_text(l.far, 2, ""));
	assert_done(receive(&l, 100, SOON_MS));
	assert_text(l.fields, "one");
	assert_done(receive(&l, 100, SOON_MS));
	assert_int_equal(l.verb, 2);
	assert_int_equal(l.fields.len, 0);
}

TEST(a_frame_of_the_most_bytes_is_taken_and_one_more_is_refused)
{
	LINK(l);
	assert_done(send_text(l.far, 1, "12345"));
	assert_done(receive(&l, 5, SOON_MS));
	assert_done(send_text(l.far, 1, "123456"));
	assert_fault(receive(&l, 5, SOON_MS), BAD_FRAME);
}

TEST(an_announced_length_is_judged_before_its_bytes_are_waited_for)
{
	LINK(l);
	write_raw(&l, VIEW("\xff\xff\xff\xff\x01"));
	assert_fault(receive(&l, 1 << 20, SOON_MS), BAD_FRAME);
}

TEST(a_frame_without_even_a_verb_is_refused)
{
	LINK(l);
	write_raw(&l, VIEW("\0\0\0\0\x01"));
	assert_fault(receive(&l, 100, SOON_MS), BAD_FRAME);
}

TEST(a_peer_that_is_done_closes_between_frames)
{
	LINK(l);
	close(l.far);
	l.far = -1;
	assert_fault(receive(&l, 100, SOON_MS), CLOSED);
}

TEST(a_peer_that_closes_inside_a_frame_is_closed_too)
{
	LINK(l);
	write_raw(&l, VIEW("\0\0\0\x09\x01" "1234"));
	close(l.far);
	l.far = -1;
	assert_fault(receive(&l, 100, SOON_MS), CLOSED);
}

TEST(a_peer_that_stops_inside_a_frame_runs_out_of_time)
{
	LINK(l);
	write_raw(&l, VIEW("\0\0\0\x09\x01" "1234"));
	int64_t began = clock_ms();
	assert_fault(receive(&l, 100, NOW_MS), TIMED_OUT);
	assert_in_range(clock_ms() - began, NOW_MS - 1, SOON_MS);
}

static void *trickle(void *arg)
{
	struct link *l = arg;
	static const char frame[] = "\0\0\0\3\7ab";
	for (const char *p = frame; p < frame + 7; p++) {
		usleep(2000);
		write_raw(l, view_of(p, 1));
	}
	return NULL;
}

TEST(a_frame_that_comes_byte_by_byte_in_time_is_whole)
{
	LINK(l);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, trickle, &l), 0);
	assert_done(receive(&l, 100, SOON_MS));
	assert_text(l.fields, "ab");
	pthread_join(thread, NULL);
}

static void *send_large(void *arg)
{
	struct link *l = arg;
	BUF b = buf_of(1 << 23);
	frame_begin(b, 1);
	memset(buf_reserve(b, 1 << 22), 'x', 1 << 22);
	return (void *)(intptr_t)frame_send(l->far, b, clock_ms() + SOON_MS);
}

TEST(a_frame_larger_than_the_sockets_buffer_arrives_whole)
{
	LINK(l);
	pthread_t thread;
	void *rc;
	assert_int_equal(pthread_create(&thread, NULL, send_large, &l), 0);
	assert_done(receive(&l, 1 << 22, SOON_MS));
	pthread_join(thread, &rc);
	assert_null(rc);
	assert_int_equal(l.fields.len, 1 << 22);
	assert_int_equal(l.fields.p[(1 << 22) - 1], 'x');
}

TEST(a_peer_that_does_not_read_runs_out_of_time)
{
	LINK(l);
	BUF b = buf_of(1 << 23);
	frame_begin(b, 1);
	buf_reserve(b, 1 << 22);
	memset((void *)(uintptr_t)(buf_data(b) + FRAME_HEADER_BYTES), 0, 1 << 22);
	assert_fault(frame_send(l.near, b, clock_ms() + NOW_MS), TIMED_OUT);
}

TEST(sending_to_a_peer_that_is_gone_is_an_error_and_no_signal)
{
	LINK(l);
	close(l.far);
	l.far = -1;
	assert_fault(send_text(l.near, 1, "x"), CLOSED);
}

TEST(a_frame_that_did_not_fit_its_buffer_is_never_sent)
{
	LINK(l);
	BUF b = buf_of(6);
	frame_begin(b, 1);
	buf_put_text(b, "12");
	assert_fault(frame_send(l.near, b, -1), INTERNAL);
	buf_reset(b);
	assert_fault(frame_send(l.near, b, -1), INTERNAL); /* not even begun */
	close(l.near);
	l.near = l.far;
	l.far = -1;
	assert_fault(receive(&l, 100, SOON_MS), CLOSED);
}

TEST(an_idle_connection_is_stale_when_the_peer_closed_or_spoke)
{
	LINK(quiet);
	LINK(closed);
	LINK(spoke);
	close(closed.far);
	closed.far = -1;
	write_raw(&spoke, VIEW("?"));
	assert_false(connection_is_stale(quiet.near));
	assert_true(connection_is_stale(closed.near));
	assert_true(connection_is_stale(spoke.near));
}

TEST(connecting_reaches_a_socket_by_its_path)
{
	char folder[] = "/tmp/test-frame-XXXXXX";
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	assert_non_null(mkdtemp(folder));
	snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
	FD listening = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(listening, 1), 0);
	FD fd = unix_connect(address.sun_path);
	assert_true(fd >= 0);
	unlink(address.sun_path);
	rmdir(folder);
}

TEST(connecting_to_nothing_or_to_a_path_that_is_too_long_is_unavailable)
{
	char path[110];
	assert_fault(unix_connect("/nonexistent/s"), UNAVAILABLE);
	memset(path, 'x', sizeof path);
	path[108] = '\0';
	assert_fault(unix_connect(path), UNAVAILABLE);
	assert_told("longer than");
	path[107] = '\0';
	assert_fault(unix_connect(path), UNAVAILABLE);
	assert_told("can not connect");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_arrives_with_verb_and_fields),
		cmocka_unit_test(the_length_on_the_wire_counts_verb_and_fields),
		cmocka_unit_test(frames_that_come_together_are_told_apart),
		cmocka_unit_test(a_frame_of_the_most_bytes_is_taken_and_one_more_is_refused),
		cmocka_unit_test(an_announced_length_is_judged_before_its_bytes_are_waited_for),
		cmocka_unit_test(a_frame_without_even_a_verb_is_refused),
		cmocka_unit_test(a_peer_that_is_done_closes_between_frames),
		cmocka_unit_test(a_peer_that_closes_inside_a_frame_is_closed_too),
		cmocka_unit_test(a_peer_that_stops_inside_a_frame_runs_out_of_time),
		cmocka_unit_test(a_frame_that_comes_byte_by_byte_in_time_is_whole),
		cmocka_unit_test(a_frame_larger_than_the_sockets_buffer_arrives_whole),
		cmocka_unit_test(a_peer_that_does_not_read_runs_out_of_time),
		cmocka_unit_test(sending_to_a_peer_that_is_gone_is_an_error_and_no_signal),
		cmocka_unit_test(a_frame_that_did_not_fit_its_buffer_is_never_sent),
		cmocka_unit_test(an_idle_connection_is_stale_when_the_peer_closed_or_spoke),
		cmocka_unit_test(connecting_reaches_a_socket_by_its_path),
		cmocka_unit_test(connecting_to_nothing_or_to_a_path_that_is_too_long_is_unavailable),
	};
	return RUN(tests);
}
