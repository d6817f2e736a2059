/* SPDX-License-Identifier: PostgreSQL */
/*
 * bench.h - what the engine benchmark's parts know of one another.
 *
 * One program per engine: ops.c and measure.c with one engine_*.c, which
 * implements the engine_ functions below and is linked with that engine's
 * library only.  An engine_ function that fails ends the program: a
 * benchmark has no use for half a run.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_KEY	16
#define BENCH_VALUE 100
#define BENCH_MULTI 100 /* keys of one multiget */

/* ---- the engine under test */

/* 0 is none, so that it may be asked as a truth value. */
typedef enum BenchCompression
{
	BENCH_NONE,
	BENCH_DEFAULT, /* LZ4 for kvlsm, snappy for the others */
	BENCH_LZ4,
	BENCH_SNAPPY
} BenchCompression;

typedef struct BenchConfig
{
	const char *dir;	 /* exists, empty */
	const char *variant; /* "default", or one that the engine knows */
	int compress;		 /* BenchCompression */
	uint64_t n;			 /* rows, for sizing maps only */
} BenchConfig;

typedef struct Session Session; /* one per thread */

extern const char *const engine_name;

/* Version and options: lines of "name<TAB>value". */
void engine_describe(FILE *out);
void engine_open(const BenchConfig *config);
void engine_close(void);
/* Everything that is in memory, and everything on disk, in one piece. */
void engine_compact(void);
/* Counters worth keeping, as comment lines. */
void engine_counters(FILE *out);

Session *session_open(void);
void session_close(Session *s);

void engine_put(Session *s, const char *key, const char *value);
void engine_put_sync(Session *s, const char *key, const char *value);
void engine_delete(Session *s, const char *key);
/* An atomic batch: adds, then one commit. */
void engine_batch_add(Session *s, const char *key, const char *value);
void engine_batch_commit(Session *s);

/* *sum takes a byte of what was found, so that it was really read. */
bool engine_get(Session *s, const char *key, uint64_t *sum);
/* keys: n times BENCH_KEY bytes.  Returns how many were found. */
unsigned engine_multiget(Session *s, const char *keys, unsigned n,
						 uint64_t *sum);
/*
 * Opens an iterator at the first key >= from (NULL: at the first, or the
 * last if reverse), reads at most limit rows, closes it.
 */
uint64_t engine_scan(Session *s, const char *from, bool reverse,
					 uint64_t limit, uint64_t *sum);

/* ---- measure.c */

void bench_die(const char *what, const char *why) __attribute__((noreturn));
double bench_now(void);			/* seconds, monotonic */
double bench_process_cpu(void); /* seconds, all threads */
double bench_thread_cpu(void);
uint64_t bench_wchar(void);			  /* through write() so far */
uint64_t bench_disk(const char *dir); /* bytes of its blocks */
void bench_memory(uint64_t *rss_kb, uint64_t *peak_kb);

uint64_t bench_ticks(void);
double bench_ticks_to_us(uint64_t ticks);

#define HIST_SUB 32
typedef struct Hist
{
	uint64_t bucket[64 * HIST_SUB];
	uint64_t count, max;
} Hist;

void hist_reset(Hist *h);
void hist_add(Hist *h, uint64_t ticks);
double hist_percentile_us(const Hist *h, double share);

/* ---- data.c */

void bench_data_init(uint64_t seed);
void bench_key(uint64_t i, char *key);	   /* random order */
void bench_seq_key(uint64_t i, char *key); /* 16 digits */
const char *bench_value(uint64_t i);
uint64_t bench_random(uint64_t *state);

static inline uint64_t
bench_touch(const char *key, const char *value, size_t len)
{
	return (uint64_t) (unsigned char) key[BENCH_KEY - 1] +
		   (unsigned char) value[0] + (unsigned char) value[len - 1];
}

#endif /* BENCH_H */
