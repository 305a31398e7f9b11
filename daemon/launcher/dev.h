/* The folder that pfxd --dev works in: made on first use, and used by one pfxd at a time. */
#ifndef PFXD_DEV_H
#define PFXD_DEV_H

#include <stdbool.h>

struct ports {
	int device, admin, health;
};

struct dev {
	const char *dir;      /* as it was given */
	const char *programs; /* the folder of pfxctl */
	const char *rooms;    /* the folder of the rooms' programs */
	const char *address;  /* that devices and administrators connect to */
	struct ports ports;
	bool empty;           /* a database that is gone may be begun anew */
};

/* Makes the folder and what belongs in it (keyring, certificates, first token: by pfxctl), takes it for this process,
 * and makes it the working directory. Returns the lock's descriptor, to be kept open until the end. INTERNAL; CONFLICT
 * with what to do: another pfxd has it, others may write in it, its database is without its keyring, its keyring without
 * the database that it had, or the keyring is elsewhere, as its pfxd.conf says, and is not there. */
int dev_open(const struct dev *d);

/* Notes, once the keeper is ready, that the folder has a database. INTERNAL. */
int dev_begun(void);

#endif
