/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst.h - building and reading SSTables; what lsm/ uses of sst/.
 *
 * The bytes are specified in docs/format.md and sst_format.h.
 */
#ifndef KV_SST_H
#define KV_SST_H

#include "engine/base/entry.h"
#include "engine/base/identity.h"
#include "engine/kv_env.h"
#include "engine/sst/block_cache.h"

typedef struct KvSstBuilder KvSstBuilder;
typedef struct KvSst KvSst; /* one open table, private to a process */

typedef struct KvSstOptions
{
	uint32_t block_bytes; /* target of a data block before compression */
	uint32_t frame_bytes; /* a block is cut before the entry that exceeds it */
	uint32_t filter_bits; /* per key; 0: no filter */
	bool lz4;			  /* when it saves at least 1/8 of a block */
	/*
	 * NULL, or blocks are offered to it as they are written: who reads the
	 * table first finds in memory what was there before it was rewritten.
	 */
	KvCache *cache;
	bool range_deletes; /* kv_sst_builder_add_range_delete may be called */
} KvSstOptions;

/* What the builder knows at the end; goes into the MANIFEST. */
typedef struct KvSstSummary
{
	uint64_t size;	 /* bytes of the file */
	uint64_t digest; /* XXH3-64 of all of it */
	uint64_t entries;
	uint64_t tombstones;
	uint64_t min_csn, max_csn;
	uint64_t min_xid, max_xid;		 /* of the tagged versions; 0: none */
	uint64_t key_bytes, value_bytes; /* before compression */
	int64_t oldest_expiry_us;		 /* 0: nothing expires */
	/* keys; the builder's, until it is freed */
	KvSlice smallest, largest;
	uint64_t range_deletes;
	KvSlice range_lower, range_upper; /* their extents, if there are any */
} KvSstSummary;

/*
 * Starts a table in file, which is empty, open for writing and stays the
 * caller's.  salt goes into every checksum.  Close with _free in any case.
 */
KvStatus kv_sst_builder_open(KvEnv *env, const KvSstOptions *options,
							 const KvIdentity *identity, uint64_t file_no,
							 KvFile *file, KvSstBuilder **builder,
							 KvError *err) KV_MUST_CHECK;
/* Entries come in order (kv_entry_compare); else KV_INVALID.  xid 0 = untagged. */
KvStatus kv_sst_builder_add(KvSstBuilder *b, const KvEntry *entry,
							KvError *err) KV_MUST_CHECK;
/*
 * A range delete: at any time, but in order among themselves (lower bound
 * ascending, csn descending, no two with both equal); else KV_INVALID.
 */
KvStatus kv_sst_builder_add_range_delete(KvSstBuilder *b, const KvEntry *entry,
										 KvError *err) KV_MUST_CHECK;
/* Bytes written so far plus what is buffered: when to cut. */
uint64_t kv_sst_builder_bytes(const KvSstBuilder *b);
/* Writes filter, index, properties, footer.  Does not sync. */
KvStatus kv_sst_builder_finish(KvSstBuilder *b, KvSstSummary *summary,
							   KvError *err) KV_MUST_CHECK;
void kv_sst_builder_free(KvSstBuilder *b);

/*
 * What the MANIFEST says of a file and the file itself does not: an ingested
 * run is built before its csn is known, so its entries carry csn 0 and xid 0
 * and get these when they are read.  Both 0: as in the file.
 */
typedef struct KvSstOverride
{
	uint64_t csn;
	uint64_t xid;
} KvSstOverride;

/*
 * Opens file (ownership passes to the table on KV_OK).  size is what the
 * MANIFEST says; a different one is KV_CORRUPT.  Reads header, footer,
 * properties and the top index; everything else goes through cache (may be
 * NULL: blocks are then read into private memory).
 * KV_UNSUPPORTED: a newer format.  KV_FOREIGN: another cluster's file.
 */
KvStatus kv_sst_open(KvEnv *env, KvCache *cache, const KvIdentity *identity,
					 uint64_t file_no, KvFile *file, uint64_t size,
					 KvSstOverride override, KvSst **sst,
					 KvError *err) KV_MUST_CHECK;
void kv_sst_close(KvSst *sst);

