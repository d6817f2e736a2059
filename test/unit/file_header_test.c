/* SPDX-License-Identifier: PostgreSQL */
/*
 * file_header_test.c - the header of every file, checksums, names, statuses.
 */
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/base/file_header.h"

static const KvIdentity identity = {UINT64_C(0x1122334455667788), 3, 9};

static KvFileHeader
sample(void)
{
	KvFileHeader h = {.kind = KV_FILE_SST, .version = 1, .file_no = 42};

	h.identity = identity;
	h.salt = UINT64_C(0xa1a2a3a4a5a6a7a8);
	return h;
}

static KvStatus
decode(const char *buf, size_t len, KvFileHeader *h)
{
	KvError err;

	return kv_file_header_decode(buf, len, KV_FILE_SST, 1, &identity, 42, h,
								 &err);
}

/* The header with another value, its checksum right. */
static KvStatus
decode_changed(void (*change)(KvFileHeader *))
{
	KvFileHeader h = sample();
	char buf[KV_FILE_HEADER_BYTES];

	change(&h);
	kv_file_header_encode(&h, buf);
	return decode(buf, sizeof(buf), &h);
}

static void
newer(KvFileHeader *h)
{
	h->version = 2;
}

static void
versionless(KvFileHeader *h)
{
	h->version = 0;
}

static void
featured(KvFileHeader *h)
{
	h->features = 0x80000000;
}

static void
foreign(KvFileHeader *h)
{
	h->identity.system_id++;
}

static void
other_kind(KvFileHeader *h)
{
	h->kind = KV_FILE_WAL;
}

static void
other_number(KvFileHeader *h)
{
	h->file_no++;
}

static void
other_timeline(KvFileHeader *h)
{
	h->identity.timeline++;
	h->identity.incarnation++;
}

KV_TEST(header_round_trip)
{
	KvFileHeader want = sample(), got;
	char buf[KV_FILE_HEADER_BYTES];

	kv_file_header_encode(&want, buf);
	KV_CHECK_STATUS(decode(buf, sizeof(buf), &got), KV_OK);
	KV_CHECK_EQ(got.kind, want.kind);
	KV_CHECK_EQ(got.version, 1);
	KV_CHECK_EQ(got.features, 0);
	KV_CHECK_EQ(got.identity.system_id, identity.system_id);
	KV_CHECK_EQ(got.identity.timeline, identity.timeline);
	KV_CHECK_EQ(got.identity.incarnation, identity.incarnation);
	KV_CHECK_EQ(got.file_no, 42);
	KV_CHECK_EQ(got.salt, want.salt);
}

/* Frozen: files of every version are recognised by these bytes. */
KV_TEST(header_bytes_are_as_documented)
{
	KvFileHeader h = sample();
	char buf[KV_FILE_HEADER_BYTES];

	kv_file_header_encode(&h, buf);
	KV_CHECK(memcmp(buf,
					"kvlsm\r\n\x1a"
					"\x02\x01\0\0\0\0\0\0"
					"\x88\x77\x66\x55\x44\x33\x22\x11"
					"\x03\0\0\0\x09\0\0\0"
					"\x2a\0\0\0\0\0\0\0"
					"\xa8\xa7\xa6\xa5\xa4\xa3\xa2\xa1",
					48) == 0);
	KV_CHECK_EQ(kv_load_u64(buf + 48), kv_checksum(0, 42, 0, 2, buf, 48));
}

KV_TEST(header_every_bit_counts)
{
	KvFileHeader h = sample();
	char buf[KV_FILE_HEADER_BYTES];
	size_t i;
	int bit;

	kv_file_header_encode(&h, buf);
	for (i = 0; i < sizeof(buf); i++)
	{
		for (bit = 0; bit < 8; bit++)
		{
			buf[i] ^= (char) (1 << bit);
			KV_CHECK_STATUS(decode(buf, sizeof(buf), &h), KV_CORRUPT);
			buf[i] ^= (char) (1 << bit);
		}
		KV_CHECK_STATUS(decode(buf, i, &h), KV_CORRUPT);
	}
}

KV_TEST(header_refusals)
{
	KV_CHECK_STATUS(decode_changed(newer), KV_UNSUPPORTED);
	KV_CHECK_STATUS(decode_changed(versionless), KV_UNSUPPORTED);
	KV_CHECK_STATUS(decode_changed(featured), KV_UNSUPPORTED);
	KV_CHECK_STATUS(decode_changed(foreign), KV_FOREIGN);
	KV_CHECK_STATUS(decode_changed(other_kind), KV_CORRUPT);
	KV_CHECK_STATUS(decode_changed(other_number), KV_CORRUPT);
	KV_CHECK_STATUS(decode_changed(other_timeline), KV_OK);
}

