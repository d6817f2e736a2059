/* SPDX-License-Identifier: PostgreSQL */
/*
 * harness.h - what every unit test is written with.
 *
 * A test file contains KV_TEST(name) { ... } functions and nothing else:
 * harness.c has main(), runs them in the order of the file and prints one
 * line "ok - name" or "not ok - name" for each, failed checks before it as
 * "# file:line: ...".  The program's arguments are names (or beginnings of
 * names) of the tests to run, all if there are none.  Exit code 1: a test
 * failed, or none ran.
 *
 * Random tests draw from kv_rand() only.  It starts from the environment's
 * KV_SEED, else from the clock, anew for every test; a failure prints the
 * seed that repeats it.  KV_LONG=1 asks for the long form of a test.
 */
#ifndef KV_HARNESS_H
#define KV_HARNESS_H

#include <stdio.h>
#include <stdlib.h>

#include "engine/kv_env.h"

typedef struct KvTestCase
{
	const char *name;
	void (*fn)(void);
	struct KvTestCase *next;
} KvTestCase;

void kv_test_register(KvTestCase *test);

/* Defines and registers a test. */
#define KV_TEST(test_name)                                                     \
	static void test_##test_name(void);                                        \
	static KvTestCase case_##test_name = {#test_name, test_##test_name, NULL}; \
	__attribute__((constructor)) static void register_##test_name(void)        \
	{                                                                          \
		kv_test_register(&case_##test_name);                                   \
	}                                                                          \
	static void test_##test_name(void)

/*
 * Checks.  A failed one is printed and counted, and the test goes on;
 * KV_REQUIRE ends the program, for what the rest of a test cannot do without.
 * All may be used by several threads.
 */
#define KV_CHECK(cond)                                                        \
	((cond) ? (void) 0 : kv_test_fail(__FILE__, __LINE__, "%s", #cond))
#define KV_REQUIRE(cond)                                                      \
	((cond) ? (void) 0 : kv_test_die(__FILE__, __LINE__, #cond))
/* integers */
#define KV_CHECK_EQ(got, want)                                                \
	kv_test_eq(__FILE__, __LINE__, #got " == " #want, (int64_t) (got),        \
			   (int64_t) (want))
/* two KvStatus; shows their names */
#define KV_CHECK_STATUS(got, want)                                            \
	kv_test_status(__FILE__, __LINE__, #got, (got), (want), NULL)
/* expects KV_OK; shows the KvError's message otherwise */
#define KV_CHECK_OK(got, err)                                                 \
	kv_test_status(__FILE__, __LINE__, #got, (got), KV_OK, (err))
#define KV_REQUIRE_OK(got, err)                                               \
	(KV_CHECK_OK(got, err)                                                    \
		 ? (void) 0                                                           \
		 : kv_test_die(__FILE__, __LINE__, "cannot go on without it"))
/* a KvSlice and a C string */
#define KV_CHECK_SLICE(got, want)                                             \
	kv_test_slice(__FILE__, __LINE__, #got, (got),                            \
				  kv_slice((want), strlen(want)))
#define KV_CHECK_SLICES(got, want)                                            \
	kv_test_slice(__FILE__, __LINE__, #got, (got), (want))

void kv_test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void kv_test_die(const char *file, int line, const char *what)
	__attribute__((noreturn));
bool kv_test_eq(const char *file, int line, const char *what, int64_t got,
				int64_t want);
bool kv_test_status(const char *file, int line, const char *what, KvStatus got,
					KvStatus want, const KvError *err);
bool kv_test_slice(const char *file, int line, const char *what, KvSlice got,
				   KvSlice want);
/* failed checks of this test so far: lets a long loop stop at the first */
int kv_test_failures(void);

uint64_t kv_test_seed(void);
bool kv_test_long(void);

/* A generator for a thread of its own; xoshiro256**. */
typedef struct KvRand
{
	uint64_t s[4];
} KvRand;
void kv_rand_init(KvRand *r, uint64_t seed);
uint64_t kv_rand_next(KvRand *r);

/* The test's own generator, main thread only. */
uint64_t kv_rand(void);
uint64_t kv_rand_below(uint64_t n); /* 0 .. n - 1; n > 0 */

/*
 * An environment of malloc and a clock for tests without files: every file
 * callback returns KV_IO_ERROR, locks only remember whether they are held,
 * every transaction is committed.  One for the whole program.
 */
KvEnv *kv_test_env(void);
/* blocks of kv_test_env() not freed yet; main() fails a test that leaks */
int64_t kv_test_env_blocks(void);
/* lets the n-th next alloc or realloc return NULL (1: the next); 0: none */
void kv_test_env_fail_alloc(uint64_t n);

#endif /* KV_HARNESS_H */
