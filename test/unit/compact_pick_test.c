/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_pick_test.c - which compaction comes next, as drawings.
 *
 * A drawing has one line for each level, the newest L0 file first, the others
 * by key.  A file is "b-f" with what matters about it:
 *
 *   b-f     keys b to f of store 1; 2.b-3.f: from store 2 to store 3
 *   +40     size 40 (10 if not said)
 *   #7      file number (numbered as drawn, from 1, if not said)
 *   @9      largest csn (L0: from 100 downwards if not said)
 *   r5      belongs to ingested run 5
 *   *       another job has it
 *   t60     60 of its 100 entries are tombstones
 *   x       something in it expired two hours ago; y: a minute ago
 *   n       not everything in it is visible to all
 *   f3      three reads went past its filter and found nothing
 *
 * L0 is compacted when it has 4 runs; what lies above the last level may come
 * to half of it.  Other lines: "job 99" (bytes), "dropped 2 3" (stores),
 * "flushed 97" (csn up to which memtables were flushed), "before 9" (files
 * with smaller numbers may hold keys of dropped stores), "manual 9" (on
 * request, files with smaller numbers go down) "from 1" (from that level)
 * "range c-f" (only what overlaps it).
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
	char range[2][8];
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
	{"four are: the first ones go to the bottom", "L0 c-d c-f d-g b-e",
	 "merge L0: c-d c-f d-g b-e -> L6"},
	{"only what overlaps the oldest, one by one, is taken",
	 "L0 p-r c-f d-g q-s", "merge L0: p-r q-s -> L6"},
	{"a bridge joins them", "L0 f-p c-f d-g p-s",
	 "merge L0: f-p c-f d-g p-s -> L6"},
	{"sorted input is not rewritten: files without overlap sink",
	 "L0 k-l g-h e-f a-b\n"
	 "L6 c-d",
	 "move L0: k-l g-h e-f a-b -> L6"},
	{"of these only two lie free",
	 "L0 k-l g-h e-f a-e\n"
	 "L1 l-m\n"
	 "L6 n-o+90",
	 "move L0: g-h -> L6"},
	{"above what lies in the way",
	 "L0 k-l g-h e-f a-e\n"
	 "L6 g-m",
	 "move L0: k-l g-h -> L5"},
	{"the files of one ingested run count as one",
	 "L0 a-br5 c-dr5 e-fr5 g-hr5 i-kr5 a-z", "nothing"},
	{"three runs and two files make no four", "L0 a-zr5 b-c d-e", "nothing"},
	{"of a run only what overlaps is taken",
	 "L0 a-mr9 n-zr9 b-c d-e c-d\n"
	 "L1 x-y",
	 "merge L0: a-mr9 b-c d-e c-d -> L6"},
	{"what is newer than an unflushed memtable stays above it",
	 "flushed 97\n"
	 "L0 a-c@99 a-d@97 a-e@96 a-f@95 a-g@94",
	 "merge L0: a-d@97 a-e@96 a-f@95 a-g@94 -> L6"},
	{"and does not count",
	 "flushed 97\n"
	 "L0 a-c@99 a-d@97 a-e@96 a-f@95",
	 "nothing"},
	{"nothing is taken over an older file that is busy",
	 "L0 a-c a-d a-e a-f*  a-g a-h", "merge L0: a-g a-h -> L6"},

	/* 40 bytes come from L0 in these */
	{"what comes is more than half of the last level: it is merged",
	 "L0 a-z b-z a-y a-x\n"
	 "L6 a-k+40 l-z+40",
	 "merge L0: a-z b-z a-y a-x L6: a-k+40 l-z+40 -> L6"},
	{"it is less: it becomes a run above it",
	 "L0 a-z b-z a-y a-x\n"
	 "L6 a-k+41 l-z+40",
	 "merge L0: a-z b-z a-y a-x -> L5"},
	{"the next one above that",
	 "L0 a-z b-z a-y a-x\n"
	 "L5 a-z+40\n"
	 "L6 a-k+900 l-z+900",
	 "merge L0: a-z b-z a-y a-x -> L4"},
	{"a run that is small beside what comes is taken along",
	 "L0 a-z b-z a-y a-x\n"
	 "L5 a-d+10 h-z+10\n"
	 "L6 a-k+900 l-z+900",
	 "merge L0: a-z b-z a-y a-x L5: a-d+10 h-z+10 -> L5"},
	{"so are runs that grow no faster than what has come together",
	 "L0 a-z b-z a-y a-x\n"
	 "L3 a-z+20\n"
	 "L4 a-z+30\n"
	 "L5 a-z+46\n"
	 "L6 a-k+900 l-z+900",
	 "merge L0: a-z b-z a-y a-x L3: a-z+20 L4: a-z+30 -> L4"},
	{"when all levels are used up, runs of one size become one",
	 "L0 a-z b-z a-y a-x\n"
	 "L1 a-z+40\n"
	 "L2 a-z+40\n"
	 "L3 a-z+40\n"
	 "L4 a-z+40\n"
	 "L5 a-z+40\n"
	 "L6 a-k+900 l-z+900",
	 "merge L0: a-z b-z a-y a-x L1: a-z+40 L2: a-z+40 L3: a-z+40 L4: a-z+40 "
	 "L5: a-z+40 -> L5"},
	{"large runs below them stay",
	 "L0 a-z b-z a-y a-x\n"
	 "L1 a-z+40\n"
	 "L2 a-z+80\n"
	 "L6 a-k+900 l-z+900",
	 "merge L0: a-z b-z a-y a-x L1: a-z+40 -> L1"},
	{"what does not fit into a job stays above it",
	 "job 100\n"
	 "L0 a-z b-z a-y a-x\n"
	 "L6 a-k+40 l-z+40",
	 "merge L0: a-z b-z a-y a-x -> L5"},
	{"nor does what is busy",
	 "L0 a-z b-z a-y a-x\n"
	 "L6 a-z+40*",
	 "merge L0: a-z b-z a-y a-x -> L5"},

	{"runs above the last level may come to half of it",
	 "L4 a-z+200\n"
	 "L5 a-k+300 l-z+400\n"
	 "L6 a-k+900 l-z+900",
	 "nothing"},
	{"beyond it the file goes down that costs least",
	 "L4 a-z+200\n"
	 "L5 a-k+301 l-z+400\n"
	 "L6 a-k+900 l-z+900",
	 "merge L5: l-z+400 L6: l-z+900 -> L6"},
	{"for the same cost the oldest",
	 "L5 a-b+50#9 c-d+50#4 e-f+50#7\n"
	 "L6 a-b#1 c-d#2 e-f#3",
	 "merge L5: c-d+50#4 L6: c-d#2 -> L6"},
	{"what nothing overlaps sinks for nothing, as much as is too much",
	 "L5 a-b+50 c-d+50 e-f+50 g-h+50\n"
	 "L6 a-b+240",
	 "move L5: c-d+50 e-f+50 -> L6"},
	{"also past empty levels",
	 "L2 a-b+50 c-d+50\n"
	 "L6 a-b+90",
	 "move L2: c-d+50 -> L6"},
	{"L0 is more urgent, if it is fuller",
	 "L0 a-c a-d a-e a-f a-g a-h a-i a-k\n"
	 "L5 a-b+501\n"
	 "L6 a-d+900",
	 "merge L0: a-c a-d a-e a-f a-g a-h a-i a-k -> L4"},
	{"if the fullest is blocked, the next one is not",
	 "L0 a-c a-d a-e a-f*\n"
	 "L5 a-b+501\n"
	 "L6 a-d+900",
	 "merge L5: a-b+501 L6: a-d+900 -> L6"},
	{"a last level that is not the lowest is none the less the last",
	 "L0 a-c a-d a-e a-f\n"
	 "L1 a-d+80",
	 "merge L0: a-c a-d a-e a-f L1: a-d+80 -> L6"},

	{"an ingested run sinks at once, all of it", "L0 a-cr5 d-fr5\nL6 x-z+900",
	 "move L0: a-cr5 d-fr5 -> L6"},
	{"to the lowest level that it does not overlap, each file for itself",
	 "L0 a-cr5 d-fr5\nL5 m-n\nL6 a-b+900", "move L0: d-fr5 -> L6"},
	{"not over a memtable that is still to be flushed",
	 "flushed 97\n"
	 "L0 a-cr5@98",
	 "nothing"},
	{"nor while something lies on it in L0", "L0 b-d a-cr5", "nothing"},

	{"a file that is read in vain goes down, the one with most of it first",
	 "L4 a-d+8192f1\n"
	 "L5 b-c+8192f2 d-f+8192f3 g-h+8192f1\n"
	 "L6 a-k+99999",
	 "merge L5: d-f+8192f3 L6: a-k+99999 -> L6"},
	{"with what lies on its way",
	 "L4 a-d+8192f9\n"
	 "L5 b-c+8192f2 d-f+8192f3 g-h+8192f1\n"
	 "L6 a-k+99999",
	 "merge L4: a-d+8192f9 L5: b-c+8192f2 d-f+8192f3 L6: a-k+99999 -> L6"},
	{"as it is, if nothing is", "L4 a-d+8192f9\nL6 x-z+99999",
	 "move L4: a-d+8192f9 -> L6"},
	{"L0 need not be full for it",
	 "L0 a-z+4000f1 a-z\n"
	 "L6 a-z+99999",
	 "merge L0: a-z+4000f1 a-z -> L5"},
	{"a single run becomes one of the levels without being rewritten",
	 "L0 a-z+4000f1\n"
	 "L6 a-z+99999",
	 "move L0: a-z+4000f1 -> L5"},
	{"the last level has nowhere to go", "L6 a-z+4000f99", "nothing"},

	{"files wholly in a dropped store go without being read",
	 "dropped 2 4\n"
	 "L0 2.a-2.c 1.a-2.c\n"
	 "L1 1.a-1.z 2.a-2.f 3.a-3.b\n"
	 "L2 4.a-4.z",
	 "remove L0: 2.a-2.c L1: 2.a-2.f L2: 4.a-4.z"},
	{"a file with a dropped store in it is rewritten, once",
	 "dropped 2\n"
	 "before 9\n"
	 "L5 1.a-1.z#11 1.z-3.a#7\n"
	 "L6 1.a-2.a#3+90 3.a-4.a#2",
	 "merge L5: 1.z-3.a#7 -> L5"},
	{"then it is newer than the news",
	 "dropped 2\n"
	 "before 9\n"
	 "L6 1.a-1.z#11 1.z-3.a#12",
	 "nothing"},

	{"more than half tombstones at the bottom: rewritten",
	 "L5 a-bt50 e-f\n"
	 "L6 a-bt50+90 c-dt51",
	 "merge L6: c-dt51 -> L6"},
	{"above other data: down, to meet what they hide",
	 "L4 a-bt90\n"
	 "L5 b-c\n"
	 "L6 a-b+90 c-d+90",
	 "merge L4: a-bt90 L5: b-c L6: a-b+90 c-d+90 -> L6"},
	{"above nothing: down for nothing, to be rewritten there",
	 "L4 a-bt90\n"
	 "L6 c-d+90",
	 "merge L4: a-bt90 -> L4"},
	{"not while somebody may still see what they hide",
	 "L5 a-bt90n\n"
	 "L6 a-b+90 c-dt90n",
	 "nothing"},
	{"expired long ago: rewritten", "L6 a-b c-dx", "merge L6: c-dx -> L6"},
	{"or brought down first",
	 "L5 c-dx\n"
	 "L6 a-b+90 c-d",
	 "merge L5: c-dx L6: c-d -> L6"},
	{"not at once", "L6 a-b c-dy", "nothing"},

	{"on request L0 goes first, to the bottom",
	 "manual 9\n"
	 "L0 a-d#8 a-b#7\n"
	 "L5 c-d#1\n"
	 "L6 a-z#2+90",
	 "merge L0: a-d#8 a-b#7 L5: c-d#1 L6: a-z#2+90 -> L6"},
	{"as far as one job can bring it",
	 "manual 9\njob 50\n"
	 "L0 a-d#8 a-b#7\n"
	 "L5 c-d#1\n"
	 "L6 a-z#2+90",
	 "merge L0: a-d#8 a-b#7 L5: c-d#1 -> L5"},
	{"then each level, in one job if it fits",
	 "manual 9\n"
	 "from 5\n"
	 "L5 a-b#5 c-d#6 x-z#7\n"
	 "L6 a-f#1+90 g-h#2 y-z#3",
	 "merge L5: a-b#5 c-d#6 x-z#7 L6: a-f#1+90 g-h#2 y-z#3 -> L6"},
	{"in pieces if not",
	 "manual 9\njob 50\nfrom 5\n"
	 "L5 a-b#5 c-d#6 x-z#7\n"
	 "L6 a-b#1+90 g-h#2 y-z#3",
	 "merge L5: a-b#5 L6: a-b#1+90 -> L6"},
	{"and without reading what lies free",
	 "manual 9\n"
	 "from 5\n"
	 "L5 a-b#5 c-d#6 x-z#7\n"
	 "L6 g-h#2+90 y-z#3",
	 "move L5: a-b#5 c-d#6 -> L6"},
	{"levels between are crossed",
	 "manual 9\n"
	 "from 1\n"
	 "L1 a-b#5\n"
	 "L4 b-f#2\n"
	 "L6 a-c#1+90 d-h#3",
	 "merge L1: a-b#5 L4: b-f#2 L6: a-c#1+90 d-h#3 -> L6"},
	{"what came after the request may stay",
	 "manual 9\n"
	 "L0 a-d#10\n"
	 "L5 c-d#11\n"
	 "L6 a-z#2+90",
	 "nothing"},
	{"at the bottom all that can be dropped is",
	 "manual 9\n"
	 "from 6\n"
	 "L6 a-b#1@0 c-d#2t1 e-f#3y",
	 "merge L6: c-d#2t1 -> L6"},
	{"what only a snapshot could see too, but a run has nothing of it",
	 "manual 9\nfrom 6\nL6 a-b#1r5 c-d#2@3", "merge L6: c-d#2@3 -> L6"},
	{"once", "manual 9\nfrom 6\nL6 a-b#1@0 c-d#9t1 e-f#10y", "nothing"},
	{"a lonely L0 goes to the bottom",
	 "manual 9\n"
	 "L0 a-d#8 b-b#7",
	 "merge L0: a-d#8 b-b#7 -> L6"},
	{"a range is asked for: what overlaps it, and what hangs together with it",
	 "manual 9\n"
	 "range g-k\n"
	 "L0 h-m#7 x-z#6 l-n#5\n"
	 "L6 a-c#1+90 d-g#2 i-k#3",
	 "merge L0: h-m#7 l-n#5 L6: i-k#3 -> L6"},
	{"in the levels too",
	 "manual 9\n"
	 "range g-k\n"
	 "from 5\n"
	 "L5 a-f#4 g-h#5 i-m#6 n-p#7\n"
	 "L6 a-h#1+90 i-p#2",
	 "merge L5: g-h#5 i-m#6 L6: a-h#1+90 i-p#2 -> L6"},
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
	d->files[d->n].fruitless = 0;
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
		case 'f':
			d->files[d->n].fruitless = (uint32_t) v;
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
		const char *p = next;

		if (strcmp(word, "range") == 0)
		{
			d->levels.manual_lower.len = parse_key(&p, d->range[0]);
			p++;
			d->levels.manual_upper.len = parse_key(&p, d->range[1]);
			d->levels.manual_lower.data = d->range[0];
			d->levels.manual_upper.data = d->range[1];
		}
		else if (strcmp(word, "job") == 0)
			d->levels.job_bytes = v;
		else if (strcmp(word, "dropped") == 0)
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
	d->levels.space_percent = 50;
	d->levels.job_bytes = 1000000;
	d->levels.manual_lower = kv_slice("", 0);
	d->levels.manual_upper = kv_slice("", 0);
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
	d->files[d->n].fruitless = (uint32_t) kv_rand_below(400) == 0;
	d->files[d->n].meta = m;
	d->files[d->n].busy = kv_rand_below(200) == 0;
	d->n++;
}

static void
random_range(Drawing *d)
{
	uint32_t low = (uint32_t) kv_rand_below(1000);

	kv_store_be32(d->range[0], 1);
	kv_store_be32(d->range[0] + 4, low);
	kv_store_be32(d->range[1], 1);
	kv_store_be32(d->range[1] + 4, low + 1 + (uint32_t) kv_rand_below(300));
	d->levels.manual_lower = kv_slice(d->range[0], 8);
	d->levels.manual_upper = kv_slice(d->range[1], 8);
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
		if (kv_rand_below(2) == 0)
			random_range(d);
	}
	d->levels.job_bytes = 10 << kv_rand_below(12);
	d->levels.space_percent = (uint32_t) (1 + kv_rand_below(300));
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
	/* it would end above newer data, or overlap a file of its level */
	if (x->level < pick->output_level)
		KV_CHECK(y->level < x->level || y->level > pick->output_level ||
				 (y->level == 0 && b < a));
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
		if (pick->kind != KV_PICK_REMOVE)
			KV_CHECK(m->level <= pick->output_level);
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
