/* Finds and reads pfxctl.conf with inih. pfxctl. Holds paths and URLs, never a secret. */
#include "settings.h"

#include "../shared/trouble.h"
#include "text.h"

#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct key {
	const char *name;
	size_t offset;
	bool is_path;             /* relative to the folder of the file */
	enum option_index option; /* that overrides it; OPT_COUNT: none */
} keys[] = {
	{ "server", offsetof(struct settings, server), false, OPT_SERVER },
	{ "ca", offsetof(struct settings, ca), true, OPT_CA },
	{ "token_file", offsetof(struct settings, token_file), true, OPT_TOKEN_FILE },
	{ "device_server", offsetof(struct settings, device_server), false, OPT_COUNT },
	{ "health", offsetof(struct settings, health), false, OPT_HEALTH_URL },
};
enum { KEY_COUNT = sizeof keys / sizeof keys[0] };

struct reading {
	struct settings *settings;
	const char *path;
	char folder[PATH_BYTES];
	int rc;
};

static char *field(struct settings *settings, const struct key *key)
{
	return (char *)settings + key->offset;
}

static int set(struct reading *reading, const char *section, const char *name, const char *value)
{
	for (const struct key *key = keys; key < keys + KEY_COUNT; key++) {
		if (strcmp(section, "pfxctl") != 0 || strcmp(name, key->name) != 0)
			continue;
		if (!text_is_clean(view_text(value)))
			return trouble(EXIT_USAGE, "the value of %s holds control characters", name);
		return path_join(field(reading->settings, key), key->is_path && value[0] ? reading->folder : "", value);
	}
	return trouble(EXIT_USAGE, "there is no key %s in section [%s]", name, section);
}

/* inih's callback: 1 to go on. */
static int on_pair(void *user, const char *section, const char *name, const char *value)
{
	struct reading *reading = user;
	if (reading->rc == EXIT_DONE)
		reading->rc = set(reading, section, name, value);
	return reading->rc == EXIT_DONE;
}

/* Why it can not be read, and what to do about it. dev: the folder that --dev names, or NULL. */
static int tell_unreadable(const char *path, const char *dev, int error)
{
	const char *why = error ? strerror(error) : "no memory";
	if (dev && (error == ENOENT || error == ENOTDIR))
		return trouble(EXIT_LOCAL, "can not read the configuration %s: %s; it is made when pfxd starts: "
			       "pfxd --dev %s", path, why, dev);
	if (error == ENOENT || error == ENOTDIR)
		return trouble(EXIT_LOCAL, "can not read the configuration %s: %s; name another with --config, or do "
			       "without: --server URL --token-file FILE", path, why);
	return trouble(EXIT_LOCAL, "can not read the configuration %s: %s", path, why);
}

static int read_file(struct settings *settings, const char *path, const char *dev)
{
	struct reading reading = { .settings = settings, .path = path };
	path_folder(reading.folder, path);
	errno = 0;
	int line = ini_parse(path, on_pair, &reading);
	if (line < 0)
		return tell_unreadable(path, dev, errno);
	if (line == 0)
		return EXIT_DONE;
	if (reading.rc == EXIT_DONE)
		return trouble(EXIT_USAGE, "%s line %d: neither [section] nor key = value", path, line);
	return trouble(EXIT_USAGE, "%s line %d: %s", path, line, trouble_text());
}

/* *ret is "" where no file was named and none of the usual ones exists. */
static int find_file(const struct cli *cli, char ret[static PATH_BYTES])
{
	const char *home = getenv("HOME"), *named = getenv("PFXCTL_CONFIG");
	ret[0] = '\0';
	if (cli->value[OPT_CONFIG] && cli->value[OPT_DEV])
		return trouble(EXIT_USAGE, "give --config or --dev, not both");
	if (cli->value[OPT_DEV])
		return path_join(ret, cli->value[OPT_DEV], "pfxctl.conf");
	if (cli->value[OPT_CONFIG])
		return path_join(ret, "", cli->value[OPT_CONFIG]);
	if (named && named[0])
		return path_join(ret, "", named);
	if (home && home[0] == '/' && path_join(ret, home, ".config/pfxd/pfxctl.conf") == EXIT_DONE && file_exists(ret))
		return EXIT_DONE;
	snprintf(ret, PATH_BYTES, "%s", "/etc/pfxd/pfxctl.conf");
	if (!file_exists(ret))
		ret[0] = '\0';
	return EXIT_DONE;
}

static int override(const struct cli *cli, struct settings *settings)
{
	for (const struct key *key = keys; key < keys + KEY_COUNT; key++) {
		const char *value = key->option == OPT_COUNT ? NULL : cli->value[key->option];
		int rc = value ? path_join(field(settings, key), "", value) : EXIT_DONE;
		if (rc)
			return rc;
	}
	return EXIT_DONE;
}

int settings_read(const struct cli *cli, struct settings *ret)
{
	char path[PATH_BYTES];
	*ret = (struct settings){ 0 };
	int rc = find_file(cli, path);
	if (rc == EXIT_DONE && path[0])
		rc = read_file(ret, path, cli->value[OPT_DEV]);
	return rc ? rc : override(cli, ret);
}
