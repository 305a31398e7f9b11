#ifndef PFXD_VERSION_H
#define PFXD_VERSION_H
#define PFXD_VERSION "0.1.0"
#endif
