/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_sim_disk.c - one folder on a disk that may lose what was not synced.
 *
 * Test code: runs out of memory by abort().
 */
#include "env_sim_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define NAME_BYTES 64

typedef struct Bytes
{
	char *data; /* bytes between size and cap are zero */
	uint64_t size, cap;
} Bytes;

typedef struct Sector
{
	uint64_t no;
	char data[SIM_SECTOR];
} Sector;

typedef struct SimInode
{
	bool used;
	int opens;
	Bytes now;		 /* what reads see */
	Bytes synced;	 /* what is certainly on disk */
	Sector *pending; /* writes since, in their order */
	size_t n_pending, cap_pending;
	uint64_t *sizes; /* every size since, in their order */
	size_t n_sizes, cap_sizes;
} SimInode;

typedef struct Entry
{
	char name[NAME_BYTES];
	int ino;
} Entry;

typedef struct Folder
{
	Entry *entries;
	size_t n, cap;
} Folder;

typedef struct DirOp
{
	char add[NAME_BYTES];	 /* empty: adds none */
	char remove[NAME_BYTES]; /* empty: removes none */
	int ino;				 /* of add */
} DirOp;

struct SimDisk
{
	SimInode *inodes;
	size_t n_inodes, cap_inodes;
	Folder now, synced;
	DirOp *ops; /* since the last sync_dir, in their order */
	size_t n_ops, cap_ops;
};

uint64_t
sim_random(uint64_t *rng)
{
	uint64_t z = (*rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void
give_up(const char *what)
{
	fprintf(stderr, "env_sim: %s\n", what);
	abort();
}

/* Room for one more element. */
static void *
grow(void *array, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return array;
	*cap = *cap > 0 ? *cap * 2 : 8;
	array = realloc(array, *cap * size);
	if (array == NULL)
		give_up("out of memory");
	return array;
}

static void *
copy_of(const void *array, size_t n, size_t size)
{
	void *p = malloc(n * size > 0 ? n * size : 1);

	if (p == NULL)
		give_up("out of memory");
	if (n > 0)
		memcpy(p, array, n * size);
	return p;
}

/* ---- bytes ---- */

static void
bytes_resize(Bytes *b, uint64_t size)
{
	if (size > b->cap)
	{
		uint64_t cap = b->cap > 0 ? b->cap : 1024;
		char *data;

		while (cap < size)
			cap *= 2;
		data = realloc(b->data, cap);
		if (data == NULL)
			give_up("out of memory");
		memset(data + b->cap, 0, cap - b->cap);
		b->data = data;
		b->cap = cap;
	}
	if (size < b->size)
		memset(b->data + size, 0, b->size - size);
	b->size = size;
}

static void
bytes_copy(Bytes *to, const Bytes *from)
{
	bytes_resize(to, from->size);
	if (from->size > 0)
		memcpy(to->data, from->data, from->size);
}

/* The part of a sector that lies within the size. */
static void
put_sector(Bytes *b, const Sector *s)
{
	uint64_t off = s->no * SIM_SECTOR;

	if (off < b->size)
		memcpy(b->data + off, s->data,
			   b->size - off < SIM_SECTOR ? b->size - off : SIM_SECTOR);
}

/* ---- folder ---- */

static Entry *
folder_find(const Folder *f, const char *name)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (strcmp(f->entries[i].name, name) == 0)
			return &f->entries[i];
	return NULL;
}

static void
folder_apply(Folder *f, const DirOp *op)
{
	Entry *e;

	if (op->remove[0] != '\0' && (e = folder_find(f, op->remove)) != NULL)
		*e = f->entries[--f->n];
	if (op->add[0] == '\0')
		return;
	e = folder_find(f, op->add);
	if (e == NULL)
	{
		f->entries = grow(f->entries, f->n, &f->cap, sizeof(Entry));
		e = &f->entries[f->n++];
		memcpy(e->name, op->add, NAME_BYTES);
	}
	e->ino = op->ino;
}

static void
folder_copy(Folder *to, const Folder *from)
{
	free(to->entries);
	to->entries = copy_of(from->entries, from->n, sizeof(Entry));
	to->n = to->cap = from->n;
}

static void
free_inode(SimInode *inode)
{
	free(inode->now.data);
	free(inode->synced.data);
	free(inode->pending);
	free(inode->sizes);
	memset(inode, 0, sizeof(*inode));
}

static bool
folder_refers(const Folder *f, int ino)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (f->entries[i].ino == ino)
			return true;
	return false;
}

