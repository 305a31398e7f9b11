/* Everything that the rooms say to each other: every verb, its fields in order, and their limits.
 *
 * A message is written once, as a list of fields; from it come a struct, a writer put_NAME() and a reader
 * get_NAME(), so the two can not differ. Field types:
 *   u8 u32 u64   the limit is the largest value       time     seconds since 1970, signed
 *   text         clean UTF-8, the limit is in bytes   bytes    anything, the limit is in bytes
 *   secret       bytes that rest in wiped memory only list     records one after the other, the limit is in bytes
 * Views read from a frame point into the frame's buffer and live as long as it.
 *
 * An answer has the verb of its request, or VERB_ERROR and the message `error`. On the local socket some answers take
 * minutes: before them come any number of PROGRESS, which may tell the same again and again, and PARTs of a file.
 * A file that goes to the keeper follows its request in PARTs, once a PROGRESS of STAGE_RECEIVING says that it is
 * wanted. */
#ifndef PFXD_PROTOCOL_H
#define PFXD_PROTOCOL_H

#include "buf.h"

#define KIB (1024u)
#define MIB (1024u * 1024u)

enum limits {
	REQUEST_ID_MAX = 36,
	UPN_MAX_BYTES = 320,
	NAME_MAX_BYTES = 128,          /* of a device or a token */
	PLATFORM_MAX_BYTES = 64,
	TOKEN_CHARS = 43,              /* 256 bits in base64url */
	TOKEN_MAX_BYTES = 128,         /* what is looked at before a token is found to be none */
	ID_MAX_BYTES = 36,             /* a UUID */
	FINGERPRINT_BYTES = 32,        /* SHA-256 of a certificate */
	THUMBPRINT_MAX_BYTES = 32,     /* SHA-1 or SHA-256 of a certificate */
	CURSOR_MAX_BYTES = 1024,
	LIST_LIMIT_DEFAULT = 100,
	LIST_LIMIT_MAX = 1000,
	ETAG_MAX_BYTES = 1024,         /* of an If-None-Match header */
	PFX_MAX_BYTES = 2 * MIB,       /* a body is smaller, so base64 of this never fits */
	PASSWORD_MAX_BYTES = 1024,
	CSR_MAX_BYTES = 16 * KIB,      /* of PEM */
	SIGNATURE_MAX_BYTES = 1024,
	CERTIFICATE_MAX_BYTES = 64 * KIB,
	KEY_MAX_BYTES = 32 * KIB,      /* PKCS#8; RSA-16384 takes 9.5 KiB */
	PKCS12_MAX_BYTES = 256 * KIB,  /* one that the opener made */
	PKCS12_PASSWORD_CHARS = 43,
	STORED_PKCS12_MAX_BYTES = PKCS12_PASSWORD_CHARS + PKCS12_MAX_BYTES,
	DISTINGUISHED_NAME_MAX_BYTES = 4 * KIB,
	SERIAL_MAX_CHARS = 128,
	KEY_IDENTIFIER_MAX_BYTES = 64, /* RFC 5280 4.2.1.2: 20, or what its CA likes */
	FOUND_IDENTITIES_MAX = 100,    /* users who have the same certificate */
	KEY_ALGORITHM_MAX_BYTES = 32,
	EMAIL_MAX_BYTES = 320,
	EMAILS_MAX = 32,               /* of one certificate */
	EMAILS_MAX_BYTES = EMAILS_MAX * (EMAIL_MAX_BYTES + 4),
	PFX_IDENTITIES_MAX = 64,       /* in one PFX */
	PFX_CHAIN_MAX = 64,            /* certificates without a key in one PFX */
	WARNINGS_MAX = 256,
	WARNING_MAX_BYTES = 512,
	LIST_MAX_BYTES = 8 * MIB,
	RECEIPTS_MAX = 1000,
	RECEIPT_ERROR_MAX_BYTES = 512,
	BUNDLE_JSON_MAX_BYTES = 12 * MIB,
	BUNDLE_MAX_BYTES = 24 * MIB,
	IDENTITIES_PER_USER_MAX = 500,
	USER_PKCS12_MAX_BYTES = 5 * MIB, /* of all PKCS#12 files of a user, one form: base64 of it fits a bundle */
	USER_CHAIN_MAX_BYTES = MIB,      /* of all certificates above them, each once */
	DEVICES_PER_USER_MAX = 100,
	ENROLMENT_SECONDS_DEFAULT = 86400,
	ENROLMENT_SECONDS_MAX = 604800,
	TOKEN_SECONDS_MAX = 10 * 366 * 86400,
	FRAME_MAX_BYTES = 32 * MIB,    /* of an answer that a front or a keeper takes */
	HEALTH_TEXT_MAX_BYTES = 256,
	PART_MAX_BYTES = MIB,          /* of a file that goes over a socket */
	UNREADABLE_MAX = 1000,         /* identities that a verification names */
};

