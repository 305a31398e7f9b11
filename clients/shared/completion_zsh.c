/* Prints a function that completes a program's command line in zsh. Both clients, when the package is made. Knows no
 * command; the function asks no server. */
#include "completion_parts.h"

#include <stdio.h>
#include <string.h>

static const char *action_of(const char *argument)
{
	static const char *const action[] = {
		[COMPLETES_NOTHING] = " ", [COMPLETES_FILES] = "_files", [COMPLETES_FOLDERS] = "_files -/",
	};
	return action[completes(argument)];
}

/* Text that stands between single quotes. */
static void print_quoted(const char *text, const char *special)
{
	for (size_t len; *text && *text != '\n'; text += len) {
		char part[256];
		len = strcspn(text, "'\n");
		len = len < sizeof part ? len : sizeof part - 1;
		memcpy(part, text, len);
		part[len] = '\0';
		print_escaped(part, special);
		if (text[len] == '\'') {
			printf("'\\''");
			len++;
		}
	}
}

/* As _arguments has it: '--ca=[its text]:FILE:_files'. */
static void print_option(const struct cli_option *option)
{
	printf("\t\t\t'--%s%s[", option->name, option->argument ? "=" : "");
	print_quoted(option->help, "[]\\");
	printf("]");
	if (option->argument)
		printf(":%s:%s", option->argument, action_of(option->argument));
	printf("'\n");
}

static void print_options(const struct cli_program *program, uint64_t set)
{
	for (size_t i = 0; i < program->option_count; i++)
		if (set & CLI_BIT(i))
			print_option(&program->options[i]);
	print_option(&cli_option_help);
	print_option(&cli_option_version);
}

static void print_choice(struct view word, const char *summary)
{
	printf("\t\t\t'%.*s:", (int)word.len, (const char *)word.p);
	print_quoted(summary, "\\");
	printf("'\n");
}

static void print_choices(const struct cli_program *program, struct view head)
{
	printf("\t'%.*s')\n\t\tchoices=(\n", (int)head.len, (const char *)head.p);
	next_words(program, head, print_choice);
	printf("\t\t) ;;\n");
}

static void print_command(const struct cli_program *program, const struct cli_command *command)
{
	printf("\t'%s')\n\t\toperand='%s'\n\t\tspecs=(\n", command->name, action_of(command->arguments));
	print_options(program, cli_options_of(program, command));
	printf("\t\t) ;;\n");
}

void completion_zsh(const struct cli_program *program)
{
	const char *name = program->name;
	printf("#compdef %s\n"
	       "# Completes %s in zsh. Made from the tables of the program by --completion zsh.\n"
	       "_%s() {\n"
	       "\tlocal command= operand=' ' word\n"
	       "\tlocal -a choices specs\n", name, name, name);
	print_command_search(program, "(@)words[2,CURRENT-1]");
	printf("\tcase $command in\n");
	groups(program, print_choices);
	printf("\tesac\n\tcase $command in\n");
	for (size_t i = 0; i < program->command_count; i++)
		print_command(program, &program->commands[i]);
	printf("\t*)\n\t\tspecs=(\n");
	print_options(program, program->everywhere);
	printf("\t\t) ;;\n\tesac\n"
	       "\t(( $#choices )) && operand='{_describe command choices}'\n"
	       "\t_arguments \"$specs[@]\" \"*: :$operand\"\n"
	       "}\n"
	       "_%s \"$@\"\n", name);
}
