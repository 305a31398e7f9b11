/* What the completions for bash, zsh and fish have in common. For those files alone. */
#ifndef PFXD_CLIENTS_COMPLETION_PARTS_H
#define PFXD_CLIENTS_COMPLETION_PARTS_H

#include "buf.h"
#include "cli.h"

/* Each prints the script of one shell on standard output. */
void completion_bash(const struct cli_program *program);
void completion_zsh(const struct cli_program *program);
void completion_fish(const struct cli_program *program);

/* What completes an argument, by its name in the tables: "FILE", "CSVFILE", "UPN FILE..."; "DIR". */
enum completes { COMPLETES_NOTHING, COMPLETES_FILES, COMPLETES_FOLDERS };
enum completes completes(const char *argument);

/* Calls print for each group of commands: "" has the first words of all, "token" the second of "token add" and the
 * like. */
void groups(const struct cli_program *program, void (*print)(const struct cli_program *program, struct view head));

/* Calls print for each word that may follow head, a group, with the summary of the command that it completes, or "". */
void next_words(const struct cli_program *program, struct view head, void (*print)(struct view word, const char *summary));

/* Prints, for bash and zsh, what finds the command among the words of this expansion: every word before the last one, of
 * which the first that is a command counts, and the one that makes it whole. */
void print_command_search(const struct cli_program *program, const char *words);

/* Prints the first line of text with a backslash before each of the bytes of special. */
void print_escaped(const char *text, const char *special);

#endif
