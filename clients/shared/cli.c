/* Reads the command line and prints the manual. Both clients. Knows no command: each program brings its tables. */
#include "cli.h"

#include "completion.h"
#include "manual.h"
#include "text.h"
#include "trouble.h"
#include "version.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GETOPT_HELP = 1000, GETOPT_VERSION, GETOPT_MANUAL, GETOPT_COMPLETION, HELP_COLUMN = 28 };

const struct cli_option cli_option_help = { "help", NULL, "print this manual, or that of the command" };
const struct cli_option cli_option_version = { "version", NULL, "print the version" };

void cli_say(const struct cli *cli, const char *format, ...)
{
	char line[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof line, format, args);
	va_end(args);
	text_disarm(line);
	fprintf(stderr, "%s: %s\n", cli->program->name, line);
}

int cli_number(const struct cli *cli, unsigned option, uint64_t least, uint64_t most, uint64_t fallback, uint64_t *ret)
{
	const char *value = cli->value[option];
	*ret = fallback;
	if (!value || (number_parse(view_text(value), most, ret) && *ret >= least))
		return EXIT_DONE;
	return trouble(EXIT_USAGE, "--%s must be a whole number from %llu to %llu", cli->program->options[option].name,
		       (unsigned long long)least, (unsigned long long)most);
}

static void print_option(const struct cli_option *option)
{
	int width = printf("  --%s%s%s", option->name, option->argument ? " " : "",
			   option->argument ? option->argument : "");
	if (width >= HELP_COLUMN) {
		putchar('\n');
		width = 0;
	}
	printf("%*s", HELP_COLUMN - width, "");
	for (const char *p = option->help; *p; p++)
		if (*p == '\n')
			printf("\n%*s", HELP_COLUMN, "");
		else
			putchar(*p);
	putchar('\n');
}

static void print_options(const struct cli_program *program, uint64_t set)
{
	for (size_t i = 0; i < program->option_count; i++)
		if (set & CLI_BIT(i))
			print_option(&program->options[i]);
}

uint64_t cli_options_of(const struct cli_program *program, const struct cli_command *command)
{
	return command->options | (command->options & CLI_ALONE ? 0 : program->everywhere);
}

static void print_common_options(const struct cli_program *program, uint64_t set)
{
	print_options(program, set);
	print_option(&cli_option_help);
	print_option(&cli_option_version);
}

static void print_synopsis(const struct cli_command *command)
{
	printf("  %s%s%s\n      %s\n", command->name, command->arguments[0] ? " " : "", command->arguments,
	       command->summary);
}

static void print_program_manual(const struct cli_program *program)
{
	printf("NAME\n  %s - %s\n\nSYNOPSIS\n  %s COMMAND [ARGUMENTS] [OPTIONS]\n  %s COMMAND --help\n\n%s\nCOMMANDS\n",
	       program->name, program->purpose, program->name, program->name, program->description);
	for (size_t i = 0; i < program->command_count; i++)
		print_synopsis(&program->commands[i]);
	printf("\nOPTIONS OF EVERY COMMAND\n");
	print_common_options(program, program->everywhere);
	printf("\n%s%s", exit_status_help, program->closing);
}

static void print_command_manual(const struct cli_program *program, const struct cli_command *command)
{
	printf("NAME\n  %s %s - %s\n\nSYNOPSIS\n  %s %s%s%s [OPTIONS]\n\nDESCRIPTION\n%s", program->name, command->name,
	       command->summary, program->name, command->name, command->arguments[0] ? " " : "", command->arguments,
	       command->help);
	if (command->options & ~CLI_ALONE) {
		printf("\nOPTIONS\n");
		print_options(program, command->options);
	}
	printf("\nOPTIONS OF EVERY COMMAND\n");
	print_common_options(program, cli_options_of(program, command) & ~command->options);
	printf("\n%s", exit_status_help);
}

/* ---- commands of two words that share the first, as in "token add" and "token list" ---- */