/* Forgets inodes that nothing can bring back. */
static void
collect(SimDisk *disk)
{
	size_t i, j;

	for (i = 0; i < disk->n_inodes; i++)
	{
		SimInode *inode = &disk->inodes[i];

		if (!inode->used || inode->opens > 0 ||
			folder_refers(&disk->now, (int) i) ||
			folder_refers(&disk->synced, (int) i))
			continue;
		for (j = 0; j < disk->n_ops; j++)
			if (disk->ops[j].add[0] != '\0' && disk->ops[j].ino == (int) i)
				break;
		if (j == disk->n_ops)
			free_inode(inode);
	}
}

static void
add_op(SimDisk *disk, const char *add, const char *remove, int ino)
{
	DirOp *op;

	if (strlen(add) >= NAME_BYTES || strlen(remove) >= NAME_BYTES)
		give_up("name is too long");
	disk->ops = grow(disk->ops, disk->n_ops, &disk->cap_ops, sizeof(DirOp));
	op = &disk->ops[disk->n_ops++];
	memset(op, 0, sizeof(*op));
	memcpy(op->add, add, strlen(add));
	memcpy(op->remove, remove, strlen(remove));
	op->ino = ino;
	folder_apply(&disk->now, op);
}

int
sim_disk_find(const SimDisk *disk, const char *name)
{
	const Entry *e = folder_find(&disk->now, name);

	return e != NULL ? e->ino : -1;
}

int
sim_disk_create(SimDisk *disk, const char *name)
{
	size_t i;

	for (i = 0; i < disk->n_inodes && disk->inodes[i].used; i++)
		;
	if (i == disk->n_inodes)
	{
		disk->inodes = grow(disk->inodes, disk->n_inodes, &disk->cap_inodes,
							sizeof(SimInode));
		disk->n_inodes++;
		memset(&disk->inodes[i], 0, sizeof(SimInode));
	}
	disk->inodes[i].used = true;
	add_op(disk, name, "", (int) i);
	return (int) i;
}

void
sim_disk_link(SimDisk *disk, int ino, const char *name)
{
	add_op(disk, name, "", ino);
}

void
sim_disk_rename(SimDisk *disk, const char *from, const char *to)
{
	add_op(disk, to, from, sim_disk_find(disk, from));
}

void
sim_disk_unlink(SimDisk *disk, const char *name)
{
	add_op(disk, "", name, -1);
}

void
sim_disk_sync_dir(SimDisk *disk)
{
	folder_copy(&disk->synced, &disk->now);
	disk->n_ops = 0;
	collect(disk);
}

const char *
sim_disk_name(const SimDisk *disk, size_t n)
{
	return n < disk->now.n ? disk->now.entries[n].name : NULL;
}

/* ---- files ---- */

void
sim_disk_open(SimDisk *disk, int ino)
{
	disk->inodes[ino].opens++;
}

void
sim_disk_close(SimDisk *disk, int ino)
{
	disk->inodes[ino].opens--;
}

uint64_t
sim_disk_size(const SimDisk *disk, int ino)
{
	return disk->inodes[ino].now.size;
}

size_t
sim_disk_read(const SimDisk *disk, int ino, void *buf, size_t len, uint64_t off)
{
	const Bytes *b = &disk->inodes[ino].now;

	if (off >= b->size)
		return 0;
	if (len > b->size - off)
		len = b->size - off;
	memcpy(buf, b->data + off, len);
	return len;
}

static void
note_size(SimInode *inode)
{
	inode->sizes = grow(inode->sizes, inode->n_sizes, &inode->cap_sizes,
						sizeof(uint64_t));
	inode->sizes[inode->n_sizes++] = inode->now.size;
}

void
sim_disk_extend(SimDisk *disk, int ino, uint64_t size)
{
	SimInode *inode = &disk->inodes[ino];

	if (size <= inode->now.size)
		return;
	bytes_resize(&inode->now, size);
	note_size(inode);
}

