/* What a statement writes to standard error, for tests of log lines. */
#ifndef PFXD_LOGGED_H
#define PFXD_LOGGED_H

#include "unit.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char logged[2 * LOG_LINE_MAX];

/* Runs the statement with standard error in a file, and keeps what was written in logged. */
#define LOGGED(statement) \
	do { \
		FILE *to = tmpfile(); \
		int before = dup(STDERR_FILENO); \
		assert_non_null(to); \
		dup2(fileno(to), STDERR_FILENO); \
		statement; \
		dup2(before, STDERR_FILENO); \
		close(before); \
		rewind(to); \
		logged[fread(logged, 1, sizeof logged - 1, to)] = '\0'; \
		fclose(to); \
	} while (0)

/* Says that what standard error is now, or something beside it, is a stream to the journal. */
static inline void say_that_stderr_is_the_journal(unsigned long long off)
{
	struct stat s;
	char stream[64];
	assert_int_equal(fstat(STDERR_FILENO, &s), 0);
	snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)s.st_dev, (unsigned long long)s.st_ino + off);
	setenv("JOURNAL_STREAM", stream, 1);
}

#endif
