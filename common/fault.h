/* What can go wrong, in one table. Code, HTTP status, log level and title of every error derive from here.
 *
 * A function that can fail returns 0 or a negative code, and says why with fail(): one sentence, kept for the
 * calling thread until the next fail(), as errno is. The sentence goes to the client: it never holds a secret. */
#ifndef PFXD_FAULT_H
#define PFXD_FAULT_H

#include <stddef.h>
#include <stdint.h>

/*        name                      HTTP code                         level  title */
#define FAULTS(F) \
	F(MALFORMED_REQUEST,        400, "malformed_request",         6, "The request is not well formed") \
	F(UNAUTHORIZED,             401, "unauthorized",              5, "Credentials are missing or not valid") \
	F(FORBIDDEN,                403, "forbidden",                 5, "These credentials do not permit this") \
	F(NOT_FOUND,                404, "not_found",                 6, "There is no such thing") \
	F(METHOD_NOT_ALLOWED,       405, "method_not_allowed",        6, "This path does not take that method") \
	F(CONFLICT,                 409, "conflict",                  6, "This is at odds with what is there") \
	F(TOKEN_SPENT,              409, "token_spent",               5, "This enrolment token was used before") \
	F(TOKEN_EXPIRED,            410, "token_expired",             6, "This enrolment token has expired") \
	F(TOO_LARGE,                413, "too_large",                 6, "The body is too large") \
	F(UNSUPPORTED_MEDIA_TYPE,   415, "unsupported_media_type",    6, "The body must be application/json") \
	F(WRONG_PASSWORD,           422, "wrong_password",            6, "The password does not open this PFX") \
	F(MAC_MISSING,              422, "mac_missing",               6, "The PFX has no MAC") \
	F(UNSUPPORTED_ALGORITHM,    422, "unsupported_algorithm",     6, "An algorithm is not supported") \
	F(MALFORMED_PKCS12,         422, "malformed_pkcs12",          6, "This is not a PFX file") \
	F(TOO_EXPENSIVE,            422, "too_expensive",             5, "Opening this PFX would cost too much work") \
	F(NO_PRIVATE_KEY,           422, "no_private_key",            6, "The PFX holds no private key") \
	F(NO_CERTIFICATE,           422, "no_certificate",            6, "The PFX holds no certificate") \
	F(KEY_MISMATCH,             422, "key_mismatch",              6, "Key and certificate do not belong together") \
	F(NOT_FOR_MAIL,             422, "not_for_mail",              6, "The certificate is not for mail") \
	F(WEAK_KEY,                 422, "weak_key",                  6, "The key is too weak, or can not be encrypted to") \
	F(MALFORMED_CSR,            422, "malformed_csr",             6, "This is not a PKCS#10 request") \
	F(BAD_PROOF_OF_POSSESSION,  422, "bad_proof_of_possession",   5, "The request is not signed by its own key") \
	F(HEADERS_TOO_LARGE,        431, "malformed_request",         6, "The request line and headers are too large") \
	F(RATE_LIMITED,             429, "rate_limited",              5, "Too many failed attempts from this address") \
	F(INTERNAL,                 500, "internal",                  3, "Something went wrong here") \
	F(UNAVAILABLE,              503, "unavailable",               4, "The service can not do this right now") \
	F(TAMPERED,                 500, "internal",                  2, "A stored record is not what was written") \
	/* Between rooms and inside them; a client sees these as internal. */ \
	F(BAD_FRAME,                500, "bad_frame",                 4, "A frame breaks the protocol") \
	F(CLOSED,                   500, "closed",                    7, "The other side closed the connection") \
	F(TIMED_OUT,                500, "timed_out",                 4, "The other side took too long") \
	F(AGAIN,                    500, "again",                     7, "Somebody else changed this first")

/* FAULT_OK is 0; the rest count up, and functions return them negated: -FAULT_NOT_FOUND. */
enum fault {
	FAULT_OK,
#define F(name, status, code, level, title) FAULT_##name,
	FAULTS(F)
#undef F
	FAULT_COUNT
};

#define FAULT_DETAIL_MAX 400 /* bytes of the sentence, with its end */

/* Records the sentence for this thread. What is not clean text in it becomes '?': it could not be sent. */
void fault_say(const char *format, ...) __attribute__((format(printf, 1, 2), cold));
/* int fail(enum fault fault, const char *format, ...): records the sentence and gives -fault. A macro, so that
 * compilers and analyzers see that the result is negative. */
#define fail(fault, ...) (fault_say(__VA_ARGS__), fault_negative(fault))
static inline int fault_negative(enum fault fault) { return -(int)fault; }

/* The sentence of this thread's last fail(); "" before the first. Owned by the thread, until its next fail(). */
const char *fault_detail(void);

/* Each takes the negative code that a function returned; a value outside the table counts as INTERNAL. */
int fault_status(int code);
int fault_level(int code); /* as in syslog(3) */
const char *fault_code(int code);
const char *fault_title(int code);

/* True when code and sentence of this error may be shown to a client; the others are between the rooms. */
int fault_is_public(int code);
/* True when the sentence of this error is about the service itself. It may name records and files, never people, nor
 * anything that a client sent: it can stand in any log. */
int fault_is_own(int code);

#endif
