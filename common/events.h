/* Every event that is logged, in one table. A number belongs to its event for good: a new event gets a new number.
 *
 *   1000  the life of the service           1020  its backups               1050  its life under the launcher
 *   2000  requests, as the front sees them  2050  what the keeper did with keys for one
 *   3000  the health of the service         3010  what may be an attack        3020  what the doctor found
 *   3030  the keyring's own life
 *
 * Columns: number, level, MESSAGE_ID (`systemd-id128 new`), sentence, and names of the fields that may come with it.
 * What each means and what is to be done is in systemd/pfxd.catalog; docs/events.md is made from both. */
#ifndef PFXD_EVENTS_H
#define PFXD_EVENTS_H

#define EVENTS(E) \
	E(SERVING,            1000, NOTICE,   "f65c2a532242434e871c87263a45a7c5", \
	  "serving", "") \
	E(ENDED,              1001, NOTICE,   "1a10f18c52f04a4a8aa5993fdc41b162", \
	  "ended", "") \
	E(NOT_STARTED,        1002, CRITICAL, "85ee5cc4feb340499a0732074e7ec67b", \
	  "can not start", "detail") \
	E(EMPTY_DATABASE,     1003, WARNING,  "04d93b3065b746abaed63bdde2cc36ad", \
	  "an empty database was begun under this keyring", "detail") \
	E(RELOADED,           1004, NOTICE,   "677907ea12a84394bbdca31896cc6b3a", \
	  "read again", "detail") \
	E(NOT_RELOADED,       1005, ERROR,    "6f1544f2dc3f424e9da7165199d588ee", \
	  "not read again, the old stays", "detail") \
	E(TLS_OUT_OF_DATE,    1006, WARNING,  "b5d4ad018516494f90852147ec391065", \
	  "clients will refuse the TLS certificate", "detail") \
	E(NOT_DRAINED,        1007, WARNING,  "49d63e3adf6d493991da41152feb891c", \
	  "some requests did not end in time", "") \
	E(STANDS_STILL,       1008, ERROR,    "2773619aedcf4c9faa805dbe3763a632", \
	  "a part stands still: the watchdog is not fed", "detail") \
	E(GOES_ON,            1009, NOTICE,   "727a3191f0ae445f80dd4cbf4e23351e", \
	  "what stood still goes on", "detail") \
	E(REQUEST_LEFT,       1010, INFO,     "c7fd6e0ed2674e9d8d50d0e4bd9ab5c4", \
	  "a request was left alone", "") \
	E(BACKED_UP,          1020, NOTICE,   "a166bb2e479244c48779d9a2928ee8bd", \
	  "a backup was made", "bytes identities digest") \
	E(RESTORING,          1021, WARNING,  "25a809338c054b91bc50f4047130dc26", \
	  "another database takes the place of this one: ending", "") \
	E(RESTORED,           1022, WARNING,  "762665c418cf43e590818ee6ace78019", \
	  "a backup has taken the place of the database", "detail") \
	E(VERIFIED,           1023, NOTICE,   "23d2d089833b46889bd0d8c43fe31aa5", \
	  "identities were verified", "readable total of") \
	E(ROOM_RESTARTED,     1050, WARNING,  "b8ccc0ada4c348c2968ef3a1a1fbb259", \
	  "a room ended", "detail") \
	E(ROOM_NOT_STARTED,   1051, ERROR,    "fafe222bb0724137bb3709777b17ba36", \
	  "the launcher failed", "detail") \
	E(FOLDER_ODD,         1052, WARNING,  "206ab1d006c4430d966e228ac6ecf677", \
	  "the folder is not as it should be", "detail") \
	E(NOT_READY,          1053, WARNING,  "5d1bc19bef1346a4b8dc1ad7ffab2299", \
	  "not ready yet", "detail") \
	E(OPENER_KILLED,      1054, NOTICE,   "86fb573bfeb446d6990791308782b60f", \
	  "an opener ended", "detail") \
	\
	E(REQUEST_DONE,       2000, INFO,     "d7ccfab7b1b64dbea57838e159708dc9", \
	  "request success", "call status ms user device thumbprint request_id") \
	E(REQUEST_FAILED,     2001, INFO,     "8769aedb5f8043ea8ea2328756eb2f05", \
	  "request failure", "call method path status code ms user device thumbprint detail request_id") \
	E(REENCRYPTED,        2050, INFO,     "57526558fb6f448ba4bd00863bee6e2e", \
	  "re-encrypted", "user user_id device identities request_id thumbprint") \
	E(REENCRYPT_DELAYED,  2051, WARNING,  "20c74508cb4541e2aca0f06dedb6211d", \
	  "re-encryption failed, and will be tried again", "user user_id device code detail request_id") \
	E(REENCRYPT_FAILED,   2052, NOTICE,   "b61df18746514919b9b425fde90c55fb", \
	  "re-encryption failed for good", "user user_id device code detail request_id") \
	\
	E(PART_FAILED,        3000, ERROR,    "a5f4f72a0ef348ffb5662de4a63b7bec", \
	  "a part of the service failed", "part detail") \
	E(PART_WELL,          3001, NOTICE,   "c41fa31afcd047e184e1229ac3b3edf6", \
	  "a part of the service is well again", "part") \
	E(AUDIT_UNREAD,       3002, ERROR,    "e840d1d7624d45ea9826876df9b3ca92", \
	  "the audit could not be verified", "detail") \
	E(LOG_NOT_EMPTIED,    3003, WARNING,  "09876de87fcf446b896d9bbf76c86bbb", \
	  "the database's log was not emptied", "detail") \
	E(OPENED_ANEW,        3004, WARNING,  "529cbf38dd6143dbb6d1c64e02098100", \
	  "the database was opened anew after an I/O error", "detail") \
	E(AUDIT_DIFFERS,      3010, CRITICAL, "d626e49ea8c44ece9f025d7934d76c16", \
	  "the audit and what is stored differ", "detail") \
	E(TAMPERED,           3011, CRITICAL, "ecd04595469b4ed298d30bb93d277e28", \
	  "a stored record is not what was written", "verb detail request_id") \
	E(NO_RIGHT,           3012, NOTICE,   "7f95096306614f98a0f4de485639196f", \
	  "a request was refused for want of a right", "verb code detail request_id") \
	E(PEER_REFUSED,       3013, WARNING,  "3d0c770334dd402ca0c0562c7b76361d", \
	  "a user who may not connect was turned away", "detail") \
	E(CONNECTION_DROPPED, 3014, WARNING,  "9b09579453204364ba1f8f5d72fadcb2", \
	  "a connection between rooms was dropped", "detail") \
	E(OPENER_LOST,        3015, WARNING,  "683ff4634dfb479da1e2d13fa98ea9ef", \
	  "an opener was lost at a request", "detail") \
	E(UNREADABLE,         3016, CRITICAL, "49f305030277404ab6fe1d5e75149102", \
	  "an identity can not be read", "of detail") \
	E(TO_MEND,            3020, WARNING,  "cc95a615c96146289241158b4c6d222b", \
	  "the doctor found what is to be mended", "check detail mend") \
	E(TO_MEND_SOON,       3021, NOTICE,   "f6bd21c6e4fa41e5b6a69428187e46fe", \
	  "the doctor found what is to be mended soon", "check detail mend") \
	\
	E(KEYRING_CHANGED,    3030, NOTICE,   "072fdf528326453b8bd920d66137299c", \
	  "the keyring is another than before", "detail") \
	E(REWRAPPED,          3031, NOTICE,   "4fd5e2445c1a4f87a547de088320a722", \
	  "identities were sealed anew under the newest key", "detail") \
	E(NOT_REWRAPPED,      3032, ERROR,    "c7e2bf1bbd8a473f99c3016547190546", \
	  "something could not be sealed anew", "detail")

enum event {
	EVENT_NONE, /* a line without a number, to find faults with */
#define E(name, number, level, id, sentence, fields) EVENT_##name,
	EVENTS(E)
#undef E
	EVENT_COUNT
};

#endif
