/* Warnings. Opener, PFX kind. Never holds a secret: its sentences go to the client. */
#include "report.h"

#include "protocol.h"
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool report_init(struct report *r)
{
	*r = (struct report){ .warnings = buf_new(MIB) };
	return r->warnings;
}

void report_done(struct report *r)
{
	buf_free(r->warnings);
}

/* The last place tells that there were more. */
static void put(struct report *r, const char *code, const char *detail, struct view thumbprint)
{
	if (++r->count > WARNINGS_MAX)
		return;
	bool last = r->count == WARNINGS_MAX;
	struct view text = view_text(last ? "there is more to say than fits here" : detail);
	if (!text_is_clean(text))
		text = view_text("the details hold what is not text");
	const struct msg_warning m = { .code = view_text(code), .detail = text,
				       .thumbprint = last ? view_of("", 0) : thumbprint };
	put_warning(r->warnings, &m);
}

int report_left_out(struct report *r, int rc, struct view thumbprint)
{
	if (rc == -FAULT_TOO_EXPENSIVE || rc == -FAULT_INTERNAL)
		return rc;
	if (!r->first_fault) {
		r->first_fault = rc;
		snprintf(r->first_detail, sizeof r->first_detail, "%s", fault_detail());
	}
	put(r, fault_code(rc), fault_detail(), thumbprint);
	return 0;
}

void report_note(struct report *r, const char *code, struct view thumbprint, const char *format, ...)
{
	char detail[WARNING_MAX_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(detail, sizeof detail, format, args);
	va_end(args);
	put(r, code, detail, thumbprint);
}

bool report_fail_first(const struct report *r, int *ret)
{
	if (!r->first_fault)
		return false;
	*ret = fail((enum fault)-r->first_fault, "%s", r->first_detail);
	return true;
}
