/* What the keeper reads: frames on its three sockets, and the answers of its openers. A whole keeper, with a
 * keyring and a database, gets the frames of an input one after the other; what it asks of an opener in between is
 * answered with the next frame. Afterwards the audit chain must tell of everything that stands in the tables.
 *
 * The input is frames with FUZZ_FRAME_MARK between them, each a verb and its fields. Some texts stand for what nobody
 * can guess: see the list of marks. PFXD_FUZZ_SEEDS=folder has the target write seeds into the folder. */
#include "fuzz.h"

#define main keeper_main
int keeper_main(int argc, char **argv);
#include "../../daemon/keeper/main.c"
#undef main
#include "../../daemon/keeper/serve.c"

#include "encode.h"
#include "frame.h"
#include "front/keeper_client.h"
#include "keeper/devices.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>

/* ---- what stands for what ---- */

/* As long as what they stand for. An administrator's token is the same letter 43 times. */
static const char fingerprint_mark[] = "FINGERPRINT-OF-THE-ONLY-DEVICE--";
static const char signature_mark[] = "SIGNATURE";
static const struct {
	char letter;
	const char *role;
} tokens[] = { { 'A', "admin" }, { 'I', "importer" }, { 'E', "enroller" }, { 'R', "auditor" }, { 'O', "operator" } };
static const char enrolment_letter = 'N';
static const char upn[] = "ann@example.org";

static struct {
	struct keeper k;
	char folder[256], path[288];
	struct buf *file;         /* the database, as it was made */
	uint8_t fingerprint[FINGERPRINT_BYTES];
	EVP_PKEY *device_key;
	struct buf *csr;          /* PEM, of device_key */
	struct msg_opened_csr opened_csr;
	uint8_t point[65];
	bool written;             /* since the database was as it was made */
	uint32_t ids;             /* that were given away */
	struct view rest;         /* of the input */
} world;

static struct view token_of(char letter, char *room)
{
	memset(room, letter, TOKEN_CHARS);
	return view_of(room, TOKEN_CHARS);
}

/* ---- in the place of what leaves the process, or is never the same ---- */

void __wrap_uuid_make(char ret[static UUID_TEXT + 1]);
int __real_db_write(struct db *db, int (*job)(struct connection *c, void *arg), void *arg);
int __wrap_db_write(struct db *db, int (*job)(struct connection *c, void *arg), void *arg);
int __wrap_frame_send(int fd, struct buf *b, int64_t deadline_ms);
int __wrap_frame_receive(int fd, struct buf *b, size_t max, int64_t deadline_ms, uint8_t *ret_verb,
			 struct view *ret_fields);

void __wrap_uuid_make(char ret[static UUID_TEXT + 1])
{
	snprintf(ret, UUID_TEXT + 1, "00000000-0000-4000-8000-%012x", ++world.ids);
}

int __wrap_db_write(struct db *db, int (*job)(struct connection *c, void *arg), void *arg)
{
	world.written = true;
	return __real_db_write(db, job, arg);
}

static bool started; /* the opener has read the request */

/* To an opener: what the keeper asks must be what an opener can read. */
int __wrap_frame_send(int fd, struct buf *b, int64_t deadline_ms)
{
	(void)fd;
	(void)deadline_ms;
	struct msg_open_pfx pfx;
	struct msg_open_csr csr;
	uint8_t verb;
	struct view fields = fuzz_sent(b, &verb);
	if (verb == VERB_OPEN_PFX)
		MUST(read_open_pfx(fields, &pfx) == 0 && pfx.max_work == world.k.config.max_work);
	else
		MUST(verb == VERB_OPEN_CSR && read_open_csr(fields, &csr) == 0);
	started = false;
	return 0;
}

int __wrap_frame_receive(int fd, struct buf *b, size_t max, int64_t deadline_ms, uint8_t *ret_verb,
			 struct view *ret_fields)
{
	(void)fd;
	(void)deadline_ms;
	if (!started) {
		started = true;
		*ret_verb = VERB_STARTED;
		*ret_fields = view_of("", 0);
		return 0;
	}
	if (!fuzz_receive(&world.rest, b, ret_verb, ret_fields))
		return fail(FAULT_CLOSED, "the opener is gone");
	MUST(ret_fields->len <= max);
	return 0;
}

/* ---- frames, read and written ---- */