/* Counters of one process, for EXPLAIN and the statistics. */
typedef struct KvSstStats
{
	uint64_t filter_checks, filter_negatives;
	uint64_t blocks_read, blocks_cached;
	uint64_t iterators; /* opened */
} KvSstStats;
/* Where the table's iterators count; borrowed as long as the table is open. */
void kv_sst_count_in(KvSst *sst, KvSstStats *stats);

/*
 * Visits the versions of key, newest first, until fn returns true or none is
 * left.  The filter is asked first; key_hash is kv_key_hash(key) (base).
 * Entries have state KV_XACT_COMMITTED if xid is 0, else KV_XACT_IN_DOUBT
 * (the caller knows the file's doubtful xids).
 */
KvStatus kv_sst_get(KvSst *sst, KvSlice key, uint64_t key_hash, KvVersionFn fn,
					void *arg, KvSstStats *stats, KvError *err) KV_MUST_CHECK;

/*
 * The same in steps, each of which begins to bring the memory nearer that the
 * next one will look at.  With several keys or tables under way, one step of
 * all before the next step of any, their cache misses overlap instead of
 * following one another.  No step but the first is taken once absent is set.
 */
typedef struct KvSstProbe
{
	bool absent; /* the table does not have the key */
	uint64_t hash;
	uint64_t filter[2]; /* handles {offset, size}: filter partition, or 0 */
	uint64_t index[2];	/* index partition */
	uint64_t block[2];	/* data block */
	/* the one of these that is looked at next, on its way from memory */
	KvCacheSeek seek;
	int64_t seek_from;
	uint32_t seek_len;
} KvSstProbe;

/* Between two steps, twice over all probes (with one probe: not at all). */
void kv_sst_probe_frame(KvSst *sst, KvSstProbe *probe);
void kv_sst_probe_data(KvSst *sst, KvSstProbe *probe);

/* Finds the filter partition. */
KvStatus kv_sst_probe_start(KvSst *sst, KvSlice key, uint64_t key_hash,
							KvSstProbe *probe, KvError *err) KV_MUST_CHECK;
/* Asks the filter, finds the index partition. */
KvStatus kv_sst_probe_filter(KvSst *sst, KvSlice key, KvSstProbe *probe,
							 KvSstStats *stats, KvError *err) KV_MUST_CHECK;
/* Finds the data block. */
KvStatus kv_sst_probe_index(KvSst *sst, KvSlice key, KvSstProbe *probe,
							KvSstStats *stats, KvError *err) KV_MUST_CHECK;
/* Finds the place in it: worth its while with many keys; may be left out. */
void kv_sst_probe_block(KvSst *sst, KvSlice key, const KvSstProbe *probe);
/* Visits the versions. */
KvStatus kv_sst_probe_visit(KvSst *sst, KvSlice key, const KvSstProbe *probe,
							KvVersionFn fn, void *arg, KvSstStats *stats,
							KvError *err) KV_MUST_CHECK;

/*
 * readahead: bytes to read at once when blocks are read in order (0: one
 * block at a time); blocks read that way do not displace the cache.  The
 * iterator holds no cache pin between calls (it copies the block).
 */
KvStatus kv_sst_iter(KvSst *sst, uint32_t readahead, KvIter **it,
					 KvError *err) KV_MUST_CHECK;

/*
 * The table's range deletes in order, *n of them; they live as long as the
 * table is open.  state as in kv_sst_get.  NULL, 0: none.
 */
const KvEntry *kv_sst_range_deletes(const KvSst *sst, uint32_t *n);
/* Visits those that cover key, in no order, until fn returns true. */
void kv_sst_covering(const KvSst *sst, KvSlice key, KvVersionFn fn, void *arg);

/* Roughly how many of the file's bytes lie before key (from the index). */
uint64_t kv_sst_offset_of(KvSst *sst, KvSlice key);
/* Where the last block of data ends. */
uint64_t kv_sst_data_end(const KvSst *sst);

/* Reads everything: checksums, order, filter contains every key, counts. */
KvStatus kv_sst_verify(KvSst *sst, KvError *err) KV_MUST_CHECK;

#endif /* KV_SST_H */