/* The socket on which a verb may come. LOCAL is for root on the server itself. SELF is none that others reach: there
 * the keeper asks itself. */
enum socket_kind {
	SOCKET_DEVICE = 1, SOCKET_ADMIN = 2, SOCKET_PFX_OPENER = 4, SOCKET_CSR_OPENER = 8, SOCKET_LOCAL = 16,
	SOCKET_SELF = 32,
};

/* verb, number, sockets. The keeper's table of roles and answers is in daemon/keeper/serve.c. */
#define VERBS(V) \
	V(ENROLL,           1, SOCKET_DEVICE)  /* enroll            -> enrolled */ \
	V(CERTIFICATES,     2, SOCKET_DEVICE)  /* device            -> identities */ \
	V(BUNDLE,           3, SOCKET_DEVICE)  /* bundle            -> bundled */ \
	V(RECEIPTS,         4, SOCKET_DEVICE)  /* receipts          -> nothing */ \
	V(RENEW,            5, SOCKET_DEVICE)  /* renew             -> enrolled */ \
	V(AUTHORIZE,       16, SOCKET_ADMIN)   /* authorize         -> nothing */ \
	V(IMPORT,          17, SOCKET_ADMIN)   /* import            -> imported */ \
	V(HISTORY,         18, SOCKET_ADMIN)   /* user              -> identities */ \
	V(DELETE_IDENTITY, 19, SOCKET_ADMIN)   /* identity_ref      -> nothing */ \
	V(ADD_ENROLMENT,   20, SOCKET_ADMIN)   /* enrolment         -> enrolment_made */ \
	V(USERS,           21, SOCKET_ADMIN)   /* listing           -> users */ \
	V(USER,            22, SOCKET_ADMIN)   /* user              -> user_facts */ \
	V(RENAME_USER,     23, SOCKET_ADMIN)   /* rename            -> user_facts */ \
	V(RETIRE_USER,     24, SOCKET_ADMIN)   /* user              -> nothing */ \
	V(DEVICES,         25, SOCKET_ADMIN)   /* listing           -> devices */ \
	V(REVOKE_DEVICE,   26, SOCKET_ADMIN)   /* object            -> nothing */ \
	V(ADD_TOKEN,       27, SOCKET_ADMIN)   /* token             -> token_made */ \
	V(TOKENS,          28, SOCKET_ADMIN)   /* admin             -> tokens */ \
	V(DELETE_TOKEN,    29, SOCKET_ADMIN)   /* object            -> nothing */ \
	V(AUDIT,           30, SOCKET_ADMIN)   /* listing           -> audit */ \
	V(VERIFY_AUDIT,    31, SOCKET_ADMIN)   /* admin             -> verification */ \
	V(CA,              32, SOCKET_ADMIN)   /* admin             -> ca */ \
	V(FIND_IDENTITY,   35, SOCKET_ADMIN)   /* recipient         -> found_identities */ \
	V(HEALTH,          33, SOCKET_ADMIN | SOCKET_DEVICE | SOCKET_LOCAL) /* nothing -> health */ \
	V(RELEASE_DEVICE,  34, SOCKET_ADMIN)   /* object            -> device_facts */ \
	V(VERIFY,          40, SOCKET_LOCAL)   /* nothing           -> verification */ \
	V(INSPECT,         41, SOCKET_LOCAL)   /* nothing           -> inspection */ \
	V(BACKUP,          42, SOCKET_LOCAL)   /* nothing           -> a file, then backed_up */ \
	V(RESTORE,         43, SOCKET_LOCAL)   /* restore, a file   -> restored */ \
	V(VERIFY_IDENTITIES, 44, SOCKET_LOCAL) /* verify, a file if it says so -> verified */ \
	V(CLOCK_ACCEPT,    45, SOCKET_LOCAL)   /* nothing           -> clock */ \
	V(ROTATION,        46, SOCKET_LOCAL)   /* nothing           -> rotation */ \
	V(AUTHORITIES,     47, SOCKET_LOCAL)   /* nothing           -> authorities */ \
	V(OPEN_PFX,        48, SOCKET_PFX_OPENER)  /* open_pfx -> opened_pfx */ \
	V(OPEN_CSR,        49, SOCKET_CSR_OPENER)  /* open_csr -> opened_csr */ \
	V(PING,            50, SOCKET_PFX_OPENER | SOCKET_CSR_OPENER | SOCKET_SELF) /* nothing -> nothing */ \
	/* An opener says this once it has read a request whole: what dies after it died of that request. */ \
	V(STARTED,         51, 0)              /* nothing */ \
	V(CHECK_IDENTITY,  52, SOCKET_PFX_OPENER)  /* check_identity -> nothing */ \
	V(PROGRESS,       253, 0)              /* progress */ \
	V(PART,           254, 0)              /* part */ \
	V(ERROR,          255, 0)              /* error */

