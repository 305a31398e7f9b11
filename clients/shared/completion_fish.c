/* Prints a script that completes a program's command line in fish. Both clients, when the package is made. Knows no
 * command; the script asks no server. */
#include "completion_parts.h"

#include <stdio.h>
#include <string.h>

static const char *program_name; /* for what gets a word alone */
static struct view group;

static void print_description(const char *text)
{
	if (!*text)
		return;
	printf(" -d '");
	print_escaped(text, "'\\");
	printf("'");
}

/* fish lists files by itself, and folders by this; of --option=FOLDER it would take all for the folder's name. */
#define FOLDERS " -a '(__fish_complete_directories (commandline -ct | string replace -r \"^--[a-z-]+=\" \"\"))'"

/* How an argument is completed. required: it is one of an option. */
static const char *how_of(const char *argument, bool required)
{
	switch (completes(argument)) {
	case COMPLETES_FILES: return required ? " -r -F" : " -F";
	case COMPLETES_FOLDERS: return required ? " -x" FOLDERS : FOLDERS;
	default: return required ? " -x" : "";
	}
}

static void print_case(struct view word, __attribute__((unused)) const char *summary)
{
	printf(" '%.*s:%.*s'", (int)group.len, (const char *)group.p, (int)word.len, (const char *)word.p);
}

static void print_cases(const struct cli_program *program, struct view head)
{
	group = head;
	printf("\t\t\tcase");
	next_words(program, head, print_case);
	printf("\n\t\t\t\tset command %s\n", head.len > 0 ? "\"$command $word\"" : "$word");
}

/* Every word before the last one, of which the first that is a command counts, and the one that makes it whole. */
static void print_start(const struct cli_program *program)
{
	printf("# Completes %s in fish. Made from the tables of the program by --completion fish.\n"
	       "function __%s_at --description 'Whether the command so far is one of these'\n"
	       "\tset -l command\n"
	       "\tfor word in (commandline -opc)[2..]\n"
	       "\t\tswitch \"$command:$word\"\n", program->name, program->name);
	groups(program, print_cases);
	printf("\t\tend\n\tend\n\tcontains -- \"$command\" $argv\nend\n"
	       "complete -c %s -f\n", program->name);
}

static void print_choice(struct view word, const char *summary)
{
	printf("complete -c %s -n '__%s_at \"%.*s\"' -a %.*s", program_name, program_name, (int)group.len,
	       (const char *)group.p, (int)word.len, (const char *)word.p);
	print_description(summary);
	printf("\n");
}

static void print_choices(const struct cli_program *program, struct view head)
{
	group = head;
	next_words(program, head, print_choice);
}

/* An option, for the commands that take it; one that nearly all take also before there is a command. */
static void print_option(const struct cli_program *program, size_t index)
{
	const struct cli_option *option = &program->options[index];
	printf("complete -c %s -n '__%s_at%s", program->name, program->name,
	       program->everywhere & CLI_BIT(index) ? " \"\"" : "");
	for (size_t i = 0; i < program->command_count; i++)
		if (cli_options_of(program, &program->commands[i]) & CLI_BIT(index))
			printf(" \"%s\"", program->commands[i].name);
	printf("' -l %s%s", option->name, option->argument ? how_of(option->argument, true) : "");
	print_description(option->help);
	printf("\n");
}

static void print_everywhere(const struct cli_program *program, const struct cli_option *option)
{
	printf("complete -c %s -l %s", program->name, option->name);
	print_description(option->help);
	printf("\n");
}

void completion_fish(const struct cli_program *program)
{
	program_name = program->name;
	print_start(program);
	groups(program, print_choices);
	for (size_t i = 0; i < program->command_count; i++) {
		const char *how = how_of(program->commands[i].arguments, false);
		if (*how)
			printf("complete -c %s -n '__%s_at \"%s\"'%s\n", program->name, program->name,
			       program->commands[i].name, how);
	}
	for (size_t i = 0; i < program->option_count; i++)
		print_option(program, i);
	print_everywhere(program, &cli_option_help);
	print_everywhere(program, &cli_option_version);
}
