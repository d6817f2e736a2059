/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_pick_test.c - which compaction comes next, as drawings.
 *
 * A drawing has one line for each level, the newest L0 file first, the others
 * by key.  A file is "b-f" with what matters about it:
 *
 *   b-f     keys b to f of store 1; 2.b-3.f: from store 2 to store 3
 *   +40     size 40 (10 if not said); L1 may hold 100, L2 1000, ...
 *   #7      file number (numbered as drawn, from 1, if not said)
 *   @9      largest csn (L0: from 100 downwards if not said)
 *   r5      belongs to ingested run 5
 *   *       another job has it
 *   t60     60 of its 100 entries are tombstones
 *   x       something in it expired two hours ago; y: a minute ago
 *   n       not everything in it is visible to all
 *
 * L0 is compacted when it has 4 runs.  Other lines: "dropped 2 3" (stores),
 * "flushed 97" (csn up to which memtables were flushed), "before 9" (files
 * with smaller numbers may hold keys of dropped stores), "manual 9" (on
 * request, files with smaller numbers go down) "from 1" (from that level).
 */
#include "harness.h"

#include <string.h>

#include "engine/base/coding.h"
#include "engine/lsm/compact_pick.h"
#include "engine/lsm/db_internal.h"

#define MAX_FILES 2000
#define NOW		  (INT64_C(3) * 3600 * 1000000)

typedef struct Drawing
{
	KvFileMeta metas[MAX_FILES];
	KvPickFile files[MAX_FILES];
	char names[MAX_FILES][24];
	uint32_t n;
	uint32_t dropped[8];
	KvLevels levels;
} Drawing;

typedef struct Scene
{
	const char *story;
	const char *drawing;
	const char *pick; /* "nothing", or kind, inputs by level, output level */
} Scene;

