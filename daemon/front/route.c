/* The table of routes: here 404 and 405 are decided, and nowhere else. Front. */
#include "route.h"

#include "admin.h"
#include "device.h"
#include "fault.h"
#include "health.h"

#include <string.h>

#define SMALL BODY_SMALL_MAX_BYTES
#define RECEIPTS BODY_RECEIPTS_MAX_BYTES

static const struct route routes[] = {
	{ ROLE_DEVICE, "POST", "/v1/enroll", VERB_ENROLL, SMALL, "", ROUTE_OPEN, device_enroll },
	{ ROLE_DEVICE, "GET", "/v1/device/certificates", VERB_CERTIFICATES, 0, "", 0, device_certificates },
	{ ROLE_DEVICE, "GET", "/v1/device/bundle", VERB_BUNDLE, 0, "cms", 0, device_bundle },
	{ ROLE_DEVICE, "POST", "/v1/device/receipts", VERB_RECEIPTS, RECEIPTS, "", 0, device_receipts },
	{ ROLE_DEVICE, "POST", "/v1/device/renew", VERB_RENEW, SMALL, "", 0, device_renew },

	{ ROLE_ADMIN, "POST", "/v1/users/{upn}/certificates", VERB_IMPORT, PFX_MAX_BYTES, "", ROUTE_IMPORTS,
	  admin_import },
	{ ROLE_ADMIN, "GET", "/v1/users/{upn}/certificates", VERB_HISTORY, 0, "", 0, admin_history },
	{ ROLE_ADMIN, "DELETE", "/v1/users/{upn}/certificates/{thumbprint}", VERB_DELETE_IDENTITY, 0, "", 0,
	  admin_delete_identity },
	{ ROLE_ADMIN, "POST", "/v1/users/{upn}/enrollments", VERB_ADD_ENROLMENT, SMALL, "", 0, admin_add_enrolment },
	{ ROLE_ADMIN, "GET", "/v1/users", VERB_USERS, 0, "limit cursor", 0, admin_users },
	{ ROLE_ADMIN, "GET", "/v1/users/{upn}", VERB_USER, 0, "", 0, admin_user },
	{ ROLE_ADMIN, "PATCH", "/v1/users/{upn}", VERB_RENAME_USER, SMALL, "", 0, admin_rename_user },
	{ ROLE_ADMIN, "DELETE", "/v1/users/{upn}", VERB_RETIRE_USER, 0, "", 0, admin_retire_user },
	{ ROLE_ADMIN, "GET", "/v1/devices", VERB_DEVICES, 0, "user limit cursor", 0, admin_devices },
	{ ROLE_ADMIN, "PATCH", "/v1/devices/{id}", VERB_RELEASE_DEVICE, SMALL, "", 0, admin_release_device },
	{ ROLE_ADMIN, "DELETE", "/v1/devices/{id}", VERB_REVOKE_DEVICE, 0, "", 0, admin_revoke_device },
	{ ROLE_ADMIN, "GET", "/v1/certificates", VERB_FIND_IDENTITY, 0, "issuer serialNumber subjectKeyIdentifier", 0,
	  admin_find_identity },
	{ ROLE_ADMIN, "POST", "/v1/tokens", VERB_ADD_TOKEN, SMALL, "", 0, admin_add_token },
	{ ROLE_ADMIN, "GET", "/v1/tokens", VERB_TOKENS, 0, "", 0, admin_tokens },
	{ ROLE_ADMIN, "DELETE", "/v1/tokens/{id}", VERB_DELETE_TOKEN, 0, "", 0, admin_delete_token },
	{ ROLE_ADMIN, "GET", "/v1/audit", VERB_AUDIT, 0, "limit cursor", 0, admin_audit },
	{ ROLE_ADMIN, "GET", "/v1/audit/verification", VERB_VERIFY_AUDIT, 0, "", 0, admin_verify_audit },
	{ ROLE_ADMIN, "GET", "/v1/ca", VERB_CA, 0, "", 0, admin_ca },

	{ ROLE_HEALTH, "GET", "/livez", VERB_HEALTH, 0, "", ROUTE_INLINE, health_live },
	{ ROLE_HEALTH, "HEAD", "/livez", VERB_HEALTH, 0, "", ROUTE_INLINE, health_live },
	{ ROLE_HEALTH, "GET", "/readyz", VERB_HEALTH, 0, "for", ROUTE_INLINE, health_ready },
	{ ROLE_HEALTH, "HEAD", "/readyz", VERB_HEALTH, 0, "for", ROUTE_INLINE, health_ready },
	{ ROLE_HEALTH, "GET", "/healthz", VERB_HEALTH, 0, "", ROUTE_INLINE, health_summary },
	{ ROLE_HEALTH, "HEAD", "/healthz", VERB_HEALTH, 0, "", ROUTE_INLINE, health_summary },
	{ ROLE_HEALTH, "GET", "/metrics", VERB_HEALTH, 0, "", ROUTE_INLINE, health_metrics },
	{ ROLE_HEALTH, "HEAD", "/metrics", VERB_HEALTH, 0, "", ROUTE_INLINE, health_metrics },
};
enum { ROUTE_COUNT = sizeof routes / sizeof routes[0] };

static bool segment_fits(struct view template, const struct segment *s)
{
	if (template.p[0] == '{')
		return *s->text != '\0';
	return !s->malformed && view_is(template, s->text);
}

static bool path_fits(const char *template, const struct uri *uri)
{
	for (size_t i = 0; *template; i++) {
		template++; /* the '/' before each segment */
		size_t len = strcspn(template, "/");
		if (i >= uri->segment_count || i >= URI_SEGMENTS_MAX ||
		    !segment_fits(view_of(template, len), &uri->segments[i]))
			return false;
		template += len;
		if (!*template)
			return uri->segment_count == i + 1;
	}
	return false;
}

const struct route *route_find(enum role role, const char *method, const struct uri *uri)
{
	for (const struct route *r = routes; r < routes + ROUTE_COUNT; r++)
		if (r->role == role && strcmp(r->method, method) == 0 && path_fits(r->path, uri))
			return r;
	return NULL;
}

int route_refuse(enum role role, const struct uri *uri, char ret_allow[static ROUTE_ALLOW_MAX])
{
	size_t len = 0;
	ret_allow[0] = '\0';
	for (const struct route *r = routes; r < routes + ROUTE_COUNT; r++) {
		if (r->role != role || !path_fits(r->path, uri) || len + strlen(r->method) + 3 > ROUTE_ALLOW_MAX)
			continue;
		if (len > 0)
			len = (size_t)(stpcpy(ret_allow + len, ", ") - ret_allow);
		len = (size_t)(stpcpy(ret_allow + len, r->method) - ret_allow);
	}
	if (len > 0)
		return fail(FAULT_METHOD_NOT_ALLOWED, "this path takes %s", ret_allow);
	return fail(FAULT_NOT_FOUND, "this interface has no such path");
}

size_t route_count(void)
{
	return ROUTE_COUNT;
}

const struct route *route_at(size_t index)
{
	return &routes[index];
}

size_t route_index(const struct route *route)
{
	return (size_t)(route - routes);
}
