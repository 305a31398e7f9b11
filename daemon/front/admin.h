/* The administrators' calls: each checks the request's form, asks the keeper, and writes the reply. Whether the caller
 * may do it is the keeper's to say. Results as struct route has them. */
#ifndef PFXD_ADMIN_H
#define PFXD_ADMIN_H

struct request;
struct keeper;

typedef int handler(struct request *r, struct keeper *k);

handler admin_import, admin_history, admin_delete_identity, admin_add_enrolment, admin_users, admin_user,
	admin_rename_user, admin_retire_user, admin_devices, admin_revoke_device, admin_release_device, admin_find_identity,
	admin_add_token, admin_tokens, admin_delete_token, admin_audit, admin_verify_audit, admin_ca;

#endif
