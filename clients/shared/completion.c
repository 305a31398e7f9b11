/* Prints a script that completes a program's command line in a shell: commands, options, and files where a file is
 * asked for. Both clients, when the package is made. */
#include "completion.h"

#include "completion_parts.h"
#include "trouble.h"

#include <stdio.h>
#include <string.h>

enum completes completes(const char *argument)
{
	if (strstr(argument, "FILE"))
		return COMPLETES_FILES;
	return strstr(argument, "DIR") ? COMPLETES_FOLDERS : COMPLETES_NOTHING;
}

/* Commands of one group stand together in the table. */
void groups(const struct cli_program *program, void (*print)(const struct cli_program *program, struct view head))
{
	struct view last = view_text("");
	print(program, last);
	for (size_t i = 0; i < program->command_count; i++) {
		const char *name = program->commands[i].name, *space = strchr(name, ' ');
		struct view head = { (const uint8_t *)name, space ? (size_t)(space - name) : 0 };
		if (!space || view_equal(head, last))
			continue;
		print(program, head);
		last = head;
	}
}

void next_words(const struct cli_program *program, struct view head, void (*print)(struct view word, const char *summary))
{
	struct view last = view_text("");
	for (size_t i = 0; i < program->command_count; i++) {
		const char *name = program->commands[i].name;
		if (head.len > 0 && (strncmp(name, (const char *)head.p, head.len) != 0 || name[head.len] != ' '))
			continue;
		name += head.len > 0 ? head.len + 1 : 0;
		struct view word = { (const uint8_t *)name, strcspn(name, " ") };
		if (!view_equal(word, last))
			print(word, name[word.len] ? "" : program->commands[i].summary);
		last = word;
	}
}

void print_command_search(const struct cli_program *program, const char *words)
{
	printf("\tfor word in \"${%s}\"; do\n\t\tcase $command:$word in\n\t\t", words);
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

void print_escaped(const char *text, const char *special)
{
	for (; *text && *text != '\n'; text++) {
		if (strchr(special, *text))
			putchar('\\');
		putchar(*text);
	}
}

int completion_print(const struct cli_program *program, const char *shell)
{
	static const struct {
		const char *shell;
		void (*print)(const struct cli_program *program);
	} known[] = { { "bash", completion_bash }, { "zsh", completion_zsh }, { "fish", completion_fish } };
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (strcmp(shell, known[i].shell) != 0)
			continue;
		known[i].print(program);
		return EXIT_DONE;
	}
	return trouble(EXIT_USAGE, "there is a completion for bash, zsh and fish");
}
