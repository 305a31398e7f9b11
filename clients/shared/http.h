/* One HTTPS request and its answer. libcurl is behind this header and nowhere else. */
#ifndef PFXD_CLIENTS_HTTP_H
#define PFXD_CLIENTS_HTTP_H

#include "buf.h"

struct http;

struct http_settings {
	const char *agent;            /* name of the program */
	const char *ca_file;          /* PEM of whom to trust; NULL: whom the system trusts */
	const char *certificate_file; /* PEM of the client certificate, with key_file; NULL: none */
	const char *key_file;
	bool plain;                   /* HTTP without TLS, for probes; nothing secret may be sent */
};

enum { HTTP_WORD_MAX = 128, HTTP_ETAG_MAX = 1025, HTTP_ANSWER_MAX_BYTES = 32 * 1024 * 1024 };

struct http_request {
	const char *method, *url;
	struct view token_secret;    /* bearer token; empty: none */
	struct view body_secret;     /* JSON; empty: none */
	const char *if_none_match;   /* NULL or "": none */
};

struct http_answer {
	long status;
	struct buf *body_secret;
	char type[HTTP_WORD_MAX], request_id[HTTP_WORD_MAX], etag[HTTP_ETAG_MAX];
	int64_t retry_after; /* seconds; -1: the server did not say */
};

/* Makes a handle that keeps its connection open between calls. The strings in settings are copied. EXIT_LOCAL. */
int http_open(const struct http_settings *settings, struct http **ret);
void http_close(struct http *http);

/* EXIT_DONE when an answer of whatever status came. EXIT_LATER: nobody answered. EXIT_REFUSED: the server is not the
 * one that the CA vouches for. ret is initialised on every way out; free it with http_answer_done(). */
int http_call(struct http *http, const struct http_request *request, struct http_answer *ret);
void http_answer_done(struct http_answer *answer);

/* EXIT_DONE for a status of 2xx or 304; else a trouble that gives the problem (RFC 9457) as "code: detail
 * (request id)": EXIT_LATER for 429, 502, 503 and 504, EXIT_REFUSED for the rest. port says for whom the port is that
 * was meant, as in "devices": a call that another port does not know is most often that. */
int http_expect(const struct http_answer *answer, const char *port);

/* Appends text with everything but unreserved characters (RFC 3986 2.3) percent-encoded. */
void url_put_encoded(struct buf *b, const char *text);
/* EXIT_USAGE unless url is "https://host..." (or http://, where plain) without user, query or fragment. */
int url_check(const char *url, bool plain);

static inline void http_closep(struct http **http) { http_close(*http); }
#define HTTP __attribute__((cleanup(http_closep))) struct http *
#define HTTP_ANSWER __attribute__((cleanup(http_answer_done))) struct http_answer

#endif
