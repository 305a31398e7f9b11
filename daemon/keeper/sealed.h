/* The sealed parts of an identity, copied out of its row, and their opening. */
#ifndef PFXD_SEALED_H
#define PFXD_SEALED_H

#include "protocol.h"
#include "rows.h"
#include "seal.h"

struct sealed {
	struct buf *bytes; /* of what follows; NULL: there was no such row */
	struct view key_id, wrapped, parts[SEAL_PARTS];
};

/* Copies key_id, wrapped_key and the sealed columns, which begin at this column of the statement's row. TAMPERED when
 * they are larger than any that this service makes. The caller gives it back with sealed_done(). */
int sealed_read(struct statement *s, int column, struct sealed *ret);
void sealed_done(struct sealed *sealed);

/* A PKCS#12 file as it is stored: its password, and then the file. */
struct opened {
	struct buf *parts_secret[SEAL_PARTS];
};

/* Opens all parts of row's identity. TAMPERED, saying of which part, when one does not open: damage to the one that
 * is not asked for must be found now, not in the year in which it is needed. Free with opened_done(), also after an
 * error. */
int sealed_open(const struct keyring *keyring, const struct row_identity *row, const struct sealed *sealed,
		struct opened *ret);
void opened_done(struct opened *opened);
#define OPENED __attribute__((cleanup(opened_done))) struct opened

#endif
