/* Talks HTTPS through libcurl. Both clients. Never follows a redirect, never trusts another CA than it was given,
 * never writes what it sent or received anywhere. */
#include "http.h"

#include "json_text.h"
#include "text.h"
#include "trouble.h"
#include "version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_SECONDS = 15, CALL_SECONDS = 300, STALLED_SECONDS = 60, RETRY_AFTER_MAX_SECONDS = 90 * 86400 };

struct http {
	CURL *curl;
	bool plain;
	char *ca_file, *certificate_file, *key_file;
	char agent[HTTP_WORD_MAX];
	char why[CURL_ERROR_SIZE];
};

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

int http_open(const struct http_settings *settings, struct http **ret)
{
	struct http *http = calloc(1, sizeof *http);
	if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(http->curl = curl_easy_init())) {
		free(http);
		return trouble(EXIT_LOCAL, "libcurl does not start");
	}
	http->plain = settings->plain;
	http->ca_file = copy(settings->ca_file);
	http->certificate_file = copy(settings->certificate_file);
	http->key_file = copy(settings->key_file);
	snprintf(http->agent, sizeof http->agent, "%s/%s", settings->agent, PFXD_VERSION);
	*ret = http;
	return EXIT_DONE;
}

void http_close(struct http *http)
{
	if (!http)
		return;
	curl_easy_cleanup(http->curl);
	free(http->ca_file);
	free(http->certificate_file);
	free(http->key_file);
	free(http);
}

void http_answer_done(struct http_answer *answer)
{
	buf_free(answer->body_secret);
	answer->body_secret = NULL;
}

static size_t on_body(char *data, size_t one, size_t len, void *user)
{
	struct http_answer *answer = user;
	buf_put(answer->body_secret, data, one * len);
	return buf_ok(answer->body_secret) ? one * len : 0;
}

/* Copies what follows "Name:" in a header line, if it is that header. */
static bool header(struct view line, const char *name, char *ret, size_t size)
{
	size_t len = strlen(name);
	if (line.len <= len || strncasecmp((const char *)line.p, name, len) != 0 || line.p[len] != ':')
		return false;
	struct view value = view_of(line.p + len + 1, line.len - len - 1);
	while (value.len > 0 && (value.p[0] == ' ' || value.p[0] == '\t'))
		value = view_of(value.p + 1, value.len - 1);
	while (value.len > 0 && strchr(" \t\r\n", value.p[value.len - 1]))
		value.len--;
	return text_is_clean(value) && text_copy(value, ret, size);
}

static size_t on_header(char *data, size_t one, size_t len, void *user)
{
	struct http_answer *answer = user;
	struct view line = view_of(data, one * len);
	char number[HTTP_WORD_MAX];
	uint64_t seconds;
	header(line, "Content-Type", answer->type, sizeof answer->type);
	header(line, "X-Request-Id", answer->request_id, sizeof answer->request_id);
	header(line, "ETag", answer->etag, sizeof answer->etag);
	if (header(line, "Retry-After", number, sizeof number) &&
	    number_parse(view_text(number), RETRY_AFTER_MAX_SECONDS, &seconds))
		answer->retry_after = (int64_t)seconds;
	return one * len;
}

static void set_trust(struct http *http)
{
	CURL *curl = http->curl;
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	if (http->ca_file) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_file);
		curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* else the system's would count as well */
	}
	if (http->certificate_file) {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, http->certificate_file);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, http->key_file);
	}
}

static void set_manners(struct http *http)
{
	CURL *curl = http->curl;
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, http->plain ? "http" : "https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, http->agent);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)CALL_SECONDS);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALLED_SECONDS);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, http->why);
}

static void slist_freep(struct curl_slist **list) { curl_slist_free_all(*list); }
#define SLIST __attribute__((cleanup(slist_freep))) struct curl_slist *

/* Adds "name: value" to the list. False without memory. */
static bool add_header(struct curl_slist **list, const char *name, struct view value_secret)
{
	BUF line_secret = buf_new(strlen(name) + value_secret.len + 2);
	if (!line_secret)
		return false;
	buf_put_text(line_secret, name);
	buf_put(line_secret, value_secret.p, value_secret.len);
	const char *text = buf_text(line_secret);
	struct curl_slist *longer = text ? curl_slist_append(*list, text) : NULL;
	if (!longer)
		return false;
	*list = longer;
	return true;
}

static bool add_headers(struct curl_slist **list, const struct http_request *request)
{
	bool ok = add_header(list, "Accept:", view_text(" application/json, */*"));
	if (request->token_secret.len > 0)
		ok &= add_header(list, "Authorization: Bearer ", request->token_secret);
	if (request->body_secret.len > 0)
		ok &= add_header(list, "Content-Type: ", view_text("application/json")) &&
		      add_header(list, "Expect:", view_text("")); /* no waiting for 100-continue */
	if (request->if_none_match && request->if_none_match[0])
		ok &= add_header(list, "If-None-Match: ", view_text(request->if_none_match));
	return ok;
}