/* What is asked on the local socket, beside what the fronts ask: as KEEPER_CALLS. */
#define LOCAL_CALLS(C) \
	C(verify, VERIFY, nothing, verification) \
	C(inspect, INSPECT, nothing, inspection)

/* What the keeper answers, who asked can read, and read whole. */
#define C(name, verb, message, answer) \
	static void check_answer_##name(struct view fields) \
	{ \
		struct msg_##answer m; \
		BUF again = fuzz_buf(FRAME_MAX_BYTES); \
		MUST(read_##answer(fields, &m) == 0); \
		MUST(put_##answer(again, &m) == 0 && view_equal(buf_view(again), fields)); \
	}
KEEPER_CALLS(C)
LOCAL_CALLS(C)
#undef C

static void check_error(struct view fields)
{
	struct msg_error m;
	MUST(read_error(fields, &m) == 0);
	MUST(m.fault > FAULT_OK && m.fault < FAULT_COUNT && fault_is_public(-m.fault) && m.detail.len > 0);
	/* Nothing that a front or an opener can say may look like a record that was changed. */
	MUST(m.fault != FAULT_TAMPERED);
}

static void check_answer(uint8_t verb, const struct buf *out)
{
	MUST(buf_ok(out) && buf_len(out) >= FRAME_HEADER_BYTES);
	struct view fields = view_of(buf_data(out) + FRAME_HEADER_BYTES, buf_len(out) - FRAME_HEADER_BYTES);
	if (buf_data(out)[4] == VERB_ERROR) {
		check_error(fields);
		return;
	}
	MUST(buf_data(out)[4] == verb);
	switch (verb) {
#define C(name, verb, message, answer) case VERB_##verb: check_answer_##name(fields); break;
	KEEPER_CALLS(C)
	LOCAL_CALLS(C)
#undef C
	default: abort();
	}
}

void fuzz_frame_layout(uint8_t verb, struct view fields, struct fuzz_layout *ret)
{
	switch (verb) {
#define C(name, verb, message, answer) case VERB_##verb: FUZZ_LAYOUT(message); break;
	KEEPER_CALLS(C)
	LOCAL_CALLS(C)
#undef C
	case VERB_OPEN_PFX: FUZZ_LAYOUT(opened_pfx); break;
	case VERB_OPEN_CSR: FUZZ_LAYOUT(opened_csr); break;
	case VERB_ERROR: FUZZ_LAYOUT(error); break;
	}
}

/* ---- requests ---- */

static void replace(uint8_t *at, size_t len, const char *mark, const uint8_t *new)
{
	size_t mark_len = strlen(mark);
	for (uint8_t *p; (p = memmem(at, len, mark, mark_len));)
		memcpy(p, new, mark_len);
}

/* A signature of the device's, in the place of its mark. */
static void sign_renewal(struct buf *fields)
{
	struct msg_renew m;
	uint8_t signature[80];
	size_t len = sizeof signature;
	BUF der = fuzz_buf(CSR_MAX_BYTES);
	BUF renewed = fuzz_buf(FRAME_MAX_BYTES);
	if (read_renew(buf_view(fields), &m) < 0 || !view_is(m.signature, signature_mark) ||
	    pem_decode("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST", m.csr, der) < 0)
		return;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	MUST(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, world.device_key) == 1);
	MUST(EVP_DigestSign(context, signature, &len, buf_data(der), buf_len(der)) == 1);
	EVP_MD_CTX_free(context);
	m.signature = view_of(signature, len);
	MUST(put_renew(renewed, &m) == 0);
	buf_reset(fields);
	buf_put(fields, buf_data(renewed), buf_len(renewed));
}

/* One request on one socket. Where it is not permitted, nothing comes of it. */
static void ask(enum socket_kind kind, uint8_t verb, struct view fields)
{
	bool before = world.written;
	BUF out = fuzz_buf(ANSWER_MAX);
	int rc = handle(&world.k, kind, -1, verb, fields, out);
	MUST(rc == 0 || rc == -FAULT_BAD_FRAME);
	MUST((permissions[verb].sockets & (int)kind) || (rc < 0 && world.written == before));
	if (rc == 0)
		check_answer(verb, out);
}

/* A frame as it came, in memory of its own, on every socket that there is. */
static void ask_everywhere(uint8_t verb, struct view raw)
{
	BUF fields = fuzz_buf(FRAME_MAX_BYTES);
	buf_put(fields, raw.p, raw.len);
	replace((uint8_t *)(uintptr_t)buf_data(fields), buf_len(fields), fingerprint_mark, world.fingerprint);
	if (verb == VERB_RENEW)
		sign_renewal(fields);
	if (verb == VERB_HEALTH) /* it asks nothing and tells what a thread found out, which is not here */
		return;
	ask(SOCKET_DEVICE, verb, buf_view(fields));
	ask(SOCKET_ADMIN, verb, buf_view(fields));
	/* Of these a file is made, or comes, over a connection that is not here. */
	if (verb != VERB_BACKUP && verb != VERB_RESTORE && verb != VERB_VERIFY_IDENTITIES)
		ask(SOCKET_LOCAL, verb, buf_view(fields));
}

/* ---- the keeper's beginning ---- */

static int add_tokens(struct connection *c, void *arg)
{
	struct keeper *k = arg;
	const struct actor service = { .id = view_text("service") };
	int rc = fill_new(c, k);
	for (size_t i = 0; rc == 0 && i < sizeof tokens / sizeof *tokens; i++) {
		char id[UUID_TEXT + 1], room[TOKEN_CHARS];
		uint8_t digest[32];
		uuid_make(id);
		MUST(digest_sha256(token_of(tokens[i].letter, room), digest) == 0);
		const struct row_token row = { .id = view_text(id), .token_sha256 = view_of(digest, sizeof digest),
					       .name = view_text("a token"), .role = view_text(tokens[i].role),
					       .created_at = now_seconds() };
		rc = tokens_add(k, c, &service, &row);
	}
	return rc;
}

struct new_enrolment {
	char letter;
	struct view user_id;
};

/* As answer_add_enrolment() does it, with a token that the inputs can name. */
static int add_enrolment(struct connection *c, void *arg)
{
	const struct new_enrolment *e = arg;
	char id[UUID_TEXT + 1], room[TOKEN_CHARS];
	uint8_t digest[32];
	uuid_make(id);
	MUST(digest_sha256(token_of(e->letter, room), digest) == 0);
	const struct row_enrolment row = {
		.token_sha256 = view_of(digest, sizeof digest), .id = view_text(id), .user_id = e->user_id,
		.name = view_text("phone"), .platform = view_text("ios-18"), .created_at = now_seconds(),
		.expires_at = now_seconds() + 3600,
	};
	const struct audit_record record = { .event = "enrolment.create", .actor = view_text("service"),
					     .user_id = e->user_id, .object = view_text(id) };
	int rc = enrolments_insert(world.k.keyring, c, &row);
	return rc < 0 ? rc : audit_append(&world.k, c, &record);
}

static struct view user_id(char ret[static UUID_TEXT + 1])
{
	READER c = NULL;
	ROW(user, user);
	MUST(db_read(world.k.db, &c) == 0 && users_find(world.k.keyring, c, view_text(upn), &user) == 0);
	MUST(text_copy(user.id, ret, UUID_TEXT + 1));
	return view_text(ret);
}

/* ---- messages, for the beginning and for seeds ---- */

#define REQUEST_ID .request_id = view_text("request")

/* Each appends a frame to b, behind a mark where it is not the first. */
#define PUT_FRAME(b, verb, message, ...) \
	do { \
		const struct msg_##message m_ = { __VA_ARGS__ }; \
		if (buf_len(b) > 0) \
			buf_put_text((b), FUZZ_FRAME_MARK); \
		buf_put_u8((b), VERB_##verb); \
		MUST(put_##message((b), &m_) == 0); \
	} while (0)

static void add_import(struct buf *b, char token, const char *name)
{
	char room[TOKEN_CHARS], subject[64];
	BUF identities = fuzz_buf(MIB);
	BUF chain = fuzz_buf(MIB);
	BUF warnings = fuzz_buf(MIB);
	BUF emails = fuzz_buf(KIB);
	const struct msg_string email = { view_text(name) };
	MUST(put_string(emails, &email) == 0);
	snprintf(subject, sizeof subject, "CN=%s", name);
	const struct msg_opened_identity identity = {
		.certificate = view_text(subject), .modern_secret = view_text("modern"),
		.legacy_secret = view_text("legacy"), .subject = view_text(subject), .issuer = view_text("CN=CA"),
		.serial = view_text("0a"), .not_before = FUZZ_NOW - 86400, .not_after = FUZZ_NOW + 86400,
		.usages = USAGE_ALL, .key_algorithm = view_text("RSA-2048"), .emails = buf_view(emails),
		.chain = view_of("", 1),
	};
	const struct msg_opened_certificate ca = { view_text("the certificate of a CA") };
	const struct msg_warning warning = { .code = view_text("expired"), .detail = view_text("it has expired") };
	MUST(put_opened_identity(identities, &identity) == 0 && put_opened_certificate(chain, &ca) == 0 &&
	     put_warning(warnings, &warning) == 0);
	PUT_FRAME(b, IMPORT, import, REQUEST_ID, .token_secret = token_of(token, room), .upn = view_text(name),
		  .pfx_secret = view_text("a PFX"), .password_secret = view_text("secret"));
	PUT_FRAME(b, OPEN_PFX, opened_pfx, .identities = buf_view(identities), .chain = buf_view(chain),
		  .warnings = buf_view(warnings));
}

static void add_enroll(struct buf *b, char letter)
{
	char room[TOKEN_CHARS];
	PUT_FRAME(b, ENROLL, enroll, REQUEST_ID, .token_secret = token_of(letter, room), .csr = buf_view(world.csr));
	PUT_FRAME(b, OPEN_CSR, opened_csr, .kind = world.opened_csr.kind, .point = world.opened_csr.point);
}

/* ---- */

static void make_request(void)
{
	char *pem;
	world.csr = fuzz_buf(CSR_MAX_BYTES);
	world.device_key = EVP_EC_gen("P-256");
	X509_REQ *request = X509_REQ_new();
	BIO *bio = BIO_new(BIO_s_mem());
	MUST(world.device_key && request && bio && X509_REQ_set_pubkey(request, world.device_key) == 1);
	MUST(X509_REQ_sign(request, world.device_key, EVP_sha256()) > 0 && PEM_write_bio_X509_REQ(bio, request) == 1);
	long len = BIO_get_mem_data(bio, &pem);
	buf_put(world.csr, pem, (size_t)len);
	size_t point_len = 0;
	size_t size = sizeof world.point;
	MUST(EVP_PKEY_get_octet_string_param(world.device_key, "pub", world.point, size, &point_len) == 1 &&
	     point_len == sizeof world.point && world.point[0] == 4);
	world.opened_csr = (struct msg_opened_csr){ .kind = DEVICE_KEY_P256,
						    .point = view_of(world.point, sizeof world.point) };
	X509_REQ_free(request);
	BIO_free(bio);
}

static void run_frames(struct view frames)
{
	world.rest = frames;
	while (world.rest.len > 0) {
		struct view fields = fuzz_take_until(&world.rest, FUZZ_FRAME_MARK);
		uint8_t verb;
		if (view_get_u8(&fields, &verb))
			ask_everywhere(verb, fields);
	}
}

/* Of the only device, as it stands in the answer to its enrolment. */
static void find_fingerprint(const struct buf *answer)
{
	struct msg_enrolled m;
	BUF der = fuzz_buf(CERTIFICATE_MAX_BYTES);
	struct view fields = view_of(buf_data(answer) + FRAME_HEADER_BYTES, buf_len(answer) - FRAME_HEADER_BYTES);
	MUST(buf_data(answer)[4] == VERB_ENROLL && read_enrolled(fields, &m) == 0);
	MUST(pem_decode("CERTIFICATE", NULL, m.certificate, der) == 0);
	MUST(digest_sha256(buf_view(der), world.fingerprint) == 0);
}

/* A user with an identity, a device, and an enrolment that is open. */
static void populate(void)
{
	char id[UUID_TEXT + 1];
	uint8_t verb;
	BUF frames = fuzz_buf(MIB);
	BUF answer = fuzz_buf(ANSWER_MAX);
	add_import(frames, 'A', upn);
	run_frames(buf_view(frames));
	struct new_enrolment e = { 'D', user_id(id) };
	MUST(db_write(world.k.db, add_enrolment, &e) == 0);
	e.letter = enrolment_letter;
	MUST(db_write(world.k.db, add_enrolment, &e) == 0);
	buf_reset(frames);
	add_enroll(frames, 'D');
	world.rest = buf_view(frames);
	struct view fields = fuzz_take_until(&world.rest, FUZZ_FRAME_MARK);
	MUST(view_get_u8(&fields, &verb) && handle(&world.k, SOCKET_DEVICE, -1, verb, fields, answer) == 0);
	find_fingerprint(answer);
}

/* TMPDIR is best in memory, and removed by who set it: a find ends this process without a word. */
static void make_folder(void)
{
	const char *parent = getenv("TMPDIR");
	int len = snprintf(world.folder, sizeof world.folder, "%s/fuzz-keeper-XXXXXX", parent ? parent : "/tmp");
	MUST(len < (int)sizeof world.folder && mkdtemp(world.folder));
	snprintf(world.path, sizeof world.path, "%s/pfxd.db", world.folder);
}

static void remove_folder(void)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	char path[320];
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof path, "%s%s", world.path, endings[i]);
		unlink(path);
	}
	rmdir(world.folder);
}

