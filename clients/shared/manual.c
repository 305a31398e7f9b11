/* Prints a program's tables as a manual page. Both clients, when the manual is made. Knows no command, and reads
 * nothing. */
#include "manual.h"

#include "trouble.h"
#include "version.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { PROSE_INDENT = 2 }; /* of a text of the tables: no indentation is a heading, more than this is an example */

/* As it is: roff gives some characters a meaning, and turns others into those of a book. */
static void put_text(const char *text, size_t len)
{
	static const char *const escapes[] = {
		['\\'] = "\\(rs", ['-'] = "\\-", ['\''] = "\\(aq", ['`'] = "\\(ga", ['^'] = "\\(ha", ['~'] = "\\(ti",
	};
	if (len > 0 && text[0] == '.')
		fputs("\\&", stdout); /* at the start of a line it would be a request */
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < sizeof escapes / sizeof escapes[0] && escapes[c])
			fputs(escapes[c], stdout);
		else
			putchar(c);
	}
}

static void put_string(const char *text)
{
	put_text(text, strlen(text));
}

/* Lines that stay lines. */
static void put_lines(const char *text)
{
	for (;;) {
		size_t len = strcspn(text, "\n");
		put_text(text, len);
		putchar('\n');
		if (!text[len])
			return;
		puts(".br");
		text += len + 1;
	}
}

/* ---- prose ---- */

struct prose {
	bool example; /* the last line was of one */
	bool gap;     /* there were empty lines since */
};

static void end_example(struct prose *p)
{
	if (p->example)
		puts(".fi\n.RE");
	p->example = false;
}

static void put_example_line(struct prose *p, const char *line, size_t len)
{
	if (!p->example)
		puts(p->gap ? ".PP\n.RS\n.nf" : ".RS\n.nf");
	else if (p->gap)
		putchar('\n');
	p->example = true;
	put_text(line, len);
	putchar('\n');
}

static void put_prose_line(struct prose *p, const char *line, size_t len)
{
	size_t indent = strspn(line, " ");
	if (indent > PROSE_INDENT) {
		put_example_line(p, line + 2 * PROSE_INDENT, len - 2 * PROSE_INDENT);
		p->gap = false;
		return;
	}
	end_example(p);
	if (indent == 0)
		fputs(".SH ", stdout);
	else if (p->gap)
		puts(".PP");
	p->gap = false;
	put_text(line + indent, len - indent);
	putchar('\n');
}

static void put_prose(const char *text)
{
	struct prose p = { .gap = false };
	while (*text) {
		size_t len = strcspn(text, "\n");
		if (len == 0)
			p.gap = true;
		else
			put_prose_line(&p, text, len);
		text += len + (text[len] == '\n');
	}
	end_example(&p);
}

/* ---- tables ---- */

static void put_option(const struct cli_option *option)
{
	fputs(".TP\n\\fB\\-\\-", stdout);
	put_string(option->name);
	fputs("\\fR", stdout);
	if (option->argument) {
		fputs(" \\fI", stdout);
		put_string(option->argument);
		fputs("\\fR", stdout);
	}
	putchar('\n');
	put_lines(option->help);
}

static void put_options(const struct cli_program *program, uint64_t set)
{
	for (size_t i = 0; i < program->option_count; i++)
		if (set & CLI_BIT(i))
			put_option(&program->options[i]);
}

static void put_command(const struct cli_program *program, const struct cli_command *command)
{
	fputs(".SS ", stdout);
	put_string(command->name);
	putchar(' ');
	put_string(command->arguments);
	putchar('\n');
	putchar(toupper((unsigned char)command->summary[0]));
	put_string(command->summary + 1);
	puts(".\n.PP");
	put_prose(command->help);
	put_options(program, command->options);
	if (command->options & CLI_ALONE)
		puts(".PP\nIt takes none of the options of every command.");
}

static void put_head(const struct cli_program *program)
{
	fputs(".\\\" Made from the tables of the program by --manual.\n.TH ", stdout);
	for (const char *p = program->name; *p; p++)
		putchar(toupper((unsigned char)*p));
	printf(" 1 \"\" \"pfxd %s\" \"pfxd\"\n.SH NAME\n", PFXD_VERSION);
	put_string(program->name);
	fputs(" \\- ", stdout);
	put_string(program->purpose);
	fputs("\n.SH SYNOPSIS\n\\fB", stdout);
	put_string(program->name);
	puts("\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]");
}

void manual_print(const struct cli_program *program)
{
	put_head(program);
	put_prose(program->description);
	puts(".SH COMMANDS");
	for (size_t i = 0; i < program->command_count; i++)
		put_command(program, &program->commands[i]);
	puts(".SH OPTIONS OF EVERY COMMAND");
	put_options(program, program->everywhere);
	put_option(&cli_option_help);
	put_option(&cli_option_version);
	put_prose(exit_status_help);
	put_prose(program->closing);
}
