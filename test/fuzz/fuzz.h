/* SPDX-License-Identifier: PostgreSQL */
/*
 * fuzz.h - what the fuzz targets share.
 *
 * A target gets the bytes of a file behind its header, which it puts on a
 * simulated disk behind a right one.  Checksums would keep the fuzzer out:
 * the fuzz build replaces kv_checksum() by a constant 0 (engine.mk, --wrap),
 * for those who write a file and for those who read it, so that only the
 * header's own checksum is a real one.
 *
 * Whatever the bytes are: a status, no crash, no assertion, nothing left
 * allocated or open (fuzz_end).
 *
 * With KV_FUZZ_SEEDS=dir a target writes its seed inputs there and ends.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/file_header.h"
#include "env_sim.h"

#define FUZZ_FILE_NO 7
#define FUZZ_SALT	 99
extern const KvIdentity fuzz_identity;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* The target's: calls fuzz_seed for each. */
void fuzz_make_seeds(void);
void fuzz_seed(const char *name, const void *data, size_t size);

SimEnv *fuzz_begin(void);
void fuzz_end(SimEnv *sim);
/* a file of our cluster with a right header and these bytes behind it */
void fuzz_put(SimEnv *sim, KvNameKind name, KvFileKind kind,
			  const uint8_t *data, size_t size);
/*
 * Draws from an input, front to back; zeros where it has ended.  What is
 * taken as bytes is copied into memory of exactly that size, so that the
 * sanitizer sees a read behind its end.
 */
typedef struct FuzzIn
{
	const uint8_t *p;
	size_t left;
} FuzzIn;

uint8_t fuzz_u8(FuzzIn *in);
uint64_t fuzz_u64(FuzzIn *in);
/* malloc'ed; len is cut to what is left */
char *fuzz_bytes(FuzzIn *in, size_t *len);
/* false stops the program with the line */
#define FUZZ_CHECK(cond)                                                      \
	((cond) ? (void) 0 : fuzz_failed(#cond, __FILE__, __LINE__))
void fuzz_failed(const char *what, const char *file, int line)
	__attribute__((noreturn));

/* The bytes of a file behind its header as a seed. */
void fuzz_seed_file(SimEnv *sim, KvNameKind kind, const char *seed);

#endif /* FUZZ_H */
