/* Log records as structured entries of systemd's journal. A program that never calls journal_start() is not linked with
 * this, nor with libsystemd. */
#ifndef PFXD_JOURNAL_H
#define PFXD_JOURNAL_H

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

/* Where standard error is a stream to the journal, and its socket can be reached, has each record sent there as an
 * entry: MESSAGE, PRIORITY, SYSLOG_IDENTIFIER, MESSAGE_ID, PFXD_EVENT, and PFXD_NAME for each field. Elsewhere it
 * changes nothing. Before there are threads. */
void journal_start(void);

enum {
	JOURNAL_FIELDS_MAX = 640, /* of an entry; systemd-journald takes 1024, with those that it adds */
	JOURNAL_ENTRY_MAX_BYTES = 64 * 1024,
};

#endif