static bool is_in_group(const struct cli_command *command, const char *word)
{
	size_t len = strlen(word);
	return strncmp(command->name, word, len) == 0 && command->name[len] == ' ';
}

static bool is_group(const struct cli_program *program, const char *word)
{
	for (size_t i = 0; i < program->command_count; i++)
		if (is_in_group(&program->commands[i], word))
			return true;
	return false;
}

static void print_group_manual(const struct cli_program *program, const char *word)
{
	printf("SYNOPSIS\n  %s %s COMMAND [ARGUMENTS] [OPTIONS]\n  %s %s COMMAND --help\n\nCOMMANDS\n", program->name,
	       word, program->name, word);
	for (size_t i = 0; i < program->command_count; i++)
		if (is_in_group(&program->commands[i], word))
			print_synopsis(&program->commands[i]);
}

/* The usage error of a first word alone: it names the second ones. */
static int which_of_group(const struct cli_program *program, const char *word)
{
	char names[256] = "";
	size_t len = 0;
	for (size_t i = 0; i < program->command_count && len < sizeof names; i++)
		if (is_in_group(&program->commands[i], word))
			len += (size_t)snprintf(names + len, sizeof names - len, "%s%s %s", len ? ", " : "",
						program->name, program->commands[i].name);
	return trouble(EXIT_USAGE, "which one? %s", names);
}

/* How many of the words at argv are the name of the command; 0 if they are not it. */
static int words_matched(const char *name, int argc, char **argv)
{
	const char *space = strchr(name, ' ');
	size_t first = space ? (size_t)(space - name) : strlen(name);
	if (argc < 1 || strlen(argv[0]) != first || strncmp(argv[0], name, first) != 0)
		return 0;
	if (!space)
		return 1;
	return argc >= 2 && strcmp(argv[1], space + 1) == 0 ? 2 : 0;
}

/* "ca rotate" is that, and no "ca" with an argument. */
static int find_command(struct cli *cli)
{
	int most = 0;
	for (size_t i = 0; i < cli->program->command_count; i++) {
		int words = words_matched(cli->program->commands[i].name, cli->argc, cli->argv);
		if (words > most)
			cli->command = &cli->program->commands[i];
		most = words > most ? words : most;
	}
	cli->argc -= most;
	cli->argv += most;
	if (most > 0)
		return EXIT_DONE;
	if (cli->argc == 0)
		return trouble(EXIT_USAGE, "no command was given; %s --help lists them", cli->program->name);
	if (is_group(cli->program, cli->argv[0]))
		return which_of_group(cli->program, cli->argv[0]);
	return trouble(EXIT_USAGE, "there is no command \"%s%s%s\"; %s --help lists them", cli->argv[0],
		       cli->argc > 1 ? " " : "", cli->argc > 1 ? cli->argv[1] : "", cli->program->name);
}

static int check_use(const struct cli *cli)
{
	const struct cli_command *command = cli->command;
	const struct cli_program *program = cli->program;
	for (size_t i = 0; i < program->option_count; i++)
		if (cli->value[i] && !(cli_options_of(program, command) & CLI_BIT(i)))
			return trouble(EXIT_USAGE, "%s does not take --%s; see %s %s --help", command->name,
				       program->options[i].name, program->name, command->name);
	if (cli->argc < command->least)
		return trouble(EXIT_USAGE, "an argument is missing: %s %s %s", program->name, command->name,
			       command->arguments);
	if (cli->argc > command->most && command->most == 0 && is_group(program, command->name)) /* "ca rotte" */
		return which_of_group(program, command->name);
	if (cli->argc > command->most)
		return trouble(EXIT_USAGE, "what is \"%s\"? %s %s %s", cli->argv[command->most], program->name,
			       command->name, command->arguments[0] ? command->arguments : "takes no argument");
	for (int i = 0; i < cli->argc; i++) /* most often a variable of a script that was not set */
		if (!cli->argv[i][0])
			return trouble(EXIT_USAGE, "an argument is empty: %s %s %s", program->name, command->name,
				       command->arguments);
	return EXIT_DONE;
}