/* What went wrong, for which of the exit statuses, and what to do about it. */
static int explain(struct http *http, CURLcode rc, const char *url)
{
	const char *why = http->why[0] ? http->why : curl_easy_strerror(rc);
	switch (rc) {
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
		return trouble_coded(EXIT_REFUSED, "untrusted_server",
				     "%s is not the server that %s vouches for (%s); check the URL and the CA file", url,
				     http->ca_file ? http->ca_file : "the system's trust store", why);
	case CURLE_SSL_CACERT_BADFILE:
		return trouble(EXIT_LOCAL, "the CA file %s can not be read: %s", http->ca_file, why);
	case CURLE_SSL_CERTPROBLEM:
		return trouble(EXIT_LOCAL, "the client certificate or its key can not be used: %s", why);
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return trouble(EXIT_USAGE, "%s is no URL that this program can use: %s", url, why);
	case CURLE_WRITE_ERROR:
		return trouble(EXIT_REFUSED, "%s sent an answer larger than %d MiB", url,
			       HTTP_ANSWER_MAX_BYTES / (1024 * 1024));
	default:
		/* What answers without TLS is told as such, or just as a connection that was closed. */
		if (rc == CURLE_SSL_CONNECT_ERROR)
			return trouble(EXIT_LATER, "can not reach %s: no TLS connection came about (%s); is this an https "
				       "port?", url, why);
		return trouble(EXIT_LATER, "can not reach %s: %s; is it running there? try again later", url, why);
	}
}

int http_call(struct http *http, const struct http_request *request, struct http_answer *ret)
{
	CURL *curl = http->curl;
	SLIST headers = NULL;
	*ret = (struct http_answer){ .retry_after = -1, .body_secret = buf_new(HTTP_ANSWER_MAX_BYTES) };
	if (!ret->body_secret || !add_headers(&headers, request))
		return trouble(EXIT_LOCAL, "no memory");
	curl_easy_reset(curl); /* keeps the connection */
	set_trust(http);
	set_manners(http);
	http->why[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_URL, request->url);
	if (request->body_secret.len > 0) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body_secret.p);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_secret.len);
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, ret);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, ret);
	CURLcode rc = curl_easy_perform(curl);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
	if (rc != CURLE_OK)
		return explain(http, rc, request->url);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
	return EXIT_DONE;
}

/* A path that is on one interface of pfxd and not on this one. */
static bool is_wrong_interface(const json_t *problem)
{
	return strcmp(json_get_text(problem, "code"), "not_found") == 0 &&
	       strstr(json_get_text(problem, "detail"), "has no such path");
}

int http_expect(const struct http_answer *answer, const char *port)
{
	long status = answer->status;
	if ((status >= 200 && status < 300) || status == 304)
		return EXIT_DONE;
	bool later = status == 429 || status == 502 || status == 503 || status == 504;
	enum exit_status how = later ? EXIT_LATER : EXIT_REFUSED;
	char wait[80] = "", hint[80] = "";
	if (later && answer->retry_after >= 0)
		snprintf(wait, sizeof wait, "; try again in %lld seconds", (long long)answer->retry_after);
	else if (later)
		snprintf(wait, sizeof wait, "; try again later");
	JSON problem = NULL;
	if (strncmp(answer->type, "application/problem+json", 24) != 0 ||
	    json_read(buf_view(answer->body_secret), &problem) != EXIT_DONE)
		return trouble_coded(how, NULL, "the server answered with status %ld and no explanation; is this URL "
				     "the right interface of pfxd?%s", status, wait);
	const char *id = json_get_text(problem, "requestId"), *detail = json_get_text(problem, "detail");
	if (is_wrong_interface(problem))
		snprintf(hint, sizeof hint, "; is this the port of the %s?", port);
	return trouble_coded(how, json_get_text(problem, "code"), "%s: %s (request %s)%s%s",
			     json_get_text(problem, "code"), detail[0] ? detail : json_get_text(problem, "title"),
			     id[0] ? id : answer->request_id, hint, wait);
}

void url_put_encoded(struct buf *b, const char *text)
{
	for (const char *p = text; *p; p++) {
		uint8_t c = (uint8_t)*p;
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		if (letter || strchr("-._~", c))
			buf_put_u8(b, c);
		else
			buf_printf(b, "%%%02X", c);
	}
}

int url_check(const char *url, bool plain)
{
	const char *scheme = plain ? "http://" : "https://";
	size_t len = strlen(scheme);
	if (strncasecmp(url, scheme, len) != 0 || !url[len] || strpbrk(url + len, "?#@ "))
		return trouble(EXIT_USAGE, "\"%s\" is not a URL of the form %sHOST[:PORT]", url, scheme);
	return EXIT_DONE;
}