static const Scene scenes[] = {
	{"an empty store rests", "", "nothing"},
	{"three runs in L0 are not enough", "L0 a-f b-g c-h", "nothing"},
	{"four are, and take what lies under them along",
	 "L0 c-d c-f d-g b-e\n"
	 "L1 a-b f-g m-p",
	 "merge L0: c-d c-f d-g b-e L1: a-b f-g -> L1"},
	{"only what overlaps the oldest, one by one, is taken",
	 "L0 p-r c-f d-g q-s\n"
	 "L1 a-b f-g m-p",
	 "merge L0: p-r q-s L1: m-p -> L1"},
	{"a bridge joins them",
	 "L0 f-p c-f d-g p-s\n"
	 "L1 a-b f-g m-p",
	 "merge L0: f-p c-f d-g p-s L1: f-g m-p -> L1"},
	{"sorted input is not rewritten: files without overlap are moved",
	 "L0 k-l g-h e-f a-b\n"
	 "L1 c-d",
	 "move L0: k-l g-h e-f a-b -> L1"},
	{"of these only two lie free",
	 "L0 k-l g-h e-f a-e\n"
	 "L1 l-m",
	 "move L0: g-h -> L1"},
	{"the files of one ingested run count as one",
	 "L0 a-br5 c-dr5 e-fr5 g-hr5 i-kr5", "nothing"},
	{"three runs and two files make no four", "L0 a-zr5 b-c d-e", "nothing"},
	{"of a run only what overlaps is taken",
	 "L0 a-mr9 n-zr9 b-c d-e c-d\n"
	 "L1 x-y",
	 "merge L0: a-mr9 b-c d-e c-d -> L1"},
	{"what is newer than an unflushed memtable stays above it",
	 "flushed 97\n"
	 "L0 a-c@99 a-d@97 a-e@96 a-f@95 a-g@94",
	 "merge L0: a-d@97 a-e@96 a-f@95 a-g@94 -> L1"},
	{"and does not count",
	 "flushed 97\n"
	 "L0 a-c@99 a-d@97 a-e@96 a-f@95",
	 "nothing"},
	{"nothing is taken over an older file that is busy",
	 "L0 a-c a-d a-e a-f*  a-g a-h", "merge L0: a-g a-h -> L1"},
	{"a busy file in L1 blocks",
	 "L0 a-c a-d a-e a-f\n"
	 "L1 b-d*",
	 "nothing"},

	{"L1 at its target rests", "L1 a-b+50 c-d+50", "nothing"},
	{"beyond it the file goes down that costs least",
	 "L1 a-b+50 c-d+40 e-f+40\n"
	 "L2 a-a+40 b-b+40 c-d+20 e-e+30 f-f+30",
	 "merge L1: c-d+40 L2: c-d+20 -> L2"},
	{"for the same cost the oldest",
	 "L1 a-b+50#9 c-d+50#4 e-f+50#7\n"
	 "L2 a-b#1 c-d#2 e-f#3",
	 "merge L1: c-d+50#4 L2: c-d#2 -> L2"},
	{"what nothing overlaps goes down for nothing, as much as is too much",
	 "L1 a-b+50 c-d+50 e-f+50 g-h+50\n"
	 "L2 a-b",
	 "move L1: c-d+50 e-f+50 -> L2"},
	{"the level that is fullest for its size comes first",
	 "L0 a-c a-d a-e a-f\n"
	 "L1 a-b+90 c-d+90\n"
	 "L2 a-d+900",
	 "merge L1: a-b+90 L2: a-d+900 -> L2"},
	{"L0 before it, if it is fuller",
	 "L0 a-c a-d a-e a-f a-g a-h a-i a-k\n"
	 "L1 a-b+90 c-d+90\n"
	 "L2 a-d+900",
	 "merge L0: a-c a-d a-e a-f a-g a-h a-i a-k L1: a-b+90 c-d+90 -> L1"},
	{"if the fullest is blocked, the next one is not",
	 "L0 a-c a-d a-e a-f\n"
	 "L1 a-b+900* c-d+900*\n"
	 "L2 a-d+1100\n"
	 "L3 b-b",
	 "merge L2: a-d+1100 L3: b-b -> L3"},
	{"the last level takes what comes", "L6 a-b+999999", "nothing"},

	{"files wholly in a dropped store go without being read",
	 "dropped 2 4\n"
	 "L0 2.a-2.c 1.a-2.c\n"
	 "L1 1.a-1.z 2.a-2.f 3.a-3.b\n"
	 "L2 4.a-4.z",
	 "remove L0: 2.a-2.c L1: 2.a-2.f L2: 4.a-4.z"},
	{"a file with a dropped store in it is rewritten, once",
	 "dropped 2\n"
	 "before 9\n"
	 "L1 1.a-1.z#11 1.z-3.a#7\n"
	 "L2 1.a-2.a#3 3.a-4.a#2",
	 "merge L1: 1.z-3.a#7 -> L1"},
	{"then it is newer than the news",
	 "dropped 2\n"
	 "before 9\n"
	 "L1 1.a-1.z#11 1.z-3.a#12",
	 "nothing"},

	{"more than half tombstones at the bottom: rewritten",
	 "L1 a-bt50 c-d\n"
	 "L2 a-bt50 c-dt51",
	 "merge L2: c-dt51 -> L2"},
	{"not above other data", "L1 a-bt90\nL2 b-c", "nothing"},
	{"not while somebody may still see what they hide", "L1 a-bt90n", "nothing"},
	{"expired long ago: rewritten", "L1 a-b c-dx", "merge L1: c-dx -> L1"},
	{"not at once", "L1 a-b c-dy", "nothing"},

	{"on request L0 goes first",
	 "manual 9\n"
	 "L0 a-d#8 a-b#7\n"
	 "L1 c-d#1\n"
	 "L2 a-z#2",
	 "merge L0: a-d#8 a-b#7 L1: c-d#1 -> L1"},
	{"then all of L1, in one job if it fits",
	 "manual 9\n"
	 "from 1\n"
	 "L1 a-b#5 c-d#6 x-z#7\n"
	 "L2 a-f#1 g-h#2 y-z#3",
	 "merge L1: a-b#5 c-d#6 x-z#7 L2: a-f#1 g-h#2 y-z#3 -> L2"},
	{"and without reading what lies free",
	 "manual 9\n"
	 "from 1\n"
	 "L1 a-b#5 c-d#6 x-z#7\n"
	 "L2 g-h#2 y-z#3",
	 "move L1: a-b#5 c-d#6 -> L2"},
	{"levels between are crossed",
	 "manual 9\n"
	 "from 1\n"
	 "L1 a-b#5\n"
	 "L4 a-f#1",
	 "move L1: a-b#5 -> L2"},
	{"what came after the request may stay",
	 "manual 9\n"
	 "L0 a-d#10\n"
	 "L1 c-d#11\n"
	 "L2 a-z#2",
	 "nothing"},
	{"at the bottom all that can be dropped is",
	 "manual 9\n"
	 "from 2\n"
	 "L2 a-b#1 c-d#2t1 e-f#3y",
	 "merge L2: c-d#2t1 -> L2"},
	{"once", "manual 9\nfrom 2\nL2 a-b#1 c-d#9t1 e-f#10y", "nothing"},
	{"a lonely L0 goes to L1",
	 "manual 9\n"
	 "L0 a-d#8 b-b#7",
	 "merge L0: a-d#8 b-b#7 -> L1"},
};