void
sim_disk_write(SimDisk *disk, int ino, const void *buf, size_t len,
			   uint64_t off)
{
	SimInode *inode = &disk->inodes[ino];
	uint64_t no;

	if (len == 0)
		return;
	sim_disk_extend(disk, ino, off + len);
	memcpy(inode->now.data + off, buf, len);
	for (no = off / SIM_SECTOR; no * SIM_SECTOR < off + len; no++)
	{
		uint64_t at = no * SIM_SECTOR;
		uint64_t n = inode->now.size - at;
		Sector *s;

		inode->pending = grow(inode->pending, inode->n_pending,
							  &inode->cap_pending, sizeof(Sector));
		s = &inode->pending[inode->n_pending++];
		memset(s, 0, sizeof(*s));
		s->no = no;
		memcpy(s->data, inode->now.data + at, n < SIM_SECTOR ? n : SIM_SECTOR);
	}
}

static void
forget_pending(SimInode *inode)
{
	inode->n_pending = 0;
	inode->n_sizes = 0;
}

void
sim_disk_sync(SimDisk *disk, int ino)
{
	SimInode *inode = &disk->inodes[ino];
	size_t i;

	/* not a copy of now: a failed sync may have left it ahead for ever */
	if (inode->n_sizes > 0)
		bytes_resize(&inode->synced, inode->sizes[inode->n_sizes - 1]);
	for (i = 0; i < inode->n_pending; i++)
		put_sector(&inode->synced, &inode->pending[i]);
	forget_pending(inode);
}

/* Each pending sector or not, at any of the sizes that the file has had. */
static void
keep_some(SimInode *inode, uint64_t *rng)
{
	size_t i, n = inode->n_sizes;
	uint64_t style = sim_random(rng) % 4;

	if (n > 0)
	{
		/* often the newest size: that is when holes matter */
		size_t pick = sim_random(rng) % 2 ? n : sim_random(rng) % (n + 1);

		if (pick > 0)
			bytes_resize(&inode->synced, inode->sizes[pick - 1]);
	}
	for (i = 0; i < inode->n_pending; i++)
	{
		/* all but a few, half of them, only a few, a prefix */
		uint64_t draw = sim_random(rng) % 16;

		if (style == 3 && draw == 0)
			break;
		if (style == 3 || draw < (style == 0 ? 15 : style == 1 ? 8 : 1))
			put_sector(&inode->synced, &inode->pending[i]);
	}
}

/*
 * The file keeps its size, as its inode is in memory still; behind what the
 * disk has of it there are zeros.
 */
static void
evict(SimInode *inode)
{
	uint64_t size = inode->now.size;

	bytes_copy(&inode->now, &inode->synced);
	bytes_resize(&inode->now, size);
	if (size != inode->synced.size)
		note_size(inode);
}

void
sim_disk_sync_failed(SimDisk *disk, int ino, uint64_t *rng)
{
	SimInode *inode = &disk->inodes[ino];

	keep_some(inode, rng);
	forget_pending(inode);
	if (sim_random(rng) % 2 == 0)
		evict(inode);
}

uint64_t
sim_disk_hash(const SimDisk *disk)
{
	uint64_t hash = disk->now.n;
	size_t i;

	for (i = 0; i < disk->now.n; i++)
	{
		const Entry *e = &disk->now.entries[i];
		const Bytes *b = &disk->inodes[e->ino].now;
		uint64_t name = XXH3_64bits(e->name, strlen(e->name));

		/* a sum, because the order of the entries is no state */
		hash += b->size == 0 ? name
							 : XXH3_64bits_withSeed(b->data, b->size, name);
	}
	return hash;
}

bool
sim_disk_rot(SimDisk *disk, int ino, uint64_t off, uint8_t mask)
{
	SimInode *inode = &disk->inodes[ino];

	if (off >= inode->now.size)
		return false;
	inode->now.data[off] ^= (char) mask;
	if (off < inode->synced.size)
		inode->synced.data[off] ^= (char) mask;
	return true;
}

uint64_t
sim_disk_used(const SimDisk *disk)
{
	uint64_t used = 0;
	size_t i;

	/* names of one file count twice: nobody sees the difference for long */
	for (i = 0; i < disk->now.n; i++)
		used += disk->inodes[disk->now.entries[i].ino].now.size;
	return used;
}

