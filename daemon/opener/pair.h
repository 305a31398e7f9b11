/* Which key belongs to which certificate, and which certificate issued which. */
#ifndef PFXD_OPENER_PAIR_H
#define PFXD_OPENER_PAIR_H

#include "contents.h"

struct pair {
	struct found_key *key;
	struct found_certificate *certificate;
	size_t chain_count;
	struct found_certificate *chain[PFX_CHAIN_MAX]; /* issuer first */
	bool chain_complete;                            /* it ends in a self-issued one */
};

struct pairs {
	struct pair at[PFX_IDENTITIES_MAX];
	size_t count;
};

/* Pairs every certificate with the key whose public part it holds; localKeyID says nothing that this does not say
 * better. A key renewed under several certificates gives several pairs. TOO_EXPENSIVE beyond PFX_IDENTITIES_MAX. */
int pair_all(struct contents *c, struct pairs *ret);

/* Puts what is left over into the report: keys as key_mismatch or no_certificate, certificates as no_private_key,
 * unless they may issue others. */
int pair_leftovers(struct contents *c, struct report *report);

/* Fills in the chain: by name, then authority and subject key identifier, then, where several fit, the signature. */
void pair_chain(struct contents *c, struct pair *pair);

#endif
