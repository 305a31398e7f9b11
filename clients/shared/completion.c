/* Prints a script that completes a program's command line in bash: commands, options, and files where a file is
 * asked for. Both clients, when the package is made. Knows no command; the script asks no server. */
#include "completion.h"

#include "trouble.h"

#include <stdio.h>
#include <string.h>

/* What bash's compgen is to list for an argument, by its name in the tables: "FILE", "CSVFILE", "UPN FILE..."; "DIR". */
static const char *compgen_of(const char *argument)
{
	if (strstr(argument, "FILE"))
		return "-f";
	return strstr(argument, "DIR") ? "-d" : NULL;
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

/* Every word before the last one, of which the first that is a command counts, and the one that makes it whole. */
static void print_command_search(const struct cli_program *program)
{
	printf("\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase $command:$word in\n\t\t");
	for (size_t i = 0; i < program->command_count; i++) {
		const char *name = program->commands[i].name;
		printf("%s:%.*s", i ? "|" : "", (int)strcspn(name, " "), name);
	}
	printf(") command=$word ;;\n");
	for (size_t i = 0; i < program->command_count; i++) {
		const char *name = program->commands[i].name, *space = strchr(name, ' ');
		if (space)
			printf("\t\t%.*s:%s) command+=\" $word\" ;;\n", (int)(space - name), name, space + 1);
	}
	printf("\t\tesac\n\tdone\n");
}

/* What may follow the words of head: "" is the program itself, "token" has the commands "token add" and the like.
 * Commands of one group stand together in the table. */
static void print_next_words(const struct cli_program *program, const char *head, size_t head_len)
{
	const char *last = NULL;
	size_t last_len = 0;
	printf("\t'%.*s') words='", (int)head_len, head);
	for (size_t i = 0; i < program->command_count; i++) {
		const char *word = program->commands[i].name;
		if (head_len > 0 && (strncmp(word, head, head_len) != 0 || word[head_len] != ' '))
			continue;
		word += head_len > 0 ? head_len + 1 : 0;
		size_t len = strcspn(word, " ");
		if (last && len == last_len && strncmp(word, last, len) == 0)
			continue;
		printf("%s%.*s", last ? " " : "", (int)len, word);
		last = word;
		last_len = len;
	}
	/* A first word may be a command by itself, too: its own line is further down. */
	printf("' ;;&\n");
}

static void print_groups(const struct cli_program *program)
{
	const char *last = "";
	print_next_words(program, "", 0);
	for (size_t i = 0; i < program->command_count; i++) {
		const char *name = program->commands[i].name, *space = strchr(name, ' ');
		if (!space || strncmp(last, name, (size_t)(space - name) + 1) == 0)
			continue;
		print_next_words(program, name, (size_t)(space - name));
		last = name;
	}
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

int completion_print(const struct cli_program *program, const char *shell)
{
	if (strcmp(shell, "bash") != 0)
		return trouble(EXIT_USAGE, "there is a completion for bash alone");
	print_start(program);
	print_command_search(program);
	printf("\tcase $command in\n");
	print_groups(program);
	for (size_t i = 0; i < program->command_count; i++)
		print_command(program, &program->commands[i]);
	print_end(program);
	return EXIT_DONE;
}