/* "2.b" or "b" as a key */
static size_t
parse_key(const char **p, char *key)
{
	uint32_t store = 1;
	size_t n = KV_STORE_PREFIX;

	if (**p >= '0' && **p <= '9')
	{
		store = (uint32_t) strtoul(*p, (char **) (uintptr_t) p, 10);
		(*p)++;
	}
	kv_store_be32(key, store);
	key[n++] = *(*p)++;
	return n;
}

static void
parse_file(Drawing *d, const char *word, int level)
{
	KvFileMeta *m = &d->metas[d->n];
	char low[8], high[8];
	const char *p = word;
	size_t low_len, high_len;

	KV_REQUIRE(d->n < MAX_FILES);
	memset(m, 0, sizeof(*m));
	m->file_no = d->n + 1;
	m->size = 10;
	m->level = (uint8_t) level;
	m->max_csn = level == 0 ? 100 - d->n : 1;
	m->entries = 100;
	m->max_xid = 1;
	d->files[d->n].meta = m;
	d->files[d->n].busy = false;
	(void) snprintf(d->names[d->n], sizeof(d->names[0]), "%s", word);
	low_len = parse_key(&p, low);
	p++;
	high_len = parse_key(&p, high);
	kv_set_bounds(m, kv_slice(low, low_len), kv_slice(high, high_len));
	while (*p != '\0')
	{
		char what = *p++;
		char *end;
		uint64_t v = strtoul(p, &end, 10);

		p = end;
		switch (what)
		{
		case '+':
			m->size = v;
			break;
		case '#':
			m->file_no = v;
			break;
		case '@':
			m->max_csn = v;
			break;
		case 'r':
			m->run_csn = v;
			break;
		case '*':
			d->files[d->n].busy = true;
			break;
		case 't':
			m->tombstones = v;
			break;
		case 'x':
			m->oldest_expiry_us = NOW - 2 * KV_EXPIRY_LAG_US;
			break;
		case 'y':
			m->oldest_expiry_us = NOW - KV_EXPIRY_LAG_US / 60;
			break;
		case 'n':
			m->max_xid = 60;
			break;
		default:
			kv_test_die(__FILE__, __LINE__, word);
		}
	}
	d->n++;
}