struct asked {
	bool help, version, manual;
	const char *completion; /* for which shell */
};

static int take_option(struct cli *cli, struct asked *asked, int option, char **argv)
{
	if (option == '?')
		return trouble(EXIT_USAGE, "there is no option %s; see --help", argv[optind - 1]);
	if (option == ':')
		return trouble(EXIT_USAGE, "%s needs a value; see --help", argv[optind - 1]);
	asked->help |= option == GETOPT_HELP;
	asked->version |= option == GETOPT_VERSION;
	asked->manual |= option == GETOPT_MANUAL;
	if (option == GETOPT_COMPLETION)
		asked->completion = optarg;
	if (option < 1 || (size_t)option > cli->program->option_count)
		return EXIT_DONE;
	if (cli->value[option - 1])
		return trouble(EXIT_USAGE, "--%s is given twice", cli->program->options[option - 1].name);
	cli->value[option - 1] = optarg ? optarg : "";
	return EXIT_DONE;
}

static int read_options(struct cli *cli, struct asked *asked, int argc, char **argv)
{
	struct option options[CLI_OPTIONS_MAX + 5] = { 0 };
	size_t n = cli->program->option_count;
	for (size_t i = 0; i < n; i++) {
		const struct cli_option *option = &cli->program->options[i];
		int takes = option->argument ? required_argument : no_argument;
		options[i] = (struct option){ option->name, takes, NULL, (int)i + 1 };
	}
	options[n] = (struct option){ "help", no_argument, NULL, GETOPT_HELP };
	options[n + 1] = (struct option){ "version", no_argument, NULL, GETOPT_VERSION };
	options[n + 2] = (struct option){ "manual", no_argument, NULL, GETOPT_MANUAL };
	options[n + 3] = (struct option){ "completion", required_argument, NULL, GETOPT_COMPLETION };
	opterr = 0;
	for (int option; (option = getopt_long(argc, argv, ":", options, NULL)) != -1;) {
		int rc = take_option(cli, asked, option, argv);
		if (rc)
			return rc;
	}
	cli->argc = argc - optind;
	cli->argv = argv + optind;
	return EXIT_DONE;
}

/* What is asked of the program, and of no command. False where nothing is. */
static bool answer_alone(const struct cli *cli, const struct asked *asked, int *ret_rc)
{
	*ret_rc = EXIT_DONE;
	if (asked->version)
		printf("%s %s\n", cli->program->name, PFXD_VERSION);
	else if (asked->manual)
		manual_print(cli->program);
	else if (asked->completion)
		*ret_rc = completion_print(cli->program, asked->completion);
	else if (asked->help && cli->argc == 0)
		print_program_manual(cli->program);
	else
		return false;
	return true;
}

static int read_and_run(struct cli *cli, int argc, char **argv)
{
	struct asked asked = { 0 };
	int rc = read_options(cli, &asked, argc, argv);
	if (rc || answer_alone(cli, &asked, &rc))
		return rc;
	rc = find_command(cli);
	if (!cli->command && asked.help && is_group(cli->program, cli->argv[0])) {
		print_group_manual(cli->program, cli->argv[0]);
		return EXIT_DONE;
	}
	if (!cli->command)
		return rc;
	if (asked.help) {
		print_command_manual(cli->program, cli->command);
		return EXIT_DONE;
	}
	rc = check_use(cli);
	return rc ? rc : cli->command->run(cli);
}

int cli_main(const struct cli_program *program, int argc, char **argv)
{
	struct cli cli = { .program = program };
	int rc = read_and_run(&cli, argc, argv);
	if (fflush(stdout) != 0 && rc == EXIT_DONE)
		rc = trouble(EXIT_LOCAL, "can not write to standard output");
	if (rc && trouble_text()[0])
		cli_say(&cli, "%s", trouble_text());
	return rc;
}
