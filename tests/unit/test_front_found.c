/* What the fuzz targets of the front have found: each stays away. A thread plays a keeper that talks nonsense. */
#include "unit.h"

#include "front/admin.h"
#include "front/keeper_client.h"
#include "front/request.h"

#include "frame.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
	char folder[32], path[64];
	int listener;
	struct buf *answer; /* a frame */
} played;

/* Takes one frame on one connection, and answers it. */
static void *play(void *arg)
{
	uint8_t verb;
	struct view fields;
	BUF in = buf_new(64 * KIB);
	(void)arg;
	FD fd = accept(played.listener, NULL, NULL);
	if (fd >= 0 && in && frame_receive(fd, in, 64 * KIB, clock_ms() + 10000, &verb, &fields) == 0)
		frame_send(fd, played.answer, clock_ms() + 10000);
	return NULL;
}

static int set_up(void **state)
{
	(void)state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	strcpy(played.folder, "/tmp/test-front-XXXXXX");
	assert_non_null(mkdtemp(played.folder));
	snprintf(played.path, sizeof played.path, "%s/keeper.sock", played.folder);
	strcpy(address.sun_path, played.path);
	played.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	played.answer = buf_of(64 * KIB);
	return bind(played.listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(played.listener, 1) < 0;
}

static int tear_down(void **state)
{
	(void)state;
	close(played.listener);
	unlink(played.path);
	rmdir(played.folder);
	buf_free(played.answer);
	return 0;
}

/* What an administrator's call with this body gives, when the keeper answers as played. */
static int call(int (*handle)(struct request *r, struct keeper *k), const char *target, const char *body)
{
	pthread_t thread;
	struct keeper *k = keeper_new(played.path);
	struct request *r = request_new(NULL, NULL, target);
	assert_non_null(k);
	assert_non_null(r);
	r->token_secret = buf_of(TOKEN_MAX_BYTES);
	buf_put_text(r->token_secret, "token");
	r->body.keep = r->body.is_json = true;
	body_add(&r->body, body, strlen(body), 64 * KIB);
	assert_int_equal(pthread_create(&thread, NULL, play, NULL), 0);
	keeper_begin(k, clock_ms() + 10000, false, &r->body);
	int rc = handle(r, k);
	pthread_join(thread, NULL);
	keeper_done(k);
	request_free(r);
	keeper_free(k);
	return rc;
}

static const struct view torn = { (const uint8_t *)"NNNN\xb2\xacNNNN", 10 }; /* no UTF-8 */
static const struct view whole = { (const uint8_t *)"NNNNNNNNNN", 10 };

static int enrol(struct view token)
{
	const struct msg_enrolment_made m = { .token_secret = token, .expires_at = 60 };
	frame_begin(played.answer, VERB_ADD_ENROLMENT);
	assert_done(put_enrolment_made(played.answer, &m));
	return call(admin_add_enrolment, "/v1/users/ann/enrollments", "{\"name\":\"phone\"}");
}

static int add_token(struct view token)
{
	const struct msg_token_made m = { .id = view_text("id"), .token_secret = token };
	frame_begin(played.answer, VERB_ADD_TOKEN);
	assert_done(put_token_made(played.answer, &m));
	return call(admin_add_token, "/v1/tokens", "{\"name\":\"n\",\"role\":\"admin\"}");
}

TEST(a_token_that_is_not_text_becomes_no_answer_that_is_not_json)
{
	assert_done(enrol(whole));
	assert_fault(enrol(torn), BAD_FRAME);
	assert_done(add_token(whole));
	assert_fault(add_token(torn), BAD_FRAME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_that_is_not_text_becomes_no_answer_that_is_not_json, set_up,
						tear_down),
	};
	return RUN(tests);
}
