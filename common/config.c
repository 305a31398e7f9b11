/* Reads pfxd.conf with inih. Front, keeper, launcher and pfxctl; never an opener. */
#include "config.h"

#include "fault.h"
#include "log.h"
#include "text.h"
#include "version.h"

#include <errno.h>
#include <getopt.h>
#include <ini.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { KIND_TEXT, KIND_NUMBER, KIND_CHOICE };
enum when { WHEN_START, WHEN_RELOAD };

static const struct key {
	const char *section, *name, *text;
	enum kind kind;
	enum when when;
	size_t offset;
	uint32_t least, most;
	const char *values, *help;
} keys[] = {
#define KEY(s, w, n) .section = #s, .name = #n, .when = WHEN_##w, .offset = offsetof(struct config, n)
#define TEXT(s, w, n, v, h) { KEY(s, w, n), .kind = KIND_TEXT, .text = v, .most = CONFIG_TEXT_MAX - 1, .help = h },
#define NUMBER(s, w, n, v, l, m, h) \
	{ KEY(s, w, n), .kind = KIND_NUMBER, .text = #v, .least = l, .most = m, .help = h },
#define CHOICE(s, w, n, v, c, h) { KEY(s, w, n), .kind = KIND_CHOICE, .text = v, .values = c, .help = h },
	CONFIG_KEYS(TEXT, NUMBER, CHOICE)
#undef KEY
#undef TEXT
#undef NUMBER
#undef CHOICE
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0], WAITING_MAX_BYTES = 2048 };

static char *text_of(struct config *c, const struct key *key)
{
	return (char *)c + key->offset;
}

static _Atomic uint32_t *number_of(struct config *c, const struct key *key)
{
	return (_Atomic uint32_t *)((char *)c + key->offset);
}

static int set_text(struct config *c, const struct key *key, const char *value)
{
	if (value[0] == ';') /* behind a space inih reads it otherwise */
		return fail(FAULT_MALFORMED_REQUEST, "%s begins with a semicolon: a comment has a space before it",
			    key->name);
	if (text_is_clean(view_text(value)) && text_copy(view_text(value), text_of(c, key), CONFIG_TEXT_MAX))
		return 0;
	return fail(FAULT_MALFORMED_REQUEST, "%s is longer than %u bytes or not text", key->name, key->most);
}

static int set_number(struct config *c, const struct key *key, const char *value)
{
	uint64_t number;
	if (!number_parse(view_text(value), key->most, &number) || number < key->least)
		return fail(FAULT_MALFORMED_REQUEST, "%s must be a whole number from %u to %u", key->name, key->least,
			    key->most);
	*number_of(c, key) = (uint32_t)number;
	return 0;
}

static int set_choice(struct config *c, const struct key *key, const char *value)
{
	uint32_t number = 0;
	for (const char *at = key->values; ; number++) {
		size_t len = strcspn(at, "|");
		if (view_equal(view_of(at, len), view_text(value)))
			break;
		if (!at[len])
			return fail(FAULT_MALFORMED_REQUEST, "%s must be one of %s", key->name, key->values);
		at += len + 1;
	}
	*number_of(c, key) = number;
	return 0;
}

static int set(struct config *c, const struct key *key, const char *value)
{
	switch (key->kind) {
	case KIND_TEXT: return set_text(c, key, value);
	case KIND_NUMBER: return set_number(c, key, value);
	case KIND_CHOICE: break;
	}
	return set_choice(c, key, value);
}

void config_init(struct config *c)
{
	memset(c, 0, sizeof *c);
	for (size_t i = 0; i < KEY_COUNT; i++)
		set(c, &keys[i], keys[i].text);
}

