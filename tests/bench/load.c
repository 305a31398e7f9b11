/* A load generator: clients that call over TLS 1.3, each over one connection kept open or a fresh one a call. All of
 * them call in turn: a thread has those that are its share. It says as one line of JSON what came of it. Bench only: all threads block, and what goes wrong ends the run.
 *
 *     load HOST:PORT --ca FILE [options]; see usage[]. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 4 << 20, LINE_BYTES = 1 << 20, CLIENTS_MAX = 4096, STACK_BYTES = 256 << 10 };

static const char usage[] =
	"usage: load HOST:PORT --ca FILE [options]\n"
	"  --calls N         how many calls in all (1000)\n"
	"  --seconds S       end after this time, whatever is left of the calls\n"
	"  --threads N       how many at once (1)\n"
	"  --fresh           a new connection, without resumption, for each call\n"
	"  --rate R          start R calls a second, all threads together; how late one starts counts as its time\n"
	"  --clients FILE    lines \"CERTIFICATE KEY [ETAG]\": whom to be, in turn\n"
	"  --script FILE     lines \"METHOD PATH [BODY]\": what to call, in turn\n"
	"  --header LINE     sent with each call\n"
	"  --expect STATUS   of each answer (200); others are counted, and the first is shown\n";

struct client {
	SSL_CTX *tls;
	char etag[128];
};

static struct {
	struct addrinfo *address;
	const char *host, *header;
	char **script;
	size_t script_lines;
	struct client *clients;
	size_t client_count;
	long calls, threads, expect;
	double rate, seconds;
	bool fresh;
	int64_t started;
	_Atomic long next, done, failed, bytes;
	uint32_t *took_us; /* as they came to their end */
	pthread_mutex_t lock;
} load = { .calls = 1000, .threads = 1, .expect = 200, .lock = PTHREAD_MUTEX_INITIALIZER };

__attribute__((format(printf, 1, 2), noreturn))
static void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	ERR_print_errors_fp(stderr);
	va_end(args);
	_exit(1);
}

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what to call, and who calls ---- */

static SSL_CTX *make_tls(const char *ca, const char *certificate, const char *key)
{
	SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
	if (!tls || SSL_CTX_load_verify_file(tls, ca) != 1)
		die("can not read %s", ca);
	SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION);
	SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(tls, SSL_MODE_AUTO_RETRY);
	if (certificate && (SSL_CTX_use_certificate_chain_file(tls, certificate) != 1 ||
			    SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1))
		die("can not read %s or %s", certificate, key);
	return tls;
}

static void read_clients(const char *path, const char *ca)
{
	char line[4096], certificate[1024], key[1024];
	FILE *f = path ? fopen(path, "r") : NULL;
	if (path && !f)
		die("can not open %s", path);
	load.clients = calloc(CLIENTS_MAX, sizeof *load.clients);
	while (f && load.client_count < CLIENTS_MAX && fgets(line, sizeof line, f)) {
		struct client *c = &load.clients[load.client_count];
		if (sscanf(line, "%1023s %1023s %127s", certificate, key, c->etag) < 2)
			die("%s: a line needs a certificate and a key", path);
		c->tls = make_tls(ca, certificate, key);
		load.client_count++;
	}
	if (!f)
		load.clients[load.client_count++].tls = make_tls(ca, NULL, NULL);
	else
		fclose(f);
	if (load.client_count == 0)
		die("%s names nobody", path);
}

static void read_script(const char *path)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	FILE *f = path ? fopen(path, "r") : NULL;
	if (path && !f)
		die("can not open %s", path);
	while (f && (n = getline(&line, &size, f)) > 0) {
		line[strcspn(line, "\n")] = 0;
		load.script = reallocarray(load.script, load.script_lines + 1, sizeof *load.script);
		load.script[load.script_lines++] = strdup(line);
	}
	free(line);
	if (load.script_lines == 0)
		die("--script FILE must hold a line");
	fclose(f);
}

/* ---- one connection ---- */

