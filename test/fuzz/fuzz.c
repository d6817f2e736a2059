/* SPDX-License-Identifier: PostgreSQL */
/*
 * fuzz.c - see fuzz.h.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const KvIdentity fuzz_identity = {.system_id = 42,
								  .timeline = 1,
								  .incarnation = 1};

static const char *seed_dir;

/* what the linker calls instead */
uint64_t fuzz_checksum(uint64_t salt, uint64_t file_no, uint64_t offset,
					   uint8_t kind, const void *data,
					   size_t len) __asm__("__wrap_kv_checksum");

uint64_t
fuzz_checksum(uint64_t salt, uint64_t file_no, uint64_t offset, uint8_t kind,
			  const void *data, size_t len)
{
	(void) salt;
	(void) file_no;
	(void) offset;
	(void) kind;
	(void) data;
	(void) len;
	return 0;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	seed_dir = getenv("KV_FUZZ_SEEDS");
	if (seed_dir == NULL)
		return 0;
	fuzz_make_seeds();
	exit(0);
}

void
fuzz_seed(const char *name, const void *data, size_t size)
{
	char path[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", seed_dir, name);
	f = fopen(path, "wb");
	if (f == NULL || fwrite(data, 1, size, f) != size || fclose(f) != 0)
		abort();
}

void
fuzz_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

uint8_t
fuzz_u8(FuzzIn *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

uint64_t
fuzz_u64(FuzzIn *in)
{
	uint64_t v = 0;
	int i;

	for (i = 0; i < 8; i++)
		v |= (uint64_t) fuzz_u8(in) << (8 * i);
	return v;
}

char *
fuzz_bytes(FuzzIn *in, size_t *len)
{
	char *copy;

	if (*len > in->left)
		*len = in->left;
	copy = malloc(*len > 0 ? *len : 1);
	if (copy == NULL)
		abort();
	if (*len > 0)
		memcpy(copy, in->p, *len);
	in->p += *len;
	in->left -= *len;
	return copy;
}

SimEnv *
fuzz_begin(void)
{
	return sim_new(1);
}

void
fuzz_end(SimEnv *sim)
{
	if (sim->live_allocs != 0 || sim->open_files != 0)
	{
		fprintf(stderr, "%lld allocations, %lld files left behind\n",
				(long long) sim->live_allocs, (long long) sim->open_files);
		abort();
	}
	sim_free(sim);
}

void
fuzz_put(SimEnv *sim, KvNameKind name, KvFileKind kind, const uint8_t *data,
		 size_t size)
{
	KvFileHeader h = {.kind = (uint8_t) kind,
					  .version = 1,
					  .identity = fuzz_identity,
					  .file_no = FUZZ_FILE_NO,
					  .salt = FUZZ_SALT};
	char text[KV_NAME_MAX];
	char *bytes = malloc(KV_FILE_HEADER_BYTES + size);

	if (bytes == NULL)
		abort();
	kv_file_header_encode(&h, bytes);
	if (size > 0)
		memcpy(bytes + KV_FILE_HEADER_BYTES, data, size);
	kv_file_name(text, name, FUZZ_FILE_NO);
	sim_put_file(sim, text, bytes, KV_FILE_HEADER_BYTES + size);
	free(bytes);
}

void
fuzz_seed_file(SimEnv *sim, KvNameKind kind, const char *seed)
{
	char name[KV_NAME_MAX];
	size_t size;
	char *data;

	kv_file_name(name, kind, FUZZ_FILE_NO);
	data = sim_get_file(sim, name, &size);
	if (data == NULL)
		abort();
	fuzz_seed(seed, data + KV_FILE_HEADER_BYTES, size - KV_FILE_HEADER_BYTES);
	free(data);
}
