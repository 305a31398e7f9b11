/* What a client program could not do: an exit status for scripts, a word to group by, and a sentence for people.
 *
 * Functions of the clients return EXIT_DONE or another exit status, and record the sentence with trouble(); the
 * program prints it once, at its end. The sentence says what to do next, and never holds a secret. */
#ifndef PFXD_CLIENTS_TROUBLE_H
#define PFXD_CLIENTS_TROUBLE_H

#include "buf.h"

enum exit_status {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1, /* by the server, or what it sent can not be used */
	EXIT_USAGE = 2,
	EXIT_LATER = 3,   /* the server can not be reached or can not do it now */
	EXIT_LOCAL = 4,   /* a file or folder on this machine */
	EXIT_PARTLY = 5,  /* some of many */
};

/* The section of the manual that explains them. */
extern const char exit_status_help[];

/* Records the sentence and returns how. Its word is the usual one for that exit status, or code. Both go through
 * text_disarm(). */
int trouble(enum exit_status how, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
int trouble_coded(enum exit_status how, const char *code, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));

/* Of the last trouble(): its sentence and its word. Never NULL; valid until the next trouble(). */
const char *trouble_text(void);
const char *trouble_code(void);

/* Overwrites with '?' what could move a terminal's cursor or reorder its line: control characters, bytes that are
 * not UTF-8, and the marks that turn the direction of text. */
void text_disarm(char *text);

#endif
