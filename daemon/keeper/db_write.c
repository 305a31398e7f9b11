/* The driver for SQLite: the one writer, whose commits are shared, and what follows an I/O error. Keeper only. */
#include "db_parts.h"

#include "clock.h"
#include "fault.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 128 }; /* jobs that share one commit */

struct job {
	int (*run)(struct connection *c, void *arg);
	void *arg;
	int rc;
	bool done;
	pthread_cond_t turn; /* it is done, or is to lead */
	char detail[FAULT_DETAIL_MAX];
	struct job *next;
};

/* ---- the gate: readers ---- */

/* Waits for those who read, until so many ms from now; db->lock is held. */
static bool wait_for_readers(struct db *db)
{
	int64_t until_ms = clock_ms() + DB_GATE_MS;
	while (db->reading > 0 && clock_condition_wait(&db->turned, &db->lock, until_ms))
		;
	return db->reading == 0;
}

/* No new reader is let in. False when old ones are still there after DB_GATE_MS. */
static bool shut_gate(struct db *db)
{
	pthread_mutex_lock(&db->lock);
	db->gated = true;
	bool gone = wait_for_readers(db);
	pthread_mutex_unlock(&db->lock);
	return gone;
}

/* Those who read for longer are told to come again. One that is between two statements does not notice. */
static bool send_readers_away(struct db *db)
{
	pthread_mutex_lock(&db->lock);
	for (struct connection *c = db->all; c; c = c->next)
		sqlite3_interrupt(c->handle);
	bool gone = wait_for_readers(db);
	pthread_mutex_unlock(&db->lock);
	return gone;
}

static void open_gate(struct db *db)
{
	pthread_mutex_lock(&db->lock);
	db->gated = false;
	pthread_cond_broadcast(&db->turned);
	pthread_mutex_unlock(&db->lock);
}

/* ---- after an I/O error ----
 *
 * The kernel tells once that it could not write, and from then on takes its pages for written. So what SQLite's index
 * notes of the log, for one how much of it the database has, may be wrong, and SQLite would empty a log of which the
 * database lacks a part. Only when every connection was closed is that index made again, from the log alone; then all
 * of the log is copied once more. */

/* Also where even that can not be done, for want of memory, the connection is closed and opened anew. */
static void roll_back(struct connection *c)
{
	if (!db_roll_back(c))
		c->db->doubted = true;
}

/* A commit that failed has left pages in the log, which must not be taken for whole when the log is read again. A
 * commit that changes nothing takes their place. It is also the question whether the disk is back. */
static int write_over_failed(struct connection *writer)
{
	char version[24] = "", sql[96];
	roll_back(writer);
	int rc = db_ask(writer, "PRAGMA user_version", version, sizeof version);
	sqlite3_snprintf(sizeof sql, sql, "BEGIN IMMEDIATE; PRAGMA user_version=%s; COMMIT", version);
	if (rc == 0)
		rc = db_run_text(writer, sql);
	roll_back(writer);
	return rc;
}

/* The gate is shut. */
static int open_anew(struct db *db)
{
	db_disconnect_readers(db);
	db_disconnect(db->writer);
	db->writer = NULL;
	return db_connect(db, true, &db->writer);
}

/* By who leads. 0 when the database may be believed. */
static int trust_again(struct db *db)
{
	int rc = 0;
	if (!db->doubted)
		return 0;
	if (db->writer)
		rc = write_over_failed(db->writer);
	if (rc < 0)
		return rc;
	rc = shut_gate(db) || send_readers_away(db) ? open_anew(db) :
		fail(FAULT_UNAVAILABLE, "the database is opened anew as soon as nobody reads it");
	open_gate(db);
	if (rc < 0)
		return rc;
	db->doubted = false;
	rc = db_copy_log(db->writer); /* another I/O error: doubted again */
	if (rc == 0)
		log_detail(EVENT_OPENED_ANEW, "%s", db->path);
	return rc;
}

/* ---- jobs ---- */

static void job_failed(struct job *job, int rc)
{
	job->rc = rc;
	strcpy(job->detail, fault_detail());
}

/* Runs one job in a savepoint. An error here is one of the savepoint itself: then the whole batch must go, for what a
 * failed job has half done could not be taken back alone. */
static int run_job(struct connection *c, struct job *job)
{
	int rc = db_transact(c, TRANSACTION_SAVEPOINT);
	if (rc < 0)
		return rc;
	job->rc = job->run(c, job->arg);
	if (job->rc < 0)
		job_failed(job, job->rc);
	/* On a full disk, and without memory, SQLite may have rolled the whole transaction back by itself. */
	if (sqlite3_get_autocommit(c->handle))
		return fail(FAULT_UNAVAILABLE, "the database gave the transaction up: %s", job->detail);
	if (job->rc < 0)
		rc = db_transact(c, TRANSACTION_BACK_TO_SAVEPOINT);
	return rc < 0 ? rc : db_transact(c, TRANSACTION_RELEASE);
}

static int run_jobs(struct connection *c, struct job *jobs)
{
	int rc = db_transact(c, TRANSACTION_WRITE);
	for (struct job *job = jobs; rc == 0 && job; job = job->next)
		rc = run_job(c, job);
	if (rc == 0)
		rc = db_transact(c, TRANSACTION_COMMIT);
	roll_back(c);
	return rc;
}

/* A commit that failed may still be found whole when the log is read again. So that it is told rightly to have failed,
 * it is written over at once; where the disk does not let that be done, nobody can know. */
