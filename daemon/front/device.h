/* The devices' calls: each checks the request's form, asks the keeper, and writes the reply. Which device it is, and
 * whether it may, is the keeper's to say. Results as struct route has them. */
#ifndef PFXD_DEVICE_H
#define PFXD_DEVICE_H

struct request;
struct keeper;

int device_enroll(struct request *r, struct keeper *k);
int device_certificates(struct request *r, struct keeper *k);
int device_bundle(struct request *r, struct keeper *k);
int device_receipts(struct request *r, struct keeper *k);
int device_renew(struct request *r, struct keeper *k);

#endif
