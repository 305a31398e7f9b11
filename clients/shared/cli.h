/* The command line of a client: one table of options and one of commands, from which come the parser, its error
 * messages, the manual that --help prints, and what a package is made with: --manual prints a manual page, and
 * --completion SHELL what bash, zsh or fish is to read. Options may stand before or after the command. */
#ifndef PFXD_CLIENTS_CLI_H
#define PFXD_CLIENTS_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLI_OPTIONS_MAX = 60 };

struct cli_option {
	const char *name;     /* without the dashes */
	const char *argument; /* NULL: it takes none */
	const char *help;     /* lines after the first begin with a newline and are indented by the printer */
};

struct cli {
	const struct cli_program *program;
	const struct cli_command *command;
	const char *value[CLI_OPTIONS_MAX]; /* by index into the table; NULL: not given; "" for one without argument */
	int argc;                           /* what is left when command and options are gone */
	char **argv;
};

struct cli_command {
	const char *name;      /* of one or two words */
	const char *arguments; /* for the synopsis */
	int least, most;       /* how many arguments */
	uint64_t options;      /* a bit for the index of each that it takes, besides those that every command takes;
				* with CLI_ALONE those alone */
	const char *summary;   /* one line */
	const char *help;      /* the rest of its manual */
	int (*run)(const struct cli *cli);
};

struct cli_program {
	const char *name, *purpose;
	const char *description; /* sections of the manual before and after the tables */
	const char *closing;
	const struct cli_option *options;
	size_t option_count;
	uint64_t everywhere;
	const struct cli_command *commands;
	size_t command_count;
};

#define CLI_BIT(index) ((uint64_t)1 << (index))
#define CLI_ALONE      CLI_BIT(63)

/* Finds the command, runs it, prints its trouble on standard error, and returns the exit status of the program. */
int cli_main(const struct cli_program *program, int argc, char **argv);

/* Writes text, disarmed and with "NAME: " before it, on standard error. */
void cli_say(const struct cli *cli, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The options that every program has besides those of its table; and all that a command takes of its table, as bits. */
extern const struct cli_option cli_option_help, cli_option_version;
uint64_t cli_options_of(const struct cli_program *program, const struct cli_command *command);

/* The value of an option as a number from least to most, or fallback where it is not given. EXIT_USAGE. */
int cli_number(const struct cli *cli, unsigned option, uint64_t least, uint64_t most, uint64_t fallback, uint64_t *ret);

#endif
