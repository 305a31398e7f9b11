/* Prints a script that completes a program's command line in bash. Both clients, when the package is made. Knows no
 * command; the script asks no server. */
#include "completion_parts.h"

#include <stdio.h>
#include <string.h>

/* What bash's compgen is to list for an argument. */
static const char *compgen_of(const char *argument)
{
	static const char *const how[] = { [COMPLETES_FILES] = "-f", [COMPLETES_FOLDERS] = "-d" };
	return how[completes(argument)];
}

/* "--ca|--config": the options whose argument is completed by how; NULL: those whose argument nobody can complete. */
static void print_pattern(const struct cli_program *program, const char *how)
{
	bool first = true;
	for (size_t i = 0; i < program->option_count; i++) {
		const struct cli_option *option = &program->options[i];
		const char *own = option->argument ? compgen_of(option->argument) : NULL;
		if (!option->argument || (own && how ? strcmp(own, how) != 0 : own != how))
			continue;
		printf("%s--%s", first ? "" : "|", option->name);
		first = false;
	}
}

static void print_word(struct view word, __attribute__((unused)) const char *summary)
{
	printf("%.*s ", (int)word.len, (const char *)word.p);
}

static void print_next_words(const struct cli_program *program, struct view head)
{
	printf("\t'%.*s') words='", (int)head.len, (const char *)head.p);
	next_words(program, head, print_word);
	/* A first word may be a command by itself, too: its own line is further down. */
	printf("' ;;&\n");
}

static void print_command(const struct cli_program *program, const struct cli_command *command)
{
	uint64_t set = cli_options_of(program, command);
	const char *operands = compgen_of(command->arguments);
	printf("\t'%s') options='", command->name);
	for (size_t i = 0; i < program->option_count; i++)
		if (set & CLI_BIT(i))
			printf("--%s ", program->options[i].name);
	printf("--help --version' operands=%s ;;\n", operands ? operands : "");
}

static void print_start(const struct cli_program *program)
{
	const char *name = program->name;
	printf("# Completes %s in bash. Made from the tables of the program by --completion bash.\n"
	       "_%s_files() {\n"
	       "\tcompopt -o filenames\n"
	       "\tmapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
	       "}\n"
	       "_%s() {\n"
	       "\tlocal command= words= options='--help --version' operands= word\n"
	       "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	       "\tCOMPREPLY=()\n"
	       "\t# bash takes --option=value for three words.\n"
	       "\tif [ \"$cur\" = = ]; then cur=; fi\n"
	       "\tif [ \"$prev\" = = ]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
	       "\tcase $prev in\n\t", name, name, name);
	print_pattern(program, "-f");
	printf(") _%s_files -f; return ;;\n\t", name);
	print_pattern(program, "-d");
	printf(") _%s_files -d; return ;;\n\t", name);
	print_pattern(program, NULL);
	printf(") return ;;\n\tesac\n");
}

static void print_end(const struct cli_program *program)
{
	printf("\tesac\n"
	       "\tif [[ $cur == -* ]]; then\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")\n"
	       "\telif [ -n \"$operands\" ]; then\n"
	       "\t\t_%s_files \"$operands\"\n"
	       "\telse\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
	       "\tfi\n"
	       "}\n"
	       "complete -F _%s %s\n", program->name, program->name, program->name);
}

void completion_bash(const struct cli_program *program)
{
	print_start(program);
	print_command_search(program, "COMP_WORDS[@]:1:COMP_CWORD-1");
	printf("\tcase $command in\n");
	groups(program, print_next_words);
	for (size_t i = 0; i < program->command_count; i++)
		print_command(program, &program->commands[i]);
	print_end(program);
}
