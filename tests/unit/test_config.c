/* The configuration: every key at its edges, and the sentences for what is wrong in a file. */
#include "unit.h"

#include "config.h"

#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[] = "/tmp/test-config-XXXXXX";

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink("pfxd.conf");
	return chdir("/") == 0 ? rmdir(folder) : -1;
}

static void write_file(const char *text)
{
	FILE *f = fopen("pfxd.conf", "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static int read_text(struct config *c, const char *text)
{
	write_file(text);
	config_init(c);
	return config_read(c, "pfxd.conf");
}

#define KEY_IS_DEFAULT_TEXT(section, when, name, value, help) assert_string_equal(c.name, value);
#define KEY_IS_DEFAULT_NUMBER(section, when, name, value, least, most, help) \
	assert_int_equal(c.name, value); \
	assert_in_range(c.name, least, most);
#define KEY_IS_DEFAULT_CHOICE(section, when, name, value, values, help) assert_choice(c.name, value, values);
#define ASSERT_DEFAULTS CONFIG_KEYS(KEY_IS_DEFAULT_TEXT, KEY_IS_DEFAULT_NUMBER, KEY_IS_DEFAULT_CHOICE)

/* That value is the one with that number, from 0, of values, which are separated by '|'. */
static void assert_choice(uint32_t number, const char *value, const char *values)
{
	while (number-- > 0) {
		values = strchr(values, '|');
		assert_non_null(values++);
	}
	assert_int_equal(strcspn(values, "|"), strlen(value));
	assert_int_equal(strncmp(values, value, strlen(value)), 0);
}

TEST(every_key_begins_at_its_default_which_is_within_its_bounds)
{
	struct config c;
	config_init(&c);
	ASSERT_DEFAULTS
}

static int set_number(struct config *c, const char *section, const char *name, long long value)
{
	char text[32];
	snprintf(text, sizeof text, "%lld", value);
	return config_set(c, section, name, text);
}

#define NOTHING(...)
#define NUMBER_AT_EDGES(section, when, name, value, least, most, help) \
	assert_done(set_number(&c, #section, #name, least)); \
	assert_int_equal(c.name, least); \
	assert_done(set_number(&c, #section, #name, most)); \
	assert_int_equal(c.name, most); \
	assert_fault(set_number(&c, #section, #name, (long long)(least) - 1), MALFORMED_REQUEST); \
	assert_fault(set_number(&c, #section, #name, (long long)(most) + 1), MALFORMED_REQUEST); \
	assert_told(#name); \
	assert_int_equal(c.name, most);

TEST(every_number_is_taken_at_its_bounds_and_refused_past_them)
{
	struct config c;
	config_init(&c);
	CONFIG_KEYS(NOTHING, NUMBER_AT_EDGES, NOTHING)
}

TEST(what_is_no_whole_number_is_refused)
{
	static const char *const wrong[] = {
		"", " 8", "8 ", "-8", "+8", "8k", "0x8", "8.0", "99999999999999999999999"
	};
	struct config c;
	config_init(&c);
	for (size_t i = 0; i < COUNT_OF(wrong); i++)
		assert_fault(config_set(&c, "front", "threads", wrong[i]), MALFORMED_REQUEST);
}

#define TEXT_AT_EDGES(section, when, name, value, help) \
	text[CONFIG_TEXT_MAX - 1] = '\0'; \
	assert_done(config_set(&c, #section, #name, text)); \
	assert_int_equal(strlen(c.name), CONFIG_TEXT_MAX - 1); \
	text[CONFIG_TEXT_MAX - 1] = 'x'; \
	assert_fault(config_set(&c, #section, #name, text), MALFORMED_REQUEST); \
	assert_told(#name);

TEST(every_text_is_taken_at_its_most_and_refused_past_it)
{
	struct config c;
	char text[CONFIG_TEXT_MAX + 1] = "";
	memset(text, 'x', CONFIG_TEXT_MAX);
	config_init(&c);
	CONFIG_KEYS(TEXT_AT_EDGES, NOTHING, NOTHING)
}

static void check_choice(struct config *c, const char *section, const char *name, const char *values,
			 const _Atomic uint32_t *field)
{
	uint32_t number = 0;
	char value[64];
	for (const char *at = values; ; at += strlen(value) + 1, number++) {
		snprintf(value, sizeof value, "%.*s", (int)strcspn(at, "|"), at);
		assert_done(config_set(c, section, name, value));
		assert_int_equal(*field, number);
		value[strlen(value) - 1]++; /* almost one of them */
		assert_fault(config_set(c, section, name, value), MALFORMED_REQUEST);
		assert_told(values);
		if (!at[strlen(value)])
			break;
	}
	assert_fault(config_set(c, section, name, ""), MALFORMED_REQUEST);
	assert_fault(config_set(c, section, name, "1"), MALFORMED_REQUEST);
	assert_fault(config_set(c, section, name, values), MALFORMED_REQUEST);
}

#define CHOICE_OF_EACH(section, when, name, value, values, help) check_choice(&c, #section, #name, values, &c.name);

TEST(every_choice_takes_each_of_its_values_and_no_other)
{
	struct config c;
	config_init(&c);
	CONFIG_KEYS(NOTHING, NOTHING, CHOICE_OF_EACH)
}

TEST(a_text_that_is_not_clean_is_refused)
{
	struct config c;
	config_init(&c);
	assert_fault(config_set(&c, "paths", "database", "a\nb"), MALFORMED_REQUEST);
	assert_fault(config_set(&c, "paths", "database", "\xff"), MALFORMED_REQUEST);
}

TEST(a_file_sets_what_it_names_and_leaves_the_rest)
{
	struct config c;
	assert_done(read_text(
		&c, "# why\n[front]\nthreads = 7\n\n[paths]\ndatabase=/tmp/x y.db\n; more\n[log]\nlevel = 4\n"));
	assert_int_equal(c.threads, 7);
	assert_string_equal(c.database, "/tmp/x y.db");
	assert_int_equal(c.level, 4);
	assert_int_equal(c.workers, 16);
}

TEST(an_empty_file_is_all_defaults)
{
	struct config c;
	assert_done(read_text(&c, ""));
	ASSERT_DEFAULTS
}

TEST(a_file_that_is_wrong_is_told_with_line_and_key)
{
	static const struct { const char *text, *line, *key; } wrong[] = {
		{ "[front]\n\nthreeds = 7\n", "line 3", "threeds" },        /* no such key */
		{ "[keeper]\nthreads = 7\n", "line 2", "threads" },         /* in another section */
		{ "[frnt]\nthreads = 7\n", "line 2", "[frnt]" },            /* no such section */
		{ "threads = 7\n", "line 1", "threads" },                   /* before any section */
		{ "[front]\nthreads = 0\n", "line 2", "threads" },
		{ "[front]\nthreads = 7\nthreads = 7\n", "line 3", "twice" },
		{ "[front]\nthreads = 7\n[log]\n[front]\nthreads = 8\n", "line 5", "twice" },
		{ "[front]\nthreads\n", "line 2", "key" },
		{ "[front\nthreads = 7\n", "line 1", "neither [section]" },
		{ "[paths]\n\n[front\nthreads = 7\n", "line 3", "neither [section]" }, /* not what follows from it */
		{ "[paths]\n[front ;]\nthreads = 7\n", "line 2", "neither [section]" },
		{ "[paths]\nkeyring =;none\n", "line 2", "keyring begins with a semicolon: a comment has a space" },
	};
	struct config c;
	for (size_t i = 0; i < COUNT_OF(wrong); i++) {
		assert_fault(read_text(&c, wrong[i].text), MALFORMED_REQUEST);
		assert_told("pfxd.conf");
		assert_told(wrong[i].line);
		assert_told(wrong[i].key);
	}
}

TEST(the_first_thing_that_is_wrong_is_the_one_told)
{
	struct config c;
	assert_fault(read_text(&c, "[front]\nthreads = 0\nnonsense = 1\n"), MALFORMED_REQUEST);
	assert_told("line 2");
}

static void check_text_in_file(const char *section, const char *name, size_t offset)
{
	struct config c;
	char value[CONFIG_TEXT_MAX] = "", text[2 * CONFIG_LINE_MAX];
	memset(value, 'x', sizeof value - 1);
	snprintf(text, sizeof text, "[%s]\n%s = %s\n", section, name, value);
	assert_done(read_text(&c, text));
	assert_string_equal((const char *)&c + offset, value);
}

#define TEXT_IN_FILE(section, when, name, value, help) check_text_in_file(#section, #name, offsetof(struct config, name));

TEST(every_text_of_the_most_bytes_can_stand_in_a_file)
{
	CONFIG_KEYS(TEXT_IN_FILE, NOTHING, NOTHING)
}

TEST(a_line_of_the_most_characters_is_read_and_a_longer_one_is_told_by_its_number)
{
	struct config c;
	char text[2 * CONFIG_LINE_MAX] = "[front]\n# ";
	size_t start = strlen(text) - 2;
	memset(text + start + 2, 'c', CONFIG_LINE_MAX - 1);
	strcpy(text + start + CONFIG_LINE_MAX, "\nthreads = 3\n");
	assert_done(read_text(&c, text));
	assert_int_equal(c.threads, 3);
	strcpy(text + start + CONFIG_LINE_MAX, "c\nthreads = 3\n");
	assert_fault(read_text(&c, text), MALFORMED_REQUEST);
	assert_told("line 2");
	strcpy(text + start + CONFIG_LINE_MAX, "c"); /* also without an end */
	assert_fault(read_text(&c, text), MALFORMED_REQUEST);
	assert_told("line 2");
}

/* libinih takes lines apart that are longer than its own buffer. */
TEST(the_tail_of_a_long_comment_is_never_read_as_a_key)
{
	for (size_t len = 150; len < 1100; len++) {
		struct config c;
		char text[2000] = "[front]\n# ";
		size_t at = strlen(text);
		memset(text + at, 'c', len);
		strcpy(text + at + len, "threads = 3\n");
		read_text(&c, text); /* refused or not */
		assert_int_equal(c.threads, 2);
	}
}

TEST(a_file_that_is_not_there_is_not_found)
{
	struct config c;
	config_init(&c);
	assert_fault(config_read(&c, "nowhere.conf"), NOT_FOUND);
	assert_told("nowhere.conf: No such file");
}

TEST(what_can_not_be_read_is_told_with_the_reason_and_is_no_empty_file)
{
	struct config c;
	config_init(&c);
	assert_fault(config_read(&c, folder), NOT_FOUND);
	assert_told("Is a directory");
}

/* The sample with every key's comment mark taken away. */
static void write_sample_without_marks(void)
{
	char line[1024];
	FILE *sample = tmpfile(), *f = fopen("pfxd.conf", "w");
	assert_non_null(sample);
	assert_non_null(f);
	config_print_sample(sample);
	rewind(sample);
	while (fgets(line, sizeof line, sample)) {
		bool key = line[0] == '#' && line[1] != ' ';
		fputs(line + key, f);
	}
	fclose(sample);
	fclose(f);
}

TEST(the_sample_file_is_read_as_the_defaults)
{
	struct config c;
	config_init(&c);
	memset(c.database, 'x', 3);
	c.threads = 60;
	c.deliver_signing = DELIVER_NONE;
	write_sample_without_marks();
	assert_done(config_read(&c, "pfxd.conf"));
	ASSERT_DEFAULTS
}

TEST(the_sample_and_the_manual_name_every_key)
{
	static char text[65536];
	for (int manual = 0; manual < 2; manual++) {
		FILE *f = tmpfile();
		assert_non_null(f);
		manual ? config_print_manual(f) : config_print_sample(f);
		rewind(f);
		text[fread(text, 1, sizeof text - 1, f)] = '\0';
		fclose(f);
#define KEY_IS_THERE(section, when, name, ...) assert_non_null(strstr(text, #name));
		CONFIG_KEYS(KEY_IS_THERE, KEY_IS_THERE, KEY_IS_THERE)
	}
}

static int start(struct config *c, const char *a, const char *b)
{
	static char program[] = "pfxd-test", one[64], two[64]; /* arguments of a program last as long as it */
	char *argv[] = { program, one, two, NULL };
	snprintf(one, sizeof one, "%s", a);
	snprintf(two, sizeof two, "%s", b ? b : "");
	optind = 0;
	return config_start(c, b ? 3 : 2, argv, "tests");
}

TEST(a_room_goes_to_the_folder_of_its_configuration)
{
	struct config c;
	char path[64], here[64];
	write_file("[front]\nthreads = 5\n");
	snprintf(path, sizeof path, "%s/pfxd.conf", folder);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(start(&c, "--config", path), 0);
	assert_int_equal(c.threads, 5);
	assert_string_equal(getcwd(here, sizeof here), folder);
}

TEST(a_command_line_that_is_wrong_ends_with_status_2)
{
	struct config c;
	write_file("[front]\nthreads = 0\n");
	assert_int_equal(start(&c, "--nonsense", NULL), 2 + 1);
	assert_int_equal(start(&c, "nonsense", NULL), 2 + 1);
	assert_int_equal(start(&c, "--config", "pfxd.conf"), 2 + 1);
	assert_int_equal(start(&c, "--config", "nowhere.conf"), 2 + 1);
}

/* Writes the file and reloads c from it; ret_said is what that wrote into the log. */
static int reload(struct config *c, const char *text, char *ret_said, size_t size)
{
	FILE *log = tmpfile();
	int kept = dup(STDERR_FILENO);
	assert_non_null(log);
	write_file(text);
	dup2(fileno(log), STDERR_FILENO);
	int rc = config_reload(c);
	dup2(kept, STDERR_FILENO);
	close(kept);
	rewind(log);
	ret_said[fread(ret_said, 1, size - 1, log)] = '\0';
	fclose(log);
	return rc;
}

static void started_with(struct config *c, const char *text)
{
	write_file(text);
	assert_int_equal(start(c, "--config", "pfxd.conf"), 0);
}

TEST(a_reload_takes_changes_over_and_names_those_that_wait_for_the_next_start)
{
	struct config c;
	char said[1024];
	started_with(&c, "[front]\nthreads = 3\nidle_seconds = 9\n[log]\nlevel = 4\n");
	assert_done(reload(&c, "[front]\nthreads = 4\nidle_seconds = 10\n[paths]\ntls_key = other.key\n"
			       "runtime = other\n[keeper]\ndeliver_signing = none\n", said, sizeof said));
	assert_int_equal(c.idle_seconds, 10);
	assert_int_equal(c.level, 6);
	assert_int_equal(c.deliver_signing, DELIVER_NONE);
	assert_string_equal(c.tls_key, "other.key");
	assert_int_equal(c.threads, 3);
	assert_string_equal(c.runtime, "/run/pfxd");
	assert_non_null(strstr(said, "the configuration; these keys wait for the next start: [paths] runtime, [front] threads\n"));
}

TEST(a_reload_of_the_same_file_names_nothing)
{
	struct config c;
	char said[1024];
	started_with(&c, "[front]\nthreads = 3\n");
	assert_done(reload(&c, "[front]\nthreads = 3\n", said, sizeof said));
	assert_non_null(strstr(said, "read again: the configuration\n"));
}

TEST(a_reload_of_a_file_that_is_wrong_changes_nothing_and_names_the_line)
{
	struct config c;
	char said[1024];
	started_with(&c, "[front]\nidle_seconds = 9\n");
	assert_fault(reload(&c, "[front]\nidle_seconds = 10\nnonsense = 1\n", said, sizeof said), MALFORMED_REQUEST);
	assert_int_equal(c.idle_seconds, 9);
	assert_non_null(strstr(said, "the old stays: the configuration: pfxd.conf line 3: there is no key nonsense"));
	unlink("pfxd.conf");
	assert_fault(config_reload(&c), NOT_FOUND);
	assert_int_equal(c.idle_seconds, 9);
}

TEST(a_reload_sets_the_level_of_the_log)
{
	struct config c;
	char said[1024];
	started_with(&c, "[log]\nlevel = 6\n");
	assert_done(reload(&c, "[log]\nlevel = 3\n", said, sizeof said));
	assert_string_equal(said, ""); /* what it has to say is less than an error */
	assert_fault(reload(&c, "[log]\nlevel = 9\n", said, sizeof said), MALFORMED_REQUEST);
	assert_non_null(strstr(said, "level must be"));
}

TEST(a_reload_finds_the_file_again_from_the_folder_that_the_room_went_to)
{
	struct config c;
	char path[64], said[1024], name[32] = "";
	snprintf(name, sizeof name, "%s", folder + 1);
	write_file("[front]\nidle_seconds = 5\n");
	snprintf(path, sizeof path, "%s/pfxd.conf", name);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(start(&c, "--config", path), 0);
	assert_done(reload(&c, "[front]\nidle_seconds = 6\n", said, sizeof said));
	assert_int_equal(c.idle_seconds, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_begins_at_its_default_which_is_within_its_bounds),
		cmocka_unit_test(every_number_is_taken_at_its_bounds_and_refused_past_them),
		cmocka_unit_test(what_is_no_whole_number_is_refused),
		cmocka_unit_test(every_text_is_taken_at_its_most_and_refused_past_it),
		cmocka_unit_test(every_choice_takes_each_of_its_values_and_no_other),
		cmocka_unit_test(a_text_that_is_not_clean_is_refused),
		cmocka_unit_test(a_file_sets_what_it_names_and_leaves_the_rest),
		cmocka_unit_test(an_empty_file_is_all_defaults),
		cmocka_unit_test(a_file_that_is_wrong_is_told_with_line_and_key),
		cmocka_unit_test(the_first_thing_that_is_wrong_is_the_one_told),
		cmocka_unit_test(every_text_of_the_most_bytes_can_stand_in_a_file),
		cmocka_unit_test(a_line_of_the_most_characters_is_read_and_a_longer_one_is_told_by_its_number),
		cmocka_unit_test(the_tail_of_a_long_comment_is_never_read_as_a_key),
		cmocka_unit_test(a_file_that_is_not_there_is_not_found),
		cmocka_unit_test(what_can_not_be_read_is_told_with_the_reason_and_is_no_empty_file),
		cmocka_unit_test(the_sample_file_is_read_as_the_defaults),
		cmocka_unit_test(the_sample_and_the_manual_name_every_key),
		cmocka_unit_test(a_room_goes_to_the_folder_of_its_configuration),
		cmocka_unit_test(a_command_line_that_is_wrong_ends_with_status_2),
		cmocka_unit_test(a_reload_takes_changes_over_and_names_those_that_wait_for_the_next_start),
		cmocka_unit_test(a_reload_of_the_same_file_names_nothing),
		cmocka_unit_test(a_reload_of_a_file_that_is_wrong_changes_nothing_and_names_the_line),
		cmocka_unit_test(a_reload_sets_the_level_of_the_log),
		cmocka_unit_test(a_reload_finds_the_file_again_from_the_folder_that_the_room_went_to),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
