/* SPDX-License-Identifier: PostgreSQL */
/*
 * file_header.c - the 56 bytes that start every file, checksums and names.
 *
 * Pure functions on memory: no I/O.  Called wherever a file is written or
 * opened, in every process.  docs/format.md is the specification.
 */
#include "engine/base/file_header.h"

#include <inttypes.h>
#include <stdio.h>

#include <xxhash.h>

#include "engine/base/coding.h"

/*
 * As in PNG: CR LF tells of a transfer in text mode, ^Z stops a terminal.
 * Frozen: it names the family of formats, not a version.
 */
static const char magic[8] = {'k', 'v', 'l', 's', 'm', '\r', '\n', 0x1a};

#define HEADER_CHECKED	(KV_FILE_HEADER_BYTES - 8)
#define CHECKSUM_PREFIX 33

uint64_t
kv_checksum(uint64_t salt, uint64_t file_no, uint64_t offset, uint8_t kind,
			const void *data, size_t len)
{
	char prefix[CHECKSUM_PREFIX];
	char *p = prefix;

	p = kv_put_u64(p, salt);
	p = kv_put_u64(p, file_no);
	p = kv_put_u64(p, offset);
	p = kv_put_u64(p, len);
	*p = (char) kind;
	return XXH3_64bits_withSeed(data, len,
								XXH3_64bits(prefix, CHECKSUM_PREFIX));
}

uint64_t
kv_key_hash(KvSlice key)
{
	return XXH3_64bits(key.data, key.len);
}

void
kv_file_header_encode(const KvFileHeader *h, char *buf)
{
	char *p = buf;

	memcpy(p, magic, sizeof(magic));
	p += sizeof(magic);
	*p++ = (char) h->kind;
	*p++ = (char) h->version;
	p = kv_put_u16(p, 0);
	p = kv_put_u32(p, h->features);
	p = kv_put_u64(p, h->identity.system_id);
	p = kv_put_u32(p, h->identity.timeline);
	p = kv_put_u32(p, h->identity.incarnation);
	p = kv_put_u64(p, h->file_no);
	p = kv_put_u64(p, h->salt);
	/* the header's own checksum cannot use the salt that it protects */
	(void) kv_put_u64(p, kv_checksum(0, h->file_no, 0, h->kind, buf,
									 HEADER_CHECKED));
}

static uint32_t
known_features(KvFileKind kind)
{
	return kind == KV_FILE_SST ? KV_FEATURE_RANGE_DELETES : 0;
}

KvStatus
kv_file_header_decode(const char *buf, size_t len, KvFileKind kind,
					  uint8_t max_version, const KvIdentity *identity,
					  uint64_t file_no, KvFileHeader *h, KvError *err)
{
	const char *p = buf + sizeof(magic);

	if (len < KV_FILE_HEADER_BYTES)
		return kv_corrupt(err, file_no, 0,
						  "file is too short for its header: %zu bytes", len);
	if (memcmp(buf, magic, sizeof(magic)) != 0)
		return kv_corrupt(err, file_no, 0, "not a kvlsm file");
	h->kind = (uint8_t) p[0];
	h->version = (uint8_t) p[1];
	h->features = kv_load_u32(p + 4);
	h->identity.system_id = kv_load_u64(p + 8);
	h->identity.timeline = kv_load_u32(p + 16);
	h->identity.incarnation = kv_load_u32(p + 20);
	h->file_no = kv_load_u64(p + 24);
	h->salt = kv_load_u64(p + 32);
	if (h->kind != kind)
		return kv_corrupt(err, file_no, 8, "file is of kind %u, expected %u",
						  h->kind, (unsigned) kind);
	if (kv_load_u64(buf + HEADER_CHECKED) !=
		kv_checksum(0, h->file_no, 0, h->kind, buf, HEADER_CHECKED))
		return kv_corrupt(err, file_no, 0, "wrong checksum of file header");
	if (h->file_no != file_no)
		return kv_corrupt(err, file_no, 32,
						  "file says that its number is %" PRIu64, h->file_no);
	if (h->version == 0 || h->version > max_version)
		return kv_fail(err, KV_UNSUPPORTED,
					   "file %" PRIu64 " has format version %u, known are "
					   "1 to %u",
					   file_no, h->version, max_version);
	if ((h->features & ~known_features(kind)) != 0)
		return kv_fail(err, KV_UNSUPPORTED,
					   "file %" PRIu64 " uses unknown features 0x%" PRIx32,
					   file_no, h->features & ~known_features(kind));
	if (identity != NULL && h->identity.system_id != identity->system_id)
		return kv_fail(err, KV_FOREIGN,
					   "file %" PRIu64 " belongs to the cluster with system "
					   "identifier %" PRIu64 ", this one is %" PRIu64,
					   file_no, h->identity.system_id, identity->system_id);
	return KV_OK;
}

void
kv_file_name(char *buf, KvNameKind kind, uint64_t file_no)
{
	switch (kind)
	{
	case KV_NAME_WAL:
		(void) snprintf(buf, KV_NAME_MAX, "%" PRIu64 ".wal", file_no);
		return;
	case KV_NAME_SST:
		(void) snprintf(buf, KV_NAME_MAX, "%" PRIu64 ".sst", file_no);
		return;
	case KV_NAME_MANIFEST:
		(void) snprintf(buf, KV_NAME_MAX, "MANIFEST-%" PRIu64, file_no);
		return;
	case KV_NAME_TEMP:
		(void) snprintf(buf, KV_NAME_MAX, "pgsql_tmp.%" PRIu64, file_no);
		return;
	case KV_NAME_CURRENT:
		(void) snprintf(buf, KV_NAME_MAX, "CURRENT");
		return;
	case KV_NAME_LOCK:
		(void) snprintf(buf, KV_NAME_MAX, "LOCK");
		return;
	case KV_NAME_OTHER:
		break;
	}
	buf[0] = '\0';
}

/* Digits as kv_file_name prints them: no sign, no zero in front, <= 2^64-1. */
static const char *
parse_number(const char *s, uint64_t *number)
{
	uint64_t v = 0;

	if (*s < '1' || *s > '9')
		return NULL;
	for (; *s >= '0' && *s <= '9'; s++)
	{
		uint64_t digit = (uint64_t) (*s - '0');

		if (v > (UINT64_MAX - digit) / 10)
			return NULL;
		v = v * 10 + digit;
	}
	*number = v;
	return s;
}

KvNameKind
kv_file_name_parse(const char *name, uint64_t *file_no)
{
	const char *end;

	*file_no = 0;
	if (strcmp(name, "CURRENT") == 0)
		return KV_NAME_CURRENT;
	if (strcmp(name, "LOCK") == 0)
		return KV_NAME_LOCK;
	if (strncmp(name, "MANIFEST-", 9) == 0)
	{
		end = parse_number(name + 9, file_no);
		return end != NULL && *end == '\0' ? KV_NAME_MANIFEST : KV_NAME_OTHER;
	}
	if (strncmp(name, "pgsql_tmp.", 10) == 0)
	{
		end = parse_number(name + 10, file_no);
		return end != NULL && *end == '\0' ? KV_NAME_TEMP : KV_NAME_OTHER;
	}
	end = parse_number(name, file_no);
	if (end == NULL)
		return KV_NAME_OTHER;
	if (strcmp(end, ".wal") == 0)
		return KV_NAME_WAL;
	if (strcmp(end, ".sst") == 0)
		return KV_NAME_SST;
	return KV_NAME_OTHER;
}