enum verb {
#define V(name, number, sockets) VERB_##name = (number),
	VERBS(V)
#undef V
};

/* The sockets (a set of enum socket_kind) on which verb may come; 0 for an unknown one. */
int verb_sockets(uint8_t verb);
/* "IMPORT" and the like; "?" for an unknown one. For logs and for reading frame dumps. */
const char *verb_name(uint8_t verb);

enum usage { USAGE_ENCRYPTION = 1, USAGE_SIGNING = 2, USAGE_ALL = 3 };
enum device_key_kind { DEVICE_KEY_RSA = 1, DEVICE_KEY_P256 = 2, DEVICE_KEY_P384 = 3 };
/* What is known of a device and an identity of its user: told by its receipts, or by when it pulled last. */
enum holding { HOLDS_NOT = 0, HOLDS_DELIVERED = 1, HOLDS_INSTALLED = 2, HOLDS_FAILED = 3 };
enum health_state { HEALTH_OK = 0, HEALTH_FAILED = 1, HEALTH_UNKNOWN = 2 };
/* What takes so long. */
enum stage { STAGE_COPYING = 1, STAGE_CHECKING, STAGE_SENDING, STAGE_RECEIVING, STAGE_HOLDING, STAGE_VERIFYING };
enum database_state { DATABASE_WHOLE = 0, DATABASE_DAMAGED = 1, DATABASE_NOT_LOOKED_AT = 2 };

#define FIELDS_nothing(F)
#define FIELDS_error(F) \
	F(u8, fault, 255) F(u32, retry_after, 86400) F(text, detail, 400)

/* ---- from devices ---- */
#define FIELDS_enroll(F) \
	F(text, request_id, REQUEST_ID_MAX) F(secret, token_secret, TOKEN_MAX_BYTES) F(bytes, csr, CSR_MAX_BYTES)
#define FIELDS_enrolled(F) \
	F(text, device_id, ID_MAX_BYTES) F(bytes, certificate, CERTIFICATE_MAX_BYTES) \
	F(bytes, chain, 4 * CERTIFICATE_MAX_BYTES)
#define FIELDS_device(F) \
	F(text, request_id, REQUEST_ID_MAX) F(bytes, fingerprint, FINGERPRINT_BYTES)
#define FIELDS_bundle(F) \
	F(text, request_id, REQUEST_ID_MAX) F(bytes, fingerprint, FINGERPRINT_BYTES) F(u8, enveloped, 1) \
	F(text, if_none_match, ETAG_MAX_BYTES)
#define FIELDS_bundled(F) \
	F(u8, not_modified, 1) F(text, etag, ETAG_MAX_BYTES) F(u32, retry_after, UINT32_MAX) \
	F(bytes, cms, BUNDLE_MAX_BYTES)
#define FIELDS_receipts(F) \
	F(text, request_id, REQUEST_ID_MAX) F(bytes, fingerprint, FINGERPRINT_BYTES) F(list, receipts, MIB)
#define FIELDS_receipt(F) /* error is empty where it was installed */ \
	F(bytes, thumbprint, THUMBPRINT_MAX_BYTES) F(u8, installed, 1) F(text, error, RECEIPT_ERROR_MAX_BYTES)