static int settle(struct db *db, int rc)
{
	char why[FAULT_DETAIL_MAX];
	strcpy(why, fault_detail());
	if (trust_again(db) == 0)
		return fail((enum fault)-rc, "%s", why);
	return fail(FAULT_UNAVAILABLE, "what was asked may or may not be done: %s", why);
}

static void run_batch(struct db *db, struct job *jobs)
{
	int rc = trust_again(db);
	if (rc == 0) {
		rc = run_jobs(db->writer, jobs);
		if (rc < 0)
			rc = settle(db, rc);
	}
	/* Also those that were refused: perhaps for what another one had done, which is not there now. */
	for (struct job *job = jobs; rc < 0 && job; job = job->next)
		job_failed(job, rc);
}

/* Takes up to BATCH_MAX jobs off the queue. The lock is held. */
static struct job *take_batch(struct db *db)
{
	struct job *batch = db->first, **end = &db->first;
	for (unsigned n = 0; n < BATCH_MAX && *end; n++)
		end = &(*end)->next;
	db->first = *end;
	*end = NULL;
	if (!db->first)
		db->last = &db->first;
	return batch;
}

/* Of the jobs that wait, wakes one, which leads: to wake all would cost more than what they wait for. The lock is
 * held. */
static void end_lead(struct db *db)
{
	db->leading = false;
	pthread_cond_broadcast(&db->turned);
	if (db->first)
		pthread_cond_signal(&db->first->turn);
}

/* The thread that finds nobody leading runs the batch for all who wait; they only sleep. */
int db_write(struct db *db, int (*run)(struct connection *c, void *arg), void *arg)
{
	struct job job = { .run = run, .arg = arg, .turn = PTHREAD_COND_INITIALIZER };
	pthread_mutex_lock(&db->lock);
	if (db->shut) {
		pthread_mutex_unlock(&db->lock);
		return fail(FAULT_UNAVAILABLE, "another database takes the place of this one");
	}
	*db->last = &job;
	/* The queue never outlives the job: this function returns when a batch with it is done. */
	/* cppcheck-suppress autoVariables */
	db->last = &job.next;
	while (!job.done) {
		if (db->leading) {
			pthread_cond_wait(&job.turn, &db->lock);
			continue;
		}
		db->leading = true;
		struct job *batch = take_batch(db);
		pthread_mutex_unlock(&db->lock);
		run_batch(db, batch);
		pthread_mutex_lock(&db->lock);
		for (struct job *next; batch; batch = next) {
			next = batch->next;
			batch->done = true;
			if (batch != &job)
				pthread_cond_signal(&batch->turn);
		}
		end_lead(db);
	}
	pthread_mutex_unlock(&db->lock);
	pthread_cond_destroy(&job.turn);
	return job.rc < 0 ? fail((enum fault)-job.rc, "%s", job.detail) : job.rc;
}

/* As a job would, because the writer's connection has one user at a time. */
static void take_lead(struct db *db)
{
	pthread_mutex_lock(&db->lock);
	while (db->leading)
		pthread_cond_wait(&db->turned, &db->lock);
	db->leading = true;
	pthread_mutex_unlock(&db->lock);
}

static void give_lead_back(struct db *db)
{
	pthread_mutex_lock(&db->lock);
	end_lead(db);
	pthread_mutex_unlock(&db->lock);
}

/* Does not wait for a reader that is still there: everybody else waits meanwhile. */
static int empty_log(struct connection *writer)
{
	sqlite3_busy_timeout(writer->handle, 0);
	errno = 0;
	int code = sqlite3_wal_checkpoint_v2(writer->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sqlite3_busy_timeout(writer->handle, DB_BUSY_MS);
	if (code == SQLITE_BUSY)
		return fail(FAULT_AGAIN, "a reader still holds the log");
	return code == SQLITE_OK ? 0 : db_broken(writer, code, "empty the log");
}

int db_truncate_log(struct db *db)
{
	take_lead(db);
	int rc = trust_again(db);
	if (rc == 0) {
		shut_gate(db);
		rc = empty_log(db->writer);
		open_gate(db);
	}
	give_lead_back(db);
	return rc;
}

static int free_pages(struct connection *c, int64_t *ret)
{
	char pages[24] = "";
	int rc = db_ask(c, "PRAGMA freelist_count", pages, sizeof pages);
	*ret = strtoll(pages, NULL, 10);
	return rc;
}

static int give_back(struct connection *c, void *arg)
{
	char sql[64];
	int64_t before, after, *ret_given = arg;
	int rc = free_pages(c, &before);
	if (rc < 0 || before <= DB_FREE_PAGES_KEPT)
		return rc;
	int64_t most = before - DB_FREE_PAGES_KEPT;
	sqlite3_snprintf(sizeof sql, sql, "PRAGMA incremental_vacuum(%lld)",
			 (long long)(most < DB_GIVE_BACK_PAGES ? most : DB_GIVE_BACK_PAGES));
	rc = db_run_text(c, sql);
	if (rc == 0)
		rc = free_pages(c, &after);
	*ret_given = rc == 0 ? before - after : 0;
	return rc;
}

int db_give_back(struct db *db)
{
	int64_t given = 0;
	int rc = db_write(db, give_back, &given);
	return rc < 0 ? rc : (int)given;
}

/* Who waits for the lead when it is shut still gets it: what was taken is written. */
void db_shut(struct db *db, bool shut)
{
	pthread_mutex_lock(&db->lock);
	db->shut = shut;
	while (db->leading || db->first)
		pthread_cond_wait(&db->turned, &db->lock);
	pthread_mutex_unlock(&db->lock);
}
