/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_reader.c - opens a sorted block in memory and moves through it.
 *
 * Makes no I/O and takes no lock; allocates only when a key is longer than
 * any before, and for the first move backward.  Searching is in block_seek.c.
 * Called by sst_reader.c and sst_iter.c in every process.
 * docs/format_sst.md specifies the bytes.
 */
#include "engine/sst/block_internal.h"

/*
 * Prefix compression can be undone forward only, so a move backward decodes
 * the interval once and then steps through what it has kept.
 */
struct KvCursorBack
{
	uint32_t n; /* 0: nothing */
	uint32_t i; /* at which the cursor stands, if its place is at[i] */
	KvEntry entry[KV_BACK_ENTRIES];
	uint8_t repeats[KV_BACK_ENTRIES];
	const char *at[KV_BACK_ENTRIES + 1];
	KvBuffer keys; /* those that had to be put together */
};

bool
kv_block_parse(KvBlock *block, const char *data, size_t len)
{
	const char *tail;
	uint64_t arrays;
	EntryHead h;

	if (len < KV_SORTED_TAIL || len > KV_BLOCK_MAX_RAW)
		return false;
	tail = data + len - KV_SORTED_TAIL;
	block->data = data;
	block->base_csn = kv_load_u64(tail);
	block->base_xid = kv_load_u64(tail + 8);
	block->base_expiry = kv_load_u64(tail + 16);
	block->common = kv_load_u32(tail + 24);
	block->n_restarts = kv_load_u32(tail + 28);
	arrays = (uint64_t) block->n_restarts * KV_SORTED_RESTART;
	if (arrays > len - KV_SORTED_TAIL)
		return false;
	block->limit = tail - arrays;
	block->offsets = block->limit + (size_t) block->n_restarts * 8;
	block->first_key = NULL;
	if (block->n_restarts == 0)
		return block->limit == data && block->common == 0;
	if (kv_load_u32(block->offsets) != 0 ||
		!decode_head(data, block->limit, &h) || h.shared != 0 ||
		block->common > h.unshared)
		return false;
	/* the first key's bytes come after its numbers: see decode() */
	return true;
}

void
kv_cursor_init(KvCursor *c, KvEnv *env, bool index, KvSstOverride override)
{
	memset(c, 0, sizeof(*c));
	c->env = env;
	c->entry = &c->own;
	c->csn_mask = index ? UINT64_MAX : 0;
	c->override = override;
}

void
kv_cursor_free(KvCursor *c)
{
	kv_buffer_free(c->env, &c->key);
	if (c->back != NULL)
	{
		kv_buffer_free(c->env, &c->back->keys);
		c->env->ops->free(c->env, c->back);
		c->back = NULL;
	}
	c->valid = false;
}

/* Puts the key together; out of line: only the first use of a long key. */
bool __attribute__((noinline)) kv_cursor_make_room(KvCursor *c, size_t len)
{
	bool in_buffer = c->entry->key.data == c->key.data;
	size_t keep = in_buffer ? c->entry->key.len : 0;

	c->key.len = keep;
	if (!kv_buffer_reserve(c->env, &c->key, len + COPY_SLACK - keep))
	{
		cursor_fail(c, KV_NO_MEMORY);
		return false;
	}
	if (in_buffer)
		c->entry->key.data = c->key.data;
	return true;
}

bool
kv_cursor_open(KvCursor *c, const char *data, size_t len)
{
	c->valid = false;
	c->status = KV_OK;
	c->entry->key = kv_slice(NULL, 0);
	if (c->back != NULL)
		c->back->n = 0;
	if (!kv_block_parse(&c->block, data, len))
		return false;
	if (c->block.n_restarts == 0)
		return true;
	at_restart(c, 0);
	if (!c->valid)
		return false;
	c->block.first_key = c->entry->key.data;
	c->valid = false;
	return true;
}

void
kv_cursor_first(KvCursor *c)
{
	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts > 0)
		at_restart(c, 0);
}

void
kv_cursor_last_before(KvCursor *c, uint32_t i, const char *end)
{
	int n = 0;

	at_restart(c, i);
	while (c->valid && c->next < end)
	{
		if (++n >= KV_MAX_INTERVAL)
		{
			cursor_fail(c, KV_CORRUPT);
			return;
		}
		decode(c, c->next);
	}
}