#define FIELDS_renew(F) \
	F(text, request_id, REQUEST_ID_MAX) F(bytes, fingerprint, FINGERPRINT_BYTES) F(bytes, csr, CSR_MAX_BYTES) \
	F(bytes, signature, SIGNATURE_MAX_BYTES)

/* ---- from administrators ---- */
#define ADMIN_FIELDS(F) \
	F(text, request_id, REQUEST_ID_MAX) F(secret, token_secret, TOKEN_MAX_BYTES)
#define FIELDS_admin(F)        ADMIN_FIELDS(F)
#define FIELDS_authorize(F)    ADMIN_FIELDS(F) F(u8, verb, 255)
#define FIELDS_user(F)         ADMIN_FIELDS(F) F(text, upn, UPN_MAX_BYTES)
#define FIELDS_object(F)       ADMIN_FIELDS(F) F(text, id, ID_MAX_BYTES)
#define FIELDS_identity_ref(F) ADMIN_FIELDS(F) F(text, upn, UPN_MAX_BYTES) F(bytes, thumbprint, THUMBPRINT_MAX_BYTES)
#define FIELDS_rename(F)       ADMIN_FIELDS(F) F(text, upn, UPN_MAX_BYTES) F(text, new_upn, UPN_MAX_BYTES)
#define FIELDS_import(F) /* usages 0: as the certificate says */ \
	ADMIN_FIELDS(F) F(text, upn, UPN_MAX_BYTES) F(u8, usages, USAGE_ALL) F(secret, pfx_secret, PFX_MAX_BYTES) \
	F(secret, password_secret, PASSWORD_MAX_BYTES)
#define FIELDS_enrolment(F) \
	ADMIN_FIELDS(F) F(text, upn, UPN_MAX_BYTES) F(text, name, NAME_MAX_BYTES) \
	F(text, platform, PLATFORM_MAX_BYTES) F(u32, expires_in, ENROLMENT_SECONDS_MAX)
#define FIELDS_listing(F) /* user: only of this UPN, for DEVICES; empty: of all */ \
	ADMIN_FIELDS(F) F(text, user, UPN_MAX_BYTES) F(u32, limit, LIST_LIMIT_MAX) F(text, cursor, CURSOR_MAX_BYTES)
#define FIELDS_token(F) /* expires_in 0: never */ \
	ADMIN_FIELDS(F) F(text, name, NAME_MAX_BYTES) F(text, role, 16) F(u32, expires_in, TOKEN_SECONDS_MAX)
#define FIELDS_recipient(F) /* of a mail, RFC 5652 6.2.1: issuer and serial number, or, where that is not empty, the \
			     * subject key identifier */ \
	ADMIN_FIELDS(F) F(text, issuer, DISTINGUISHED_NAME_MAX_BYTES) F(text, serial, SERIAL_MAX_CHARS) \
	F(bytes, key_identifier, KEY_IDENTIFIER_MAX_BYTES)

#define FIELDS_identities(F)   F(list, identities, LIST_MAX_BYTES) /* of identity_facts, newest first */
#define FIELDS_identity_facts(F) /* usages and current_for: sets of enum usage; emails: of string */ \
	F(text, id, ID_MAX_BYTES) F(bytes, sha1, 20) F(bytes, sha256, 32) \
	F(text, subject, DISTINGUISHED_NAME_MAX_BYTES) F(text, issuer, DISTINGUISHED_NAME_MAX_BYTES) \
	F(text, serial, SERIAL_MAX_CHARS) F(time, not_before, 0) F(time, not_after, 0) F(u8, usages, USAGE_ALL) \
	F(u8, current_for, USAGE_ALL) F(text, key_algorithm, KEY_ALGORITHM_MAX_BYTES) \
	F(list, emails, EMAILS_MAX_BYTES) F(time, imported_at, 0)
#define FIELDS_found_identities(F) F(list, found, LIST_MAX_BYTES) /* of found_identity */
#define FIELDS_found_identity(F) /* identity: one identity_facts; holders: of holder, every device of the user */ \
	F(text, user, UPN_MAX_BYTES) F(list, identity, LIST_MAX_BYTES) F(list, holders, LIST_MAX_BYTES)
#define FIELDS_holder(F) /* device: one device_facts; holds: enum holding; at: of the receipt, 0 without one */ \
	F(list, device, LIST_MAX_BYTES) F(u8, holds, HOLDS_FAILED) F(time, at, 0) \
	F(text, error, RECEIPT_ERROR_MAX_BYTES)
