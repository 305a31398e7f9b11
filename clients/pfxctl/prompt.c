/* Asks for a password or a passphrase at the terminal, never at standard input. pfxctl. */
#include "prompt.h"

#include "../shared/trouble.h"
#include "text.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PROMPT_INTERRUPTED = -2 }; /* of UI_process(3) */

/* Ctrl-C at the prompt, which OpenSSL catches to put the echo back. A shell that runs this in a loop ends the loop
 * only if it sees that the signal ended this. */
static void end_by_interrupt(void)
{
	signal(SIGINT, SIG_DFL);
	raise(SIGINT);
}

/* OpenSSL puts the echo back however the program ends. */
int prompt_secret(const char *what, const char *options, struct buf *ret_secret)
{
	char prompt[520];
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (tty < 0)
		return trouble_coded(EXIT_USAGE, "no_password", "there is no terminal to ask for this: %s; give %s",
				     what, options);
	close(tty);
	snprintf(prompt, sizeof prompt, "%s: ", what);
	text_disarm(prompt);
	size_t before = buf_len(ret_secret);
	char *at_secret = (char *)buf_reserve(ret_secret, PROMPT_SECRET_MAX);
	if (!at_secret)
		return trouble(EXIT_LOCAL, "no memory");
	int rc = EVP_read_pw_string_min(at_secret, 0, PROMPT_SECRET_MAX - 1, prompt, 0);
	if (rc == PROMPT_INTERRUPTED)
		end_by_interrupt();
	if (rc != 0)
		return trouble_coded(EXIT_USAGE, "no_password", "nothing was given for this: %s", what);
	buf_truncate(ret_secret, before + strlen(at_secret));
	if (!text_is_utf8(buf_view(ret_secret)))
		return trouble(EXIT_USAGE, "that is not UTF-8; use a UTF-8 terminal, or %s", options);
	return EXIT_DONE;
}
