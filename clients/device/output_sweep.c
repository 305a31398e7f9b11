/* Looks after the folder of files between bundles: removes what is not wanted any more, and tells whether all is
 * there. pfx-device. Touches only names of the form that output.c gives. */
#include "output.h"

#include "../shared/json_text.h"
#include "../shared/trouble.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum { THUMBPRINT_START = 11, THUMBPRINT_CHARS = 12, STEM_CHARS = THUMBPRINT_START + THUMBPRINT_CHARS };

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}
#define DIRECTORY __attribute__((cleanup(closedirp))) DIR *

/* True for yyyy-mm-dd-<12 hex> and .p12, .password or .pem. */
static bool is_ours(const char *name)
{
	static const char form[] = "dddd-dd-dd-hhhhhhhhhhhh";
	static const char *const endings[] = { ".p12", ".password", ".pem" };
	for (size_t i = 0; i < STEM_CHARS; i++) {
		bool digit = name[i] >= '0' && name[i] <= '9';
		bool hex = digit || (name[i] >= 'a' && name[i] <= 'f');
		if (form[i] == 'd' ? !digit : form[i] == 'h' ? !hex : name[i] != form[i])
			return false;
	}
	for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
		if (strcmp(name + STEM_CHARS, endings[i]) == 0)
			return true;
	return false;
}

static bool starts_with(const char *thumbprint, const char *name)
{
	return strncmp(thumbprint, name + THUMBPRINT_START, THUMBPRINT_CHARS) == 0;
}

static bool is_removed(const struct bundle *bundle, const char *name)
{
	size_t i;
	json_t *one;
	json_array_foreach(json_object_get(bundle->json, "removed"), i, one) {
		const char *thumbprint = json_string_value(one);
		if (thumbprint && thumbprint_is_valid(thumbprint, 20) && starts_with(thumbprint, name))
			return true;
	}
	return false;
}

/* A file of an identity that the bundle holds, in the other format. */
static bool is_of_other_format(const struct bundle *bundle, const char *format, const char *name)
{
	bool pem = strcmp(name + STEM_CHARS, ".pem") == 0;
	if (pem == (strcmp(format, "pem") == 0))
		return false;
	for (size_t i = 0; i < bundle->count; i++)
		if (starts_with(bundle->identities[i].thumbprint, name))
			return true;
	return false;
}

static bool is_held(const struct bundle *bundle, const char *name)
{
	for (size_t i = 0; i < bundle->count; i++)
		if (starts_with(bundle->identities[i].thumbprint, name))
			return true;
	return false;
}

int output_sweep(const char *folder, const char *format, const struct bundle *bundle)
{
	char path[PATH_BYTES];
	DIRECTORY dir = opendir(folder);
	if (!dir)
		return trouble(EXIT_LOCAL, "can not read the folder %s: %s", folder, strerror(errno));
	for (struct dirent *entry; (entry = readdir(dir));) {
		const char *name = entry->d_name;
		if (!is_ours(name))
			continue;
		bool gone = is_removed(bundle, name) && !is_held(bundle, name);
		if (!gone && !is_of_other_format(bundle, format, name))
			continue;
		int rc = path_join(path, folder, name);
		if (rc == EXIT_DONE)
			rc = file_remove(path);
		if (rc)
			return rc;
	}
	return EXIT_DONE;
}

static bool has_file(const char *folder, const json_t *entry, const char *member)
{
	char path[PATH_BYTES];
	const char *name = json_get_text(entry, member);
	return is_ours(name) && path_join(path, folder, name) == EXIT_DONE && file_exists(path);
}

static bool read_index(const char *folder, json_t **ret)
{
	char path[PATH_BYTES];
	BUF text = buf_new(16 * MIB + 1);
	return text && path_join(path, folder, "index.json") == EXIT_DONE && file_exists(path) &&
	       file_read(path, 16 * MIB, text) == EXIT_DONE && json_read(buf_view(text), ret) == EXIT_DONE;
}

bool output_is_whole(const char *folder, const char *format, size_t *ret_installed, size_t *ret_failed)
{
	JSON index = NULL;
	size_t i;
	json_t *entry;
	*ret_installed = *ret_failed = 0;
	if (!read_index(folder, &index))
		return false;
	bool pem = strcmp(format, "pem") == 0;
	bool whole = strcmp(json_get_text(index, "format"), format) == 0;
	json_array_foreach(json_object_get(index, "certificates"), i, entry) {
		if (json_get_text(entry, "error")[0]) {
			++*ret_failed;
			continue;
		}
		whole &= has_file(folder, entry, "file") && (pem || has_file(folder, entry, "passwordFile"));
		++*ret_installed;
	}
	return whole;
}