/* The place, the file and the kind of a block are part of its checksum. */
KV_TEST(checksum_depends_on_everything)
{
	char data[300] = {0};
	size_t lengths[] = {0, 1, 16, 17, 128, 240, 241, 300};
	size_t i;

	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
	{
		size_t len = lengths[i];
		uint64_t sum = kv_checksum(1, 2, 3, 4, data, len);

		KV_CHECK(sum == kv_checksum(1, 2, 3, 4, data, len));
		KV_CHECK(sum != kv_checksum(2, 2, 3, 4, data, len));
		KV_CHECK(sum != kv_checksum(1, 3, 3, 4, data, len));
		KV_CHECK(sum != kv_checksum(1, 2, 4, 4, data, len));
		KV_CHECK(sum != kv_checksum(1, 2, 3, 5, data, len));
		if (len > 0)
		{
			KV_CHECK(sum != kv_checksum(1, 2, 3, 4, data, len - 1));
			data[len - 1] = 1;
			KV_CHECK(sum != kv_checksum(1, 2, 3, 4, data, len));
			data[len - 1] = 0;
		}
	}
	/* frozen: such sums stand in files */
	KV_CHECK_EQ(kv_checksum(1, 2, 3, 4, "abc", 3),
				UINT64_C(0xe1d625e51f4d9919));
}

KV_TEST(names_round_trip)
{
	static const KvNameKind kinds[] = {KV_NAME_WAL, KV_NAME_SST,
									   KV_NAME_MANIFEST, KV_NAME_TEMP};
	static const char *const ours[] = {"1.wal", "1.sst", "MANIFEST-1",
									   "pgsql_tmp.1"};
	char name[KV_NAME_MAX];
	uint64_t no;
	size_t i;

	for (i = 0; i < 4; i++)
	{
		kv_file_name(name, kinds[i], 1);
		KV_CHECK(strcmp(name, ours[i]) == 0);
		kv_file_name(name, kinds[i], UINT64_MAX);
		KV_CHECK_EQ(kv_file_name_parse(name, &no), kinds[i]);
		KV_CHECK_EQ(no, UINT64_MAX);
	}
	kv_file_name(name, KV_NAME_CURRENT, 7);
	KV_CHECK_EQ(kv_file_name_parse(name, &no), KV_NAME_CURRENT);
	kv_file_name(name, KV_NAME_LOCK, 7);
	KV_CHECK_EQ(kv_file_name_parse(name, &no), KV_NAME_LOCK);
}

KV_TEST(names_of_others_are_left_alone)
{
	static const char *const names[] = {"",
										".wal",
										"0.wal",
										"01.wal",
										"+1.wal",
										" 1.wal",
										"-1.wal",
										"1.wal ",
										"1.walx",
										"1.WAL",
										"1",
										"1.",
										"1x.sst",
										"18446744073709551616.sst",
										"99999999999999999999999.sst",
										"MANIFEST-",
										"MANIFEST-0",
										"MANIFEST-1.old",
										"manifest-1",
										"pgsql_tmp",
										"pgsql_tmp.",
										"pgsql_tmp.x",
										"CURRENT.tmp",
										"LOCK2"};
	uint64_t no;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		KV_CHECK_EQ(kv_file_name_parse(names[i], &no), KV_NAME_OTHER);
}

KV_TEST(errors_hold_the_first_detail)
{
	KvError err;

	memset(&err, 0xff, sizeof(err));
	KV_CHECK_STATUS(kv_fail(&err, KV_DISK_FULL, "%s %d", "no room", 7),
					KV_DISK_FULL);
	KV_CHECK_STATUS(err.status, KV_DISK_FULL);
	KV_CHECK(strcmp(err.message, "no room 7") == 0);
	KV_CHECK_EQ(err.os_errno, 0);
	KV_CHECK_EQ(err.file_no, 0);
	KV_CHECK_STATUS(kv_corrupt(&err, 5, 6, "%0300d", 0), KV_CORRUPT);
	KV_CHECK_EQ(err.file_no, 5);
	KV_CHECK_EQ(err.offset, 6);
	KV_CHECK_EQ(strlen(err.message), sizeof(err.message) - 1);
	KV_CHECK_STATUS(kv_corrupt(NULL, 5, 6, "x"), KV_CORRUPT);
	KV_CHECK_STATUS(kv_fail(NULL, KV_FULL, "x"), KV_FULL);
	KV_CHECK(strcmp(kv_status_name(KV_CORRUPT), "corrupt") == 0);
}