#define FIELDS_string(F)       F(text, value, 4 * KIB)
#define FIELDS_warning(F) /* thumbprint: SHA-1, or empty where it is about no certificate */ \
	F(text, code, 64) F(text, detail, WARNING_MAX_BYTES) F(bytes, thumbprint, 20)
#define FIELDS_imported(F) /* created: at least one was new */ \
	F(u8, created, 1) F(list, identities, LIST_MAX_BYTES) F(list, warnings, MIB)
#define FIELDS_enrolment_made(F) F(secret, token_secret, TOKEN_CHARS) F(time, expires_at, 0)
#define FIELDS_user_facts(F) /* aliases: of string */ \
	F(text, id, ID_MAX_BYTES) F(text, upn, UPN_MAX_BYTES) F(list, aliases, MIB) \
	F(u32, identities, UINT32_MAX) F(u32, devices, UINT32_MAX)
#define FIELDS_users(F)        F(list, users, LIST_MAX_BYTES) F(text, next_cursor, CURSOR_MAX_BYTES)
#define FIELDS_device_facts(F) /* last_pull_at 0: never */ \
	F(text, id, ID_MAX_BYTES) F(text, user, UPN_MAX_BYTES) F(text, name, NAME_MAX_BYTES) \
	F(text, platform, PLATFORM_MAX_BYTES) F(text, state, 16) F(time, enrolled_at, 0) F(time, not_after, 0) \
	F(time, last_pull_at, 0)
#define FIELDS_devices(F)      F(list, devices, LIST_MAX_BYTES) F(text, next_cursor, CURSOR_MAX_BYTES)
#define FIELDS_token_made(F) /* expires_at 0: never */ \
	F(text, id, ID_MAX_BYTES) F(secret, token_secret, TOKEN_CHARS) F(time, expires_at, 0)
#define FIELDS_token_facts(F) \
	F(text, id, ID_MAX_BYTES) F(text, name, NAME_MAX_BYTES) F(text, role, 16) F(time, created_at, 0) \
	F(time, expires_at, 0)
#define FIELDS_tokens(F)       F(list, tokens, LIST_MAX_BYTES)
#define FIELDS_audit_facts(F) /* each but sequence, at and event may be empty */ \
	F(u64, sequence, UINT64_MAX) F(time, at, 0) F(text, event, 64) F(text, actor, 64) F(text, user, ID_MAX_BYTES) \
	F(text, object, 4 * UPN_MAX_BYTES) F(text, detail, 512) F(text, request_id, REQUEST_ID_MAX)
#define FIELDS_audit(F)        F(list, records, LIST_MAX_BYTES) F(text, next_cursor, CURSOR_MAX_BYTES)
#define FIELDS_verification(F) /* differences: of string */ \
	F(u8, ok, 1) F(u64, records, UINT64_MAX) F(list, differences, LIST_MAX_BYTES)
#define FIELDS_ca(F)           F(bytes, pem, 16 * CERTIFICATE_MAX_BYTES)
#define FIELDS_health(F) /* of health_part and of health_metric */ \
	F(list, parts, 64 * KIB) F(list, metrics, 64 * KIB)
#define FIELDS_health_part(F) /* for_pulls: a pull fails without it; state: enum health_state */ \
	F(text, name, 32) F(u8, state, 2) F(u8, for_pulls, 1) F(text, detail, HEALTH_TEXT_MAX_BYTES)
#define FIELDS_health_metric(F) /* label: as in days="7", or empty; counter: it only grows; else a gauge */ \
	F(text, name, 64) F(text, label, 64) F(u8, counter, 1) F(u64, value, UINT64_MAX) \
	F(text, help, HEALTH_TEXT_MAX_BYTES)