/* The database as it was made. */
static void begin_again(void)
{
	db_close(world.k.db);
	FILE *f = fopen(world.path, "wb");
	MUST(f && fwrite(buf_data(world.file), 1, buf_len(world.file), f) == buf_len(world.file) && fclose(f) == 0);
	MUST(db_open(world.path, &world.k.db) == 0);
	world.written = false;
}

/* The chain and the tables agree, whatever was asked. */
static void check_audit(void)
{
	uint64_t records;
	READER c = NULL;
	BUF differences = fuzz_buf(LIST_MAX_BYTES);
	MUST(db_read(world.k.db, &c) == 0);
	MUST(audit_verify(&world.k, c, &records, differences) == 0);
	struct msg_string m;
	struct view rest = buf_view(differences);
	if (get_string(&rest, &m) == 0)
		fprintf(stderr, "%.*s\n", (int)m.value.len, (const char *)m.value.p);
	MUST(buf_len(differences) == 0);
	MUST(!atomic_load(&world.k.audit_broken));
}

static void write_seeds(const char *folder);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const uint8_t first_token[32] = { 1 };
	(void)argc;
	(void)argv;
	BUF text = fuzz_buf(KEYRING_MAX_BYTES);
	fuzz_fix_random();
	log_init("fuzz", 0, true);
	make_folder();
	atexit(remove_folder);
	config_init(&world.k.config);
	make_request();
	MUST(keyring_make(view_of(first_token, sizeof first_token), text) == 0);
	MUST(keyring_parse(buf_view(text), &world.k.keyring) == 0);
	MUST(openers_new(&world.k.config, &world.k.counters, &world.k.openers) == 0);
	MUST(db_open(world.path, &world.k.db) == 0);
	MUST(db_write(world.k.db, add_tokens, &world.k) == 0);
	populate();
	db_close(world.k.db); /* empties the log into the file */
	world.file = fuzz_buf(16 * MIB);
	fuzz_read_file(world.path, world.file);
	MUST(db_open(world.path, &world.k.db) == 0);
	world.written = false;
	if (getenv("PFXD_FUZZ_SEEDS"))
		write_seeds(getenv("PFXD_FUZZ_SEEDS"));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_fix_random();
	world.ids = 0x1000;
	run_frames(view_of(data, size));
	if (world.written) {
		check_audit();
		begin_again();
	}
	ERR_clear_error();
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	return fuzz_mutate_frames(data, size, max, seed, 0);
}