static SSL *dial(const struct client *c)
{
	int one = 1, fd = socket(load.address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, load.address->ai_addr, load.address->ai_addrlen) < 0)
		die("can not connect: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	SSL *s = SSL_new(c->tls);
	if (!s || SSL_set_fd(s, fd) != 1 || SSL_set_tlsext_host_name(s, load.host) != 1 ||
	    SSL_set1_host(s, load.host) != 1 || SSL_connect(s) != 1)
		die("no TLS connection (verification: %s)", X509_verify_cert_error_string(SSL_get_verify_result(s)));
	return s;
}

static void hang_up(SSL *s)
{
	if (!s)
		return;
	int fd = SSL_get_fd(s);
	SSL_shutdown(s);
	SSL_free(s);
	close(fd);
}

static void ask(SSL *s, const struct client *c, const char *call, char *text)
{
	size_t method = strcspn(call, " "), path = strcspn(call + method + 1, " ");
	const char *body = call + method + 1 + path;
	body += *body == ' ';
	int n = snprintf(text, LINE_BYTES, "%.*s %.*s HTTP/1.1\r\nHost: %s\r\n", (int)method, call, (int)path,
			 call + method + 1, load.host);
	if (load.header)
		n += snprintf(text + n, LINE_BYTES - (size_t)n, "%s\r\n", load.header);
	if (c->etag[0])
		n += snprintf(text + n, LINE_BYTES - (size_t)n, "If-None-Match: %s\r\n", c->etag);
	if (*body)
		n += snprintf(text + n, LINE_BYTES - (size_t)n,
			      "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
	n += snprintf(text + n, LINE_BYTES - (size_t)n, "\r\n%s", body);
	if (n >= LINE_BYTES)
		die("a call is too long");
	if (SSL_write(s, text, n) != n)
		die("can not write a call");
}

/* Reads one answer, of which the length is told. Returns its status. */
static long hear(SSL *s, char *answer, long *ret_bytes)
{
	size_t len = 0, total = 0;
	while (total == 0 || len < total) {
		int n = SSL_read(s, answer + len, ANSWER_BYTES - 1 - (int)len);
		if (n <= 0)
			die("the connection ended after %zu bytes of an answer: %.200s", len, answer);
		len += (size_t)n;
		answer[len] = 0;
		char *end = total == 0 ? strstr(answer, "\r\n\r\n") : NULL;
		if (!end)
			continue;
		char *length = strcasestr(answer, "\r\nContent-Length:");
		total = (size_t)(end + 4 - answer) +
			(length && length < end ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0);
		if (total >= ANSWER_BYTES)
			die("an answer of %zu bytes", total);
	}
	*ret_bytes = (long)len;
	return strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}

static void count(long status, long bytes, int64_t began, const char *answer)
{
	load.took_us[atomic_fetch_add(&load.done, 1)] = (uint32_t)(now_us() - began);
	atomic_fetch_add(&load.bytes, bytes);
	if (status == load.expect)
		return;
	if (atomic_fetch_add(&load.failed, 1) == 0)
		fprintf(stderr, "load: the first answer that is not %ld: %.800s\n", load.expect, answer);
}

/* When this call is to begin: at once, or at its place in the given rate. */
static int64_t wait_for_turn(long number)
{
	if (load.rate <= 0)
		return now_us();
	int64_t at = load.started + (int64_t)((double)number * 1e6 / load.rate), now = now_us();
	if (at > now)
		usleep((useconds_t)(at - now));
	return at;
}

/* The next client of this thread's share, which is every threads-th; or one alone, where there are fewer of them. */
static size_t next_client(size_t thread, size_t client)
{
	client += (size_t)load.threads;
	return client < load.client_count ? client : thread % load.client_count;
}

static void *call_on(void *arg)
{
	long number, bytes;
	size_t thread = (size_t)(uintptr_t)arg, n = load.client_count;
	char *answer = malloc(ANSWER_BYTES);
	SSL **kept = calloc(load.client_count, sizeof(SSL *));
	if (!answer || !kept)
		die("no memory");
	while ((number = atomic_fetch_add(&load.next, 1)) < load.calls) {
		int64_t began = wait_for_turn(number);
		if (load.seconds > 0 && (double)(began - load.started) > load.seconds * 1e6)
			break;
		n = load.fresh ? (size_t)number % load.client_count : next_client(thread, n);
		const struct client *c = &load.clients[n];
		SSL *s = kept[n] ? kept[n] : dial(c);
		ask(s, c, load.script[(size_t)number % load.script_lines], answer);
		long status = hear(s, answer, &bytes);
		if (load.fresh)
			hang_up(s);
		else
			kept[n] = s;
		count(status, bytes, began, answer);
	}
	for (n = 0; n < load.client_count; n++)
		hang_up(kept[n]);
	free(kept);
	free(answer);
	return NULL;
}

/* ---- all of it ---- */

static int by_time(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static void report(int64_t took)
{
	struct rusage used;
	long n = load.done;
	getrusage(RUSAGE_SELF, &used);
	if (n == 0)
		die("no call was made");
	qsort(load.took_us, (size_t)n, sizeof *load.took_us, by_time);
	printf("{\"calls\": %ld, \"failed\": %ld, \"seconds\": %.6f, \"bytes\": %ld, \"p50_us\": %u, \"p99_us\": %u, "
	       "\"max_us\": %u, \"own_cpu\": %.3f}\n",
	       n, load.failed, (double)took / 1e6, load.bytes, load.took_us[n / 2], load.took_us[n * 99 / 100],
	       load.took_us[n - 1],
	       (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	       (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
}

static void run(void)
{
	pthread_t *threads = calloc((size_t)load.threads, sizeof *threads);
	pthread_attr_t small;
	load.took_us = calloc((size_t)load.calls, sizeof *load.took_us);
	if (!threads || !load.took_us)
		die("no memory");
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, STACK_BYTES);
	load.started = now_us();
	for (long i = 0; i < load.threads; i++)
		if (pthread_create(&threads[i], &small, call_on, (void *)(uintptr_t)i) != 0)
			die("can not start a thread");
	for (long i = 0; i < load.threads; i++)
		pthread_join(threads[i], NULL);
	free(threads);
	report(now_us() - load.started);
}

static void resolve(char *target)
{
	char *colon = strrchr(target, ':');
	const struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET };
	if (!colon)
		die("HOST:PORT, please");
	*colon = 0;
	load.host = target;
	if (getaddrinfo(target, colon + 1, &want, &load.address) != 0)
		die("can not find %s", target);
}

int main(int argc, char **argv)
{
	enum { CALLS = 1, SECONDS, THREADS, FRESH, RATE, CLIENTS, SCRIPT, HEADER, EXPECT, CA };
	static const struct option options[] = {
		{ "calls", 1, NULL, CALLS }, { "seconds", 1, NULL, SECONDS }, { "threads", 1, NULL, THREADS },
		{ "fresh", 0, NULL, FRESH }, { "rate", 1, NULL, RATE }, { "clients", 1, NULL, CLIENTS },
		{ "script", 1, NULL, SCRIPT }, { "header", 1, NULL, HEADER }, { "expect", 1, NULL, EXPECT },
		{ "ca", 1, NULL, CA }, { 0 },
	};
	const char *clients = NULL, *script = NULL, *ca = NULL;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case CALLS: load.calls = atol(optarg); break;
		case SECONDS: load.seconds = atof(optarg); break;
		case THREADS: load.threads = atol(optarg); break;
		case FRESH: load.fresh = true; break;
		case RATE: load.rate = atof(optarg); break;
		case CLIENTS: clients = optarg; break;
		case SCRIPT: script = optarg; break;
		case HEADER: load.header = optarg; break;
		case EXPECT: load.expect = atol(optarg); break;
		case CA: ca = optarg; break;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (optind + 1 != argc || !ca || !script || load.calls < 1 || load.threads < 1) {
		fputs(usage, stderr);
		return 2;
	}
	resolve(argv[optind]);
	read_clients(clients, ca);
	read_script(script);
	run();
	return 0;
}
