/* The sealed parts of an identity, copied out of its row, and their opening. */
#ifndef PFXD_SEALED_H
#define PFXD_SEALED_H

#include "protocol.h"
#include "rows.h"
#include "seal.h"

/* Sets of parts. */
enum { SEALED_ALL = (1 << SEAL_PARTS) - 1 };
#define SEALED_ONLY(part) (1U << (part))

struct sealed {
	struct buf *bytes; /* of what follows; NULL: there was no such row */
	unsigned which;    /* the parts that were read */
	struct view key_id, wrapped, parts[SEAL_PARTS];
};

/* Copies key_id, wrapped_key and these sealed columns, which begin at this column of the statement's row. TAMPERED when
 * they are larger than any that this service makes. The caller gives it back with sealed_done(). */
int sealed_read(struct statement *s, int column, unsigned which, struct sealed *ret);
void sealed_done(struct sealed *sealed);

/* A PKCS#12 file as it is stored: its password, and then the file. */
struct opened {
	struct buf *parts_secret[SEAL_PARTS]; /* NULL: that was not read */
};

/* Opens the parts of row's identity that were read. TAMPERED, saying of which part, when one does not open. Free with
 * opened_done(), also after an error. */
int sealed_open(const struct keyring *keyring, const struct row_identity *row, const struct sealed *sealed,
		struct opened *ret);
void opened_done(struct opened *opened);
#define OPENED __attribute__((cleanup(opened_done))) struct opened

#endif