/* ---- seeds ---- */

static void seed(const char *folder, const char *name, struct buf *frames)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *f = fopen(path, "wb");
	MUST(f && fwrite(buf_data(frames), 1, buf_len(frames), f) == buf_len(frames) && fclose(f) == 0);
	buf_reset(frames);
}

#define DEVICE REQUEST_ID, .fingerprint = view_text(fingerprint_mark)
#define ADMIN REQUEST_ID, .token_secret = token_of(letter, room)

static void write_device_seeds(const char *folder, struct buf *b)
{
	BUF receipts = fuzz_buf(KIB);
	const struct msg_receipt receipt = { .thumbprint = view_text("a SHA-1 of 20 bytes."), .error = view_text("e") };
	MUST(put_receipt(receipts, &receipt) == 0);
	add_enroll(b, enrolment_letter);
	add_enroll(b, enrolment_letter);
	seed(folder, "enroll-twice", b);
	PUT_FRAME(b, CERTIFICATES, device, DEVICE);
	PUT_FRAME(b, BUNDLE, bundle, DEVICE, .if_none_match = view_text("*"));
	PUT_FRAME(b, BUNDLE, bundle, DEVICE, .enveloped = 1, .if_none_match = view_text("W/\"x\", \"y\""));
	PUT_FRAME(b, RECEIPTS, receipts, DEVICE, .receipts = buf_view(receipts));
	seed(folder, "device", b);
	PUT_FRAME(b, RENEW, renew, DEVICE, .csr = buf_view(world.csr), .signature = view_text(signature_mark));
	PUT_FRAME(b, OPEN_CSR, opened_csr, .kind = world.opened_csr.kind, .point = world.opened_csr.point);
	PUT_FRAME(b, RENEW, renew, DEVICE, .csr = buf_view(world.csr), .signature = view_text(signature_mark));
	PUT_FRAME(b, BUNDLE, bundle, DEVICE);
	seed(folder, "renew", b);
	PUT_FRAME(b, VERIFY, nothing);
	PUT_FRAME(b, INSPECT, nothing);
	seed(folder, "local", b);
}

