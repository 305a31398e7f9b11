/* What the keeper tells, as JSON. Each function gives a new object that the caller owns, or NULL without memory. */
#ifndef PFXD_FACTS_H
#define PFXD_FACTS_H

#include "protocol.h"

#include <jansson.h>

/* Takes one record off the front of v. BAD_FRAME when it can not be read; *ret may be NULL without memory. */
typedef int facts_reader(struct view *v, json_t **ret);
facts_reader facts_identity, facts_warning, facts_user, facts_device, facts_token, facts_audit, facts_string,
	facts_found_identity;

/* An array of all records in list. BAD_FRAME or INTERNAL. */
int facts_list(struct view list, facts_reader *read, json_t **ret);

json_t *facts_of_user(const struct msg_user_facts *m);
json_t *facts_of_device(const struct msg_device_facts *m);

/* Clean text; json_text_or_null() gives null where it is empty. */
json_t *json_text(struct view v);
json_t *json_text_or_null(struct view v);
json_t *json_time(int64_t seconds);
json_t *json_time_or_null(int64_t seconds); /* null for 0 */

#endif