static const struct key *find(const char *section, const char *name)
{
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

int config_set(struct config *c, const char *section, const char *name, const char *value)
{
	const struct key *key = find(section, name);
	if (!key)
		return fail(FAULT_MALFORMED_REQUEST, "there is no key %s in section [%s]", name, section);
	return set(c, key, value);
}

struct reading {
	struct config *config;
	FILE *file;
	bool seen[KEY_COUNT];
	int line;      /* that was read last */
	int rc, wrong; /* the first error that is not inih's, and its line */
	int trouble;   /* errno, where the file can not be read */
};

static int refuse(struct reading *reading, int rc)
{
	reading->rc = rc;
	reading->wrong = reading->line;
	return 0;
}

/* inih's callback: 1 to go on. Only the first error counts; inih tells its line. */
static int on_pair(void *user, const char *section, const char *name, const char *value)
{
	struct reading *reading = user;
	const struct key *key = find(section, name);
	if (reading->rc < 0)
		return 0;
	if (key && reading->seen[key - keys])
		return refuse(reading, fail(FAULT_MALFORMED_REQUEST, "%s is given twice", name));
	if (key)
		reading->seen[key - keys] = true;
	int rc = config_set(reading->config, section, name, value);
	return rc == 0 ? 1 : refuse(reading, rc);
}

/* inih's reader. A line that is too long is given out as one that is neither section nor pair, so that it is an error.
 * */
static char *read_line(char *line, int size, void *user)
{
	struct reading *reading = user;
	if (!fgets(line, size, reading->file)) {
		reading->trouble = ferror(reading->file) ? errno : 0;
		return NULL;
	}
	reading->line++;
	if (strcspn(line, "\n") <= CONFIG_LINE_MAX && (strchr(line, '\n') || feof(reading->file)))
		return line;
	for (int c = 0; c != '\n' && c != EOF;)
		c = fgetc(reading->file);
	if (reading->rc == 0)
		refuse(reading, fail(FAULT_MALFORMED_REQUEST, "the line is longer than %d characters",
				     CONFIG_LINE_MAX));
	return strcpy(line, "too long\n");
}

int config_read(struct config *c, const char *path)
{
	struct reading reading = { .config = c, .file = fopen(path, "re") };
	if (!reading.file)
		return fail(FAULT_NOT_FOUND, "can not read the configuration %s: %s", path, strerror(errno));
	int line = ini_parse_stream(read_line, &reading, on_pair, &reading);
	fclose(reading.file);
	if (reading.trouble)
		return fail(FAULT_NOT_FOUND, "can not read the configuration %s: %s", path,
			    strerror(reading.trouble));
	if (line == 0)
		return 0;
	/* inih goes on after a line that it can not read, and what is told of a later one is not about this. */
	if (reading.rc == 0 || line != reading.wrong)
		return fail(FAULT_MALFORMED_REQUEST, "%s line %d: neither [section] nor key = value", path, line);
	char why[FAULT_DETAIL_MAX];
	strcpy(why, fault_detail());
	return fail(FAULT_MALFORMED_REQUEST, "%s line %d: %s", path, line, why);
}

/* ---- a reload ---- */

/* Takes one key over if a reload may, else names it in ret_waiting. */
static void take_over(struct config *c, struct config *fresh, const struct key *key, struct buf *ret_waiting)
{
	bool is_text = key->kind == KIND_TEXT;
	bool same = is_text ? strcmp(text_of(c, key), text_of(fresh, key)) == 0 :
			      *number_of(c, key) == *number_of(fresh, key);
	if (same)
		return;
	if (key->when == WHEN_START)
		buf_printf(ret_waiting, "%s[%s] %s", buf_len(ret_waiting) > 0 ? ", " : "", key->section, key->name);
	else if (is_text)
		memcpy(text_of(c, key), text_of(fresh, key), CONFIG_TEXT_MAX);
	else
		*number_of(c, key) = *number_of(fresh, key);
}

int config_reload(struct config *c)
{
	struct config fresh;
	BUF waiting = buf_new(WAITING_MAX_BYTES);
	config_init(&fresh);
	int rc = waiting ? config_read(&fresh, c->file) : fail(FAULT_UNAVAILABLE, "no memory");
	if (rc < 0) {
		log_detail(EVENT_NOT_RELOADED, "the configuration: %s", fault_detail());
		return rc;
	}
	for (const struct key *key = keys; key < keys + KEY_COUNT; key++)
		take_over(c, &fresh, key, waiting);
	log_set(c->level, c->names);
	struct view names = buf_view(waiting);
	log_detail(EVENT_RELOADED, "the configuration%s%.*s",
		   names.len > 0 ? "; these keys wait for the next start: " : "", (int)names.len, (const char *)names.p);
	return 0;
}

/* ---- what is printed of the table ---- */

void config_print_sample(FILE *f)
{
	const char *section = "";
	fputs("# pfxd.conf: every key at its default. An unknown key is an error.\n"
	      "# Relative paths are relative to the folder of this file.\n"
	      "# A reload (SIGHUP) takes changes over, but for keys that are read at a start only.\n", f);
	for (const struct key *key = keys; key < keys + KEY_COUNT; key++) {
		if (strcmp(section, key->section) != 0)
			fprintf(f, "\n[%s]\n", section = key->section);
		fprintf(f, "# %s", key->help);
		if (key->kind == KIND_NUMBER)
			fprintf(f, " (%u to %u)", key->least, key->most);
		if (key->kind == KIND_CHOICE)
			fprintf(f, " (%s)", key->values);
		fprintf(f, "%s\n#%s = %s\n", key->when == WHEN_START ? " Read at a start only." : "", key->name,
			key->text);
	}
}

void config_print_manual(FILE *f)
{
	for (const struct key *key = keys; key < keys + KEY_COUNT; key++) {
		fprintf(f, ".TP\n.B [%s] %s\n%s", key->section, key->name, key->help);
		if (key->kind == KIND_NUMBER)
			fprintf(f, " From %u to %u.", key->least, key->most);
		if (key->kind == KIND_CHOICE)
			fprintf(f, " One of %s.", key->values);
		if (key->when == WHEN_START)
			fputs(" Read at a start only.", f);
		fprintf(f, " Default: %s.\n", key->text[0] ? key->text : "empty");
	}
}

static void usage(const char *program, const char *purpose, const char *more)
{
	printf("%s: %s\n\n"
	       "usage: %s [OPTIONS]\n"
	       "%s"
	       "  --config FILE   read this configuration (default /etc/pfxd/pfxd.conf)\n"
	       "  --sample        print a sample configuration and end\n"
	       "  --manual        print the keys as a section of a manual page and end\n"
	       "  --version       print the version and end\n"
	       "  -h, --help      print this and end\n"
	       "Sockets come from systemd or from the launcher, pfxd; see pfxd --help to try the service out.\n",
	       program, purpose, program, more);
}

/* What is to be done about a configuration that can not be used. Where it is installed, PATH does not lead to a room:
 * it tells its own. */
static void tell(const char *program, int rc)
{
	char self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
	self[len > 0 ? len : 0] = '\0';
	fprintf(stderr, "%s: %s\n", program, fault_detail());
	if (rc == -FAULT_NOT_FOUND)
		fprintf(stderr, "%s: give one with --config FILE (%s --sample prints one), or try the service out with "
			"pfxd --dev DIR\n", program, self);
	else
		fprintf(stderr, "%s: %s --sample prints every key\n", program, self);
}

int config_start(struct config *c, int argc, char **argv, const char *purpose)
{
	return config_start_with(c, argc, argv, purpose, "");
}

int config_start_with(struct config *c, int argc, char **argv, const char *purpose, const char *more)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "sample", no_argument, NULL, 's' },
		{ "manual", no_argument, NULL, 'm' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	const char *path = "/etc/pfxd/pfxd.conf";
	const char *program = basename(argv[0]);
	config_init(c);
	for (int option; (option = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		switch (option) {
		case 'c': path = optarg; break;
		case 's': config_print_sample(stdout); return EXIT_SUCCESS + 1;
		case 'm': config_print_manual(stdout); return EXIT_SUCCESS + 1;
		case 'v': printf("%s %s\n", program, PFXD_VERSION); return EXIT_SUCCESS + 1;
		case 'h': usage(program, purpose, more); return EXIT_SUCCESS + 1;
		default: fprintf(stderr, "%s: try --help\n", program); return 2 + 1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "%s: what is \"%s\"? try --help\n", program, argv[optind]);
		return 2 + 1;
	}
	char folder[4096];
	snprintf(folder, sizeof folder, "%s", path);
	const char *slash = strrchr(path, '/');
	c->file = slash && path[0] != '/' ? slash + 1 : path;
	int rc = config_read(c, path);
	if (rc < 0) {
		tell(program, rc);
		return 2 + 1;
	}
	if (chdir(dirname(folder)) < 0) {
		fprintf(stderr, "%s: can not enter the folder of %s\n", program, path);
		return 2 + 1;
	}
	log_init(program, c->level, c->names);
	return 0;
}