/* ---- from root on the server ---- */
#define FIELDS_inspection(F) /* state: enum database_state, damage says more; devices: active ones; their certificates \
			      * that ended, and that end within so many days; last_record_at: 0 without a record; \
			      * held: devices; verified_at: when identities were last verified, 0: never, and what came \
			      * of it */ \
	F(text, database, 256) F(u64, database_bytes, UINT64_MAX) F(u32, schema, UINT32_MAX) \
	F(u8, state, DATABASE_NOT_LOOKED_AT) F(text, damage, HEALTH_TEXT_MAX_BYTES) \
	F(bytes, ca, FINGERPRINT_BYTES) F(time, ca_not_after, 0) F(time, signer_not_after, 0) \
	F(u64, users, UINT64_MAX) F(u64, identities, UINT64_MAX) F(u64, to_rewrap, UINT64_MAX) \
	F(u64, devices, UINT64_MAX) F(u64, ended, UINT64_MAX) F(u64, ending_7, UINT64_MAX) F(u64, ending_30, UINT64_MAX) \
	F(u64, ending_90, UINT64_MAX) F(time, last_record_at, 0) F(u64, held, UINT64_MAX) F(time, verified_at, 0) \
	F(u64, verified, UINT64_MAX) F(u64, readable, UINT64_MAX)
#define FIELDS_progress(F) /* of bytes, but for STAGE_VERIFYING: of identities; total 0: nobody knows */ \
	F(u8, stage, STAGE_VERIFYING) F(u64, done, UINT64_MAX) F(u64, total, UINT64_MAX)
#define FIELDS_part(F)         F(bytes, bytes, PART_MAX_BYTES)
#define FIELDS_backed_up(F) /* of the file that was sent; records: of the audit, all verified */ \
	F(u64, bytes, UINT64_MAX) F(bytes, sha256, 32) F(u32, schema, UINT32_MAX) F(u64, users, UINT64_MAX) \
	F(u64, identities, UINT64_MAX) F(u64, devices, UINT64_MAX) F(u64, records, UINT64_MAX)
#define FIELDS_restore(F) /* replace: though there is something; trust_devices: they need not be released; \
			   * token_sha256: of the administrator's token that takes the place of all that are in the \
			   * backup; empty: those stay good */ \
	F(u64, bytes, UINT64_MAX) F(u8, replace, 1) F(u8, trust_devices, 1) F(bytes, token_sha256, 32)
#define FIELDS_restored(F) /* held: devices; ended: enrolment tokens; tokens: of administrators that were ended; \
			    * unreadable: identities; last_record_at: before what was done to it */ \
	F(u64, users, UINT64_MAX) F(u64, identities, UINT64_MAX) F(u64, devices, UINT64_MAX) F(u64, held, UINT64_MAX) \
	F(u64, ended, UINT64_MAX) F(u64, tokens, UINT64_MAX) F(u64, unreadable, UINT64_MAX) F(time, last_record_at, 0)
#define FIELDS_verify(F) /* bytes: of the file that follows; 0: the database itself */ \
	F(u64, bytes, UINT64_MAX)
#define FIELDS_verified(F) /* unreadable: of string, of which the last says so where they are more than UNREADABLE_MAX */ \
	F(u64, total, UINT64_MAX) F(u64, readable, UINT64_MAX) F(time, at, 0) F(list, unreadable, LIST_MAX_BYTES)

#define FIELDS_rotation(F) /* of wrapping_key, newest first; SHA-256 of each enrolment CA, likewise; unreadable: \
			    * identities that do not open, so stay as they are */ \
	F(list, keys, 4 * KIB) F(bytes, cas, 16 * FINGERPRINT_BYTES) F(u64, identities, UINT64_MAX) \
	F(u64, unreadable, UINT64_MAX)
#define FIELDS_wrapping_key(F) /* needed: by so many identities, and the test value */ \
	F(text, id, 8) F(u64, needed, UINT64_MAX)
#define FIELDS_authorities(F)  F(list, authorities, 16 * KIB) /* of authority, newest first */
#define FIELDS_authority(F) /* sha256 of the CA's certificate; devices: active and held ones that have a certificate \
			     * of it, of which the last ends then */ \
	F(bytes, sha256, FINGERPRINT_BYTES) F(time, not_after, 0) F(u64, devices, UINT64_MAX) F(time, last_end, 0)
#define FIELDS_clock(F) /* what the clock says, and the latest time that was on record before */ \
	F(time, now, 0) F(time, mark, 0)

/* ---- to openers ---- */
#define FIELDS_open_pfx(F) /* passwords: PKCS12_PASSWORD_CHARS each, one for each identity that may be found */ \
	F(u64, max_work, UINT64_MAX) F(u8, usages, USAGE_ALL) F(secret, pfx_secret, PFX_MAX_BYTES) \
	F(secret, password_secret, PASSWORD_MAX_BYTES) \
	F(secret, passwords_secret, PFX_IDENTITIES_MAX * PKCS12_PASSWORD_CHARS)