static void write_admin_seeds(const char *folder, struct buf *b, char letter)
{
	char room[TOKEN_CHARS], name[2] = { letter };
	static const char device[] = "00000000-0000-4000-8000-00000000000c";
	BUF thumbprint = fuzz_buf(THUMBPRINT_MAX_BYTES);
	uint8_t *at = buf_reserve(thumbprint, 20);
	MUST(digest_sha1(view_text("CN=ann@example.org"), at) == 0);
	add_import(b, letter, "bob@example.org");
	add_import(b, letter, upn);
	PUT_FRAME(b, HISTORY, user, ADMIN, .upn = view_text(upn));
	PUT_FRAME(b, USERS, listing, ADMIN, .limit = 1);
	PUT_FRAME(b, USERS, listing, ADMIN, .limit = 1, .cursor = view_text("ann@example.org"));
	PUT_FRAME(b, USER, user, ADMIN, .upn = view_text("ANN@example.org"));
	PUT_FRAME(b, DEVICES, listing, ADMIN, .limit = 9, .user = view_text(upn));
	PUT_FRAME(b, DEVICES, listing, ADMIN, .limit = 1);
	PUT_FRAME(b, RELEASE_DEVICE, object, ADMIN, .id = view_text(device));
	PUT_FRAME(b, TOKENS, admin, ADMIN);
	PUT_FRAME(b, AUDIT, listing, ADMIN, .limit = 3);
	PUT_FRAME(b, AUDIT, listing, ADMIN, .limit = 3, .cursor = view_text("3"));
	PUT_FRAME(b, VERIFY_AUDIT, admin, ADMIN);
	PUT_FRAME(b, CA, admin, ADMIN);
	PUT_FRAME(b, AUTHORIZE, authorize, ADMIN, .verb = VERB_IMPORT);
	seed(folder, name, b);
	PUT_FRAME(b, ADD_ENROLMENT, enrolment, ADMIN, .upn = view_text(upn), .name = view_text("tablet"),
		  .platform = view_text("ios"), .expires_in = 60);
	PUT_FRAME(b, ADD_TOKEN, token, ADMIN, .name = view_text("new"), .role = view_text("admin"), .expires_in = 60);
	PUT_FRAME(b, DELETE_TOKEN, object, ADMIN, .id = view_text("00000000-0000-4000-8000-000000000002"));
	PUT_FRAME(b, RENAME_USER, rename, ADMIN, .upn = view_text(upn), .new_upn = view_text("anna@example.org"));
	PUT_FRAME(b, USER, user, ADMIN, .upn = view_text(upn));
	PUT_FRAME(b, DELETE_IDENTITY, identity_ref, ADMIN, .upn = view_text(upn), .thumbprint = buf_view(thumbprint));
	PUT_FRAME(b, BUNDLE, bundle, DEVICE);
	PUT_FRAME(b, REVOKE_DEVICE, object, ADMIN, .id = view_text(device));
	PUT_FRAME(b, BUNDLE, bundle, DEVICE);
	PUT_FRAME(b, RETIRE_USER, user, ADMIN, .upn = view_text(upn));
	add_import(b, letter, upn);
	seed(folder, letter == 'A' ? "acts-of-an-administrator" : "acts-of-others", b);
}

static void write_seeds(const char *folder)
{
	BUF b = fuzz_buf(MIB);
	write_device_seeds(folder, b);
	for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
		write_admin_seeds(folder, b, tokens[i].letter);
}