/* ---- crash ---- */

/*
 * The bytes that a sector's write was to change become random.  Those that
 * it was to leave as they are stay: a disk that destroys its neighbours'
 * synced bytes (no "powersafe overwrite") is not what kvlsm, SQLite or
 * PostgreSQL's own WAL are made for.
 */
static void
scribble(SimInode *inode, const Bytes *before, uint64_t *rng)
{
	const Sector *s;
	uint64_t i, at;

	if (inode->n_pending == 0)
		return;
	s = &inode->pending[sim_random(rng) % inode->n_pending];
	for (i = 0; i < SIM_SECTOR; i++)
	{
		at = s->no * SIM_SECTOR + i;
		if (at >= inode->synced.size)
			break;
		if (at >= before->size || s->data[i] != before->data[at])
			inode->synced.data[at] = (char) sim_random(rng);
	}
}

static void
crash_inode(SimInode *inode, SimLevel level, uint64_t *rng)
{
	Bytes before = {0};

	if (level == SIM_GARBAGE)
		bytes_copy(&before, &inode->synced);
	if (level >= SIM_POWER_LOSS)
		keep_some(inode, rng);
	if (level == SIM_GARBAGE)
		scribble(inode, &before, rng);
	free(before.data);
	forget_pending(inode);
	bytes_copy(&inode->now, &inode->synced);
}

void
sim_disk_crash(SimDisk *disk, SimLevel level, uint64_t *rng)
{
	uint64_t style = sim_random(rng) % 4;
	size_t i;

	for (i = 0; i < disk->n_inodes; i++)
		disk->inodes[i].opens = 0;
	if (level == SIM_KILL)
	{
		collect(disk);
		return;
	}
	for (i = 0; i < disk->n_ops; i++)
	{
		uint64_t draw = sim_random(rng) % 16;

		if (level >= SIM_POWER_LOSS && draw < (style == 0	? 15
											   : style == 1 ? 1
															: 8))
			folder_apply(&disk->synced, &disk->ops[i]);
	}
	disk->n_ops = 0;
	folder_copy(&disk->now, &disk->synced);
	for (i = 0; i < disk->n_inodes; i++)
		if (disk->inodes[i].used)
			crash_inode(&disk->inodes[i], level, rng);
	collect(disk);
}

/* ---- the disk as a whole ---- */

SimDisk *
sim_disk_new(void)
{
	SimDisk *disk = calloc(1, sizeof(*disk));

	if (disk == NULL)
		give_up("out of memory");
	return disk;
}

SimDisk *
sim_disk_clone(const SimDisk *disk)
{
	SimDisk *copy = sim_disk_new();
	size_t i;

	*copy = *disk;
	copy->inodes = copy_of(disk->inodes, disk->n_inodes, sizeof(SimInode));
	copy->cap_inodes = disk->n_inodes;
	for (i = 0; i < disk->n_inodes; i++)
	{
		SimInode *to = &copy->inodes[i];
		const SimInode *from = &disk->inodes[i];

		memset(to, 0, sizeof(*to));
		if (!from->used)
			continue;
		to->used = true;
		bytes_copy(&to->now, &from->now);
		bytes_copy(&to->synced, &from->synced);
		to->pending = copy_of(from->pending, from->n_pending, sizeof(Sector));
		to->n_pending = to->cap_pending = from->n_pending;
		to->sizes = copy_of(from->sizes, from->n_sizes, sizeof(uint64_t));
		to->n_sizes = to->cap_sizes = from->n_sizes;
	}
	memset(&copy->now, 0, sizeof(Folder));
	memset(&copy->synced, 0, sizeof(Folder));
	folder_copy(&copy->now, &disk->now);
	folder_copy(&copy->synced, &disk->synced);
	copy->ops = copy_of(disk->ops, disk->n_ops, sizeof(DirOp));
	copy->cap_ops = disk->n_ops;
	return copy;
}

void
sim_disk_free(SimDisk *disk)
{
	size_t i;

	for (i = 0; i < disk->n_inodes; i++)
		free_inode(&disk->inodes[i]);
	free(disk->inodes);
	free(disk->now.entries);
	free(disk->synced.entries);
	free(disk->ops);
	free(disk);
}