#define FIELDS_opened_pfx(F) /* of opened_identity; of opened_certificate; of warning. At least one identity. */ \
	F(list, identities, FRAME_MAX_BYTES) F(list, chain, LIST_MAX_BYTES) F(list, warnings, MIB)
#define FIELDS_opened_identity(F) /* the n-th has the n-th password; chain: u8 indexes, issuer first, root last */ \
	F(bytes, certificate, CERTIFICATE_MAX_BYTES) \
	F(secret, modern_secret, PKCS12_MAX_BYTES) F(secret, legacy_secret, PKCS12_MAX_BYTES) \
	F(text, subject, DISTINGUISHED_NAME_MAX_BYTES) F(text, issuer, DISTINGUISHED_NAME_MAX_BYTES) \
	F(text, serial, SERIAL_MAX_CHARS) F(bytes, key_identifier, KEY_IDENTIFIER_MAX_BYTES) F(time, not_before, 0) \
	F(time, not_after, 0) F(u8, usages, USAGE_ALL) F(text, key_algorithm, KEY_ALGORITHM_MAX_BYTES) \
	F(list, emails, EMAILS_MAX_BYTES) F(bytes, chain, PFX_CHAIN_MAX)
#define FIELDS_opened_certificate(F) F(bytes, certificate, CERTIFICATE_MAX_BYTES)
#define FIELDS_check_identity(F) /* of the certificate; two PKCS#12 files, as stored: password, then file */ \
	F(bytes, sha256, 32) F(secret, modern_secret, STORED_PKCS12_MAX_BYTES) \
	F(secret, legacy_secret, STORED_PKCS12_MAX_BYTES)
#define FIELDS_open_csr(F)     F(bytes, csr, CSR_MAX_BYTES) /* DER */
#define FIELDS_opened_csr(F) /* kind: enum device_key_kind; RSA: modulus and exponent; EC: point, uncompressed */ \
	F(u8, kind, DEVICE_KEY_P384) F(bytes, modulus, 512) F(u64, exponent, UINT64_MAX) F(bytes, point, 97)

#define MESSAGES(M) \
	M(nothing) M(error) M(enroll) M(enrolled) M(device) M(bundle) M(bundled) M(receipts) M(receipt) M(renew) \
	M(admin) M(authorize) M(user) M(object) M(identity_ref) M(rename) M(import) M(enrolment) M(listing) M(token) \
	M(recipient) M(found_identities) M(found_identity) M(holder) \
	M(identities) M(identity_facts) M(string) M(warning) M(imported) M(enrolment_made) M(user_facts) M(users) \
	M(device_facts) M(devices) M(token_made) M(token_facts) M(tokens) M(audit_facts) M(audit) M(verification) \
	M(ca) M(health) M(health_part) M(health_metric) M(inspection) M(rotation) M(wrapping_key) \
	M(authorities) M(authority) M(clock) M(progress) M(part) M(backed_up) M(restore) \
	M(restored) M(verify) M(verified) M(check_identity) M(open_pfx) M(opened_pfx) M(opened_identity) \
	M(opened_certificate) M(open_csr) M(opened_csr)

#define CTYPE_u8 uint8_t
#define CTYPE_u32 uint32_t
#define CTYPE_u64 uint64_t
#define CTYPE_time int64_t
#define CTYPE_text struct view
#define CTYPE_bytes struct view
#define CTYPE_secret struct view
#define CTYPE_list struct view
#define DECLARE_FIELD(type, name, limit) CTYPE_##type name;

/* put_NAME() appends the message. MALFORMED_REQUEST, naming the field, when one is over its limit.
 * get_NAME() takes one message off the front of v: for records of a list. read_NAME() reads a whole one, and
 * insists that v is used up. Both: BAD_FRAME, naming the field. */
#define M(name) \
	struct msg_##name { FIELDS_##name(DECLARE_FIELD) }; \
	int put_##name(struct buf *b, const struct msg_##name *m); \
	int get_##name(struct view *v, struct msg_##name *ret); \
	int read_##name(struct view v, struct msg_##name *ret);
MESSAGES(M)
#undef M

#endif