static void
parse_line(Drawing *d, char *line, int *level)
{
	char *word = strtok(line, " ");
	char *next;

	if (word == NULL)
		return;
	if (word[0] == 'L')
	{
		for (; *level < word[1] - '0'; (*level)++)
			d->levels.start[*level + 1] = d->n;
		while ((next = strtok(NULL, " ")) != NULL)
			parse_file(d, next, *level);
		return;
	}
	while ((next = strtok(NULL, " ")) != NULL)
	{
		uint64_t v = strtoul(next, NULL, 10);

		if (strcmp(word, "dropped") == 0)
			d->dropped[d->levels.n_dropped++] = (uint32_t) v;
		else if (strcmp(word, "flushed") == 0)
			d->levels.flushed_csn = v;
		else if (strcmp(word, "before") == 0)
			d->levels.dropped_before = v;
		else if (strcmp(word, "manual") == 0)
			d->levels.manual_before = v;
		else if (strcmp(word, "from") == 0)
			d->levels.manual_level = (int) v;
		else
			kv_test_die(__FILE__, __LINE__, word);
	}
}

static Drawing *
draw(const char *text)
{
	Drawing *d = calloc(1, sizeof(*d));
	char *copy = strdup(text), *line = copy;
	int level = 0;

	d->levels.files = d->files;
	d->levels.level_bytes = 100;
	d->levels.l0_compact = 4;
	d->levels.flushed_csn = UINT64_MAX;
	d->levels.horizon = (KvHorizon){.xid = 50, .csn = UINT64_MAX, NOW};
	d->levels.dropped = d->dropped;
	while (line != NULL)
	{
		char *end = strchr(line, '\n');

		if (end != NULL)
			*end++ = '\0';
		parse_line(d, line, &level);
		line = end;
	}
	for (; level < KV_LEVELS; level++)
		d->levels.start[level + 1] = d->n;
	free(copy);
	return d;
}

static void
describe(const Drawing *d, const KvPick *pick, char *out, size_t cap)
{
	static const char *const kinds[] = {"nothing", "merge", "move", "remove"};
	size_t n = (size_t) snprintf(out, cap, "%s", kinds[pick->kind]);
	int level = -1;
	uint32_t i;

	for (i = 0; i < pick->n && n < cap; i++)
	{
		uint32_t file = pick->files[i];

		if (d->metas[file].level != level)
		{
			level = d->metas[file].level;
			n += (size_t) snprintf(out + n, cap - n, " L%d:", level);
		}
		n += (size_t) snprintf(out + n, cap - n, " %s", d->names[file]);
	}
	if (pick->kind == KV_PICK_MERGE || pick->kind == KV_PICK_MOVE)
		(void) snprintf(out + n, cap - n, " -> L%u", pick->output_level);
}

KV_TEST(scenes)
{
	size_t i;

	for (i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++)
	{
		Drawing *d = draw(scenes[i].drawing);
		KvPick pick;
		char got[1024];

		kv_compact_pick(&d->levels, &pick);
		describe(d, &pick, got, sizeof(got));
		if (strcmp(got, scenes[i].pick) != 0)
			kv_test_fail(__FILE__, __LINE__, "%s:\n%s\ngot:  %s\nwant: %s",
						 scenes[i].story, scenes[i].drawing, got,
						 scenes[i].pick);
		free(d);
	}
}

/* ---- what holds for every pick, on random levels */

static void
add_random_file(Drawing *d, int level, uint32_t low, uint32_t high)
{
	KvFileMeta *m = &d->metas[d->n];
	char keys[2][8];

	memset(m, 0, sizeof(*m));
	kv_store_be32(keys[0], 1);
	kv_store_be32(keys[0] + 4, low);
	kv_store_be32(keys[1], 1);
	kv_store_be32(keys[1] + 4, high);
	kv_set_bounds(m, kv_slice(keys[0], 8), kv_slice(keys[1], 8));
	m->file_no = 1 + kv_rand_below(1000000);
	m->size = 1 + kv_rand_below(30);
	m->level = (uint8_t) level;
	m->max_csn = 100000 - d->n;
	m->entries = 100;
	m->tombstones = kv_rand_below(100);
	d->files[d->n].meta = m;
	d->files[d->n].busy = kv_rand_below(200) == 0;
	d->n++;
}

