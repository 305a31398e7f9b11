/* The folder that pfxd --dev works in: made on first use, and used by one pfxd at a time. */
#ifndef PFXD_DEV_H
#define PFXD_DEV_H

struct ports {
	int device, admin, health;
};

/* Makes dir and what belongs in it (keyring, certificates, first token: by pfxctl, which is found in the folder
 * programs), takes it for this process, and makes it the working directory. Returns the lock's descriptor, to be kept
 * open until the end. CONFLICT when another pfxd has it or when it holds a database without its keyring; INTERNAL. */
int dev_open(const char *dir, const char *programs, const struct ports *ports);

#endif