/* ---- backward ---- */

/* Stands at the kept entry i. */
static void
show_kept(KvCursor *c, uint32_t i)
{
	KvCursorBack *back = c->back;

	KV_ASSERT(i < back->n);
	back->i = i;
	*c->entry = back->entry[i];
	c->repeats = back->repeats[i];
	c->at = back->at[i];
	c->next = back->at[i + 1];
	c->status = KV_OK;
	c->valid = true;
}

/* Puts the cursor's key where the next decode() does not overwrite it. */
static bool
keep_key(KvCursor *c, size_t *offset)
{
	KvBuffer *keys = &c->back->keys;
	KvSlice key = c->entry->key;

	*offset = SIZE_MAX;
	if (key.data != c->key.data)
		return true;
	if (!kv_buffer_reserve(c->env, keys, key.len))
	{
		cursor_fail(c, KV_NO_MEMORY);
		return false;
	}
	memcpy(keys->data + keys->len, key.data, key.len);
	*offset = keys->len;
	keys->len += key.len;
	return true;
}

/*
 * Keeps the entries from restart point i to the last one that starts before
 * end, and stands at that.  false: there are too many, nothing is kept.
 */
static bool
keep_interval(KvCursor *c, uint32_t i, const char *end)
{
	KvCursorBack *back = c->back;
	size_t offsets[KV_BACK_ENTRIES];
	uint32_t n = 0, j;

	back->n = 0;
	back->keys.len = 0;
	for (at_restart(c, i); c->valid && c->at < end; decode(c, c->next))
	{
		if (n == KV_BACK_ENTRIES)
			return false;
		if (!keep_key(c, &offsets[n]))
			return true;
		back->entry[n] = *c->entry;
		back->repeats[n] = c->repeats;
		back->at[n++] = c->at;
		back->at[n] = c->next;
	}
	if (c->status != KV_OK)
		return true;
	if (n == 0)
	{
		cursor_fail(c, KV_CORRUPT);
		return true;
	}
	/* only now do the keys stay where they are */
	for (j = 0; j < n; j++)
		if (offsets[j] != SIZE_MAX)
			back->entry[j].key.data = back->keys.data + offsets[j];
	back->n = n;
	show_kept(c, n - 1);
	return true;
}

/* To the last entry that starts before end, from restart point i on. */
static void
step_back(KvCursor *c, uint32_t i, const char *end)
{
	if (c->back == NULL)
	{
		c->back = c->env->ops->alloc(c->env, sizeof(*c->back));
		if (c->back == NULL)
		{
			cursor_fail(c, KV_NO_MEMORY);
			return;
		}
		memset(c->back, 0, sizeof(*c->back));
	}
	if (!keep_interval(c, i, end))
		kv_cursor_last_before(c, i, end);
}

void
kv_cursor_last(KvCursor *c)
{
	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts > 0)
		step_back(c, c->block.n_restarts - 1, c->block.limit);
}

void
kv_cursor_next(KvCursor *c)
{
	KvSlice old = c->entry->key;

	KV_ASSERT(c->valid);
	decode(c, c->next);
	/* a restart point shares nothing: its key lies elsewhere */
	if (c->valid && c->repeats == KV_REPEATS_UNKNOWN)
		c->repeats = kv_slice_equal(old, c->entry->key) ? KV_REPEATS_YES
														: KV_REPEATS_NO;
}

void
kv_cursor_prev(KvCursor *c)
{
	KvCursorBack *back = c->back;
	uint32_t at = (uint32_t) (c->at - c->block.data);
	uint32_t lo = 0;
	uint32_t hi = c->block.n_restarts;

	KV_ASSERT(c->valid);
	if (back != NULL && back->n > 0 && back->i > 0 && back->at[back->i] == c->at)
	{
		show_kept(c, back->i - 1);
		return;
	}
	/* the last restart point before the entry: lo - 1 */
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (kv_load_u32(c->block.offsets + (size_t) mid * 4) < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		c->valid = false;
	else
		step_back(c, lo - 1, c->block.data + at);
}