static Drawing *
random_drawing(uint32_t n_l0, uint32_t n_deep)
{
	Drawing *d = draw("");
	int level;
	uint32_t i;

	for (i = 0; i < n_l0; i++)
	{
		uint32_t low = (uint32_t) kv_rand_below(1000);

		add_random_file(d, 0, low,
						low + (uint32_t) kv_rand_below(n_l0 > 50 ? 900 : 60));
	}
	d->levels.start[1] = d->n;
	for (level = 1; level < KV_LEVELS; level++)
	{
		uint32_t low = 0;

		for (i = 0; i < n_deep; i++)
		{
			uint32_t high = low + (uint32_t) kv_rand_below(4);

			add_random_file(d, level, low, high);
			low = high + 1 + (uint32_t) kv_rand_below(2000 / (n_deep + 1));
		}
		d->levels.start[level + 1] = d->n;
	}
	if (kv_rand_below(3) == 0)
	{
		d->levels.manual_before = 1 + kv_rand_below(1000000);
		d->levels.manual_level = (int) kv_rand_below(KV_LEVELS);
	}
	if (kv_rand_below(3) == 0)
		d->levels.flushed_csn = 100000 - kv_rand_below(10);
	return d;
}

static bool
picked(const KvPick *pick, uint32_t file)
{
	uint32_t i;

	for (i = 0; i < pick->n; i++)
		if (pick->files[i] == file)
			return true;
	return false;
}

/* Input a must not pass b, which stays. */
static void
check_pair(const Drawing *d, const KvPick *pick, uint32_t a, uint32_t b)
{
	const KvFileMeta *x = &d->metas[a], *y = &d->metas[b];

	if (!kv_files_overlap(x, y))
		return;
	/* an older L0 file would end above newer data */
	if (x->level == 0)
		KV_CHECK(!(y->level == 0 && b > a));
	/* outputs would overlap a file of their level */
	if (x->level < pick->output_level)
		KV_CHECK(y->level != pick->output_level);
}

static void
check_pick(const Drawing *d, const KvPick *pick)
{
	uint32_t i, j;

	KV_CHECK(pick->n <= KV_PICK_FILES);
	KV_CHECK(pick->kind == KV_PICK_NOTHING || pick->n > 0);
	for (i = 0; i < pick->n; i++)
	{
		const KvFileMeta *m = &d->metas[pick->files[i]];

		KV_CHECK(!d->files[pick->files[i]].busy);
		KV_CHECK(i == 0 || pick->files[i] > pick->files[i - 1]);
		KV_CHECK(m->level == pick->output_level ||
				 m->level + 1 == pick->output_level);
		if (m->level == 0)
			KV_CHECK(m->max_csn <= d->levels.flushed_csn);
		for (j = 0; j < d->n; j++)
			if (!picked(pick, j))
				check_pair(d, pick, pick->files[i], j);
	}
}

KV_TEST(no_pick_breaks_the_order)
{
	int round;

	for (round = 0; round < 400 && kv_test_failures() == 0; round++)
	{
		/* now and then more than fits into a job */
		bool many = round % 40 == 0;
		Drawing *d = random_drawing((uint32_t) kv_rand_below(many ? 700 : 20),
									(uint32_t) kv_rand_below(many ? 200 : 30));
		KvPick pick;

		kv_compact_pick(&d->levels, &pick);
		check_pick(d, &pick);
		free(d);
	}
}

KV_TEST(listed_stores)
{
	static const uint32_t ids[] = {2, 5, 900};
	char key[4];
	uint32_t id;

	for (id = 0; id < 1000; id++)
	{
		kv_store_be32(key, id);
		KV_CHECK_EQ(kv_store_listed(ids, 3, kv_slice(key, 4)),
					id == 2 || id == 5 || id == 900);
	}
	KV_CHECK(!kv_store_listed(ids, 3, kv_slice("\0\0\0", 3)));
	KV_CHECK(!kv_store_listed(NULL, 0, kv_slice(key, 4)));
}
