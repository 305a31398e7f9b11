/* What is told about a PFX beside its identities: warnings, and the error that stands where there is none. */
#ifndef PFXD_OPENER_REPORT_H
#define PFXD_OPENER_REPORT_H

#include "buf.h"
#include "fault.h"

struct report {
	struct buf *warnings; /* list of msg warning, at most WARNINGS_MAX */
	size_t count;
	int first_fault;      /* of what was left out first, for a file that has nothing whole; 0: none */
	char first_detail[FAULT_DETAIL_MAX];
};

/* False without memory. Free with report_done(). */
bool report_init(struct report *r);
void report_done(struct report *r);

/* Something was left out, for the reason of the last fail(): rc is what that returned. thumbprint is the SHA-1 of
 * the certificate it is about, or empty. Returns 0, or rc itself where the reason is one of cost or of ours. */
int report_left_out(struct report *r, int rc, struct view thumbprint);

/* A remark on what is imported nevertheless. */
void report_note(struct report *r, const char *code, struct view thumbprint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Fails again with what was left out first; false if nothing was. */
bool report_fail_first(const struct report *r, int *ret);

#define REPORT __attribute__((cleanup(report_done))) struct report

#endif
