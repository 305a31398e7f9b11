/* clock accept: an administrator's word that the clock is right. pfxctl, as root on the server. */
#include "commands.h"
#include "local.h"
#include "server.h"

#include "../shared/trouble.h"
#include "text.h"

int clock_accept_run(const struct cli *cli)
{
	struct server server;
	struct view fields;
	struct msg_clock m;
	char now[TIME_TEXT + 1], mark[TIME_TEXT + 1];
	BUF answer = buf_new(FRAME_MAX_BYTES);
	int rc = answer ? server_need_root(cli) : trouble(EXIT_LOCAL, "no memory");
	if (rc == EXIT_DONE)
		rc = server_find(cli, &server);
	if (rc == EXIT_DONE)
		rc = local_ask(&server, VERB_CLOCK_ACCEPT, LOCAL_ANSWER_SECONDS, answer, &fields);
	if (rc == EXIT_DONE && read_clock(fields, &m) < 0)
		rc = local_other_version();
	if (rc)
		return rc;
	time_format(m.now, now);
	time_format(m.mark, mark);
	cli_say(cli, "it is %s; the latest time on record was %s", now, mark);
	return EXIT_DONE;
}
