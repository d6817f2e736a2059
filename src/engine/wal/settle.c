/* SPDX-License-Identifier: PostgreSQL */
/*
 * settle.c - the payload that tells how transactions ended.
 *
 * u64 csn_through, u32 n, n times u64 xid.  Pure functions on memory; called
 * by the engine worker when it writes the record and when it recovers.
 */
#include "engine/base/coding.h"
#include "engine/wal/wal.h"

#define SETTLE_FIXED 12

size_t
kv_settle_size(uint32_t n_aborted)
{
	return SETTLE_FIXED + (size_t) n_aborted * 8;
}

void
kv_settle_encode(char *buf, uint64_t csn_through, const uint64_t *aborted,
				 uint32_t n_aborted)
{
	uint32_t i;

	buf = kv_put_u64(buf, csn_through);
	buf = kv_put_u32(buf, n_aborted);
	for (i = 0; i < n_aborted; i++)
		buf = kv_put_u64(buf, aborted[i]);
}

KvStatus
kv_settle_decode(KvSlice payload, KvSettle *settle, KvError *err)
{
	size_t len = payload.len;

	if (!kv_get_u64(&payload, &settle->csn_through) ||
		!kv_get_u32(&payload, &settle->n_aborted) ||
		len != kv_settle_size(settle->n_aborted))
		return kv_corrupt(err, 0, 0, "malformed settle record of %zu bytes",
						  len);
	settle->aborted = payload.data;
	return KV_OK;
}

uint64_t
kv_settle_aborted(const KvSettle *settle, uint32_t i)
{
	return kv_load_u64(settle->aborted + (size_t) i * 8);
}
