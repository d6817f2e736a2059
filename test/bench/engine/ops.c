/* SPDX-License-Identifier: PostgreSQL */
/*
 * ops.c - the workloads, in the order of the command line.
 *
 *   bench-<engine> DIR SEED N COMPRESS VARIANT OP[:ARG[:ARG]]...
 *
 * COMPRESS is none, lz4, snappy or default (LZ4 for kvlsm, snappy for the
 * others); VARIANT is "default" or one that the engine knows.
 * Each operation prints one line of tab-separated fields, headed by the line
 * that "bench-<engine> header" prints; "bench-<engine> describe" prints
 * version and options.
 * What a read finds is counted and must be what was written.
 *
 * A read of one thread that did not run for more than a tenth of its time
 * tells of the neighbours, not of the engine: it is run again, at most twice.
 * All are printed; "part" counts them.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench.h"

#define IDLE_SECONDS 0.45
#define MAX_WAITED	 1.10 /* wall time / CPU time */
#define MAX_PARTS	 3

typedef struct Result
{
	uint64_t ops;
	double seconds;	  /* foreground */
	double cpu;		  /* of the process */
	double own_cpu;	  /* of the measured thread; 0: not one thread */
	double other_ops; /* per second, of the thread beside it */
	uint64_t written; /* bytes through write() */
} Result;

typedef struct Start
{
	double time, cpu, own_cpu;
	uint64_t wchar;
} Start;

static const char *const compression_names[] = {"none", "default", "lz4",
												"snappy"};
static BenchConfig config;
static uint64_t seed, written_rows, user_bytes;
static Session *session;
static Hist hist;
static char last_fill[32];
static int part = 1;
static volatile uint64_t sink;

static void
start(Start *s)
{
	hist_reset(&hist);
	s->wchar = bench_wchar();
	s->own_cpu = bench_thread_cpu();
	s->cpu = bench_process_cpu();
	s->time = bench_now();
}

static void
stop(const Start *s, Result *r, uint64_t ops)
{
	r->seconds = bench_now() - s->time;
	r->cpu = bench_process_cpu() - s->cpu;
	r->own_cpu = bench_thread_cpu() - s->own_cpu;
	r->written = bench_wchar() - s->wchar;
	r->ops = ops;
}

static void
expect(const char *op, uint64_t found, uint64_t wanted)
{
	char text[100];

	if (found == wanted)
		return;
	(void) snprintf(text, sizeof(text), "found %llu of %llu",
					(unsigned long long) found, (unsigned long long) wanted);
	bench_die(op, text);
}

static void
nap(double seconds)
{
	struct timespec ts = {(time_t) seconds,
						  (long) ((seconds - (double) (time_t) seconds) * 1e9)};

	(void) nanosleep(&ts, NULL);
}

/* ---- background debt: when did the other threads last do something */

static struct
{
	pthread_t thread, main_thread;
	bool running;
	_Atomic bool end;
	_Atomic double last_busy;
	double fill_start, fill_end;
	double fill_cpu;  /* of the process when the fill began */
	double reads_cpu; /* of this thread's reads since then */
} debt;

static double
background_cpu(void)
{
	clockid_t id;
	struct timespec ts;

	if (pthread_getcpuclockid(debt.main_thread, &id) != 0)
		return 0;
	(void) clock_gettime(id, &ts);
	return bench_process_cpu() - (double) ts.tv_sec - (double) ts.tv_nsec / 1e9;
}

static void *
watch_debt(void *arg)
{
	double before = background_cpu(), now;

	(void) arg;
	while (!atomic_load(&debt.end))
	{
		nap(0.05);
		now = background_cpu();
		if (now - before > 0.002)
			atomic_store(&debt.last_busy, bench_now());
		before = now;
	}
	return NULL;
}

static void
start_debt(const Start *fill)
{
	debt.fill_start = fill->time;
	debt.fill_cpu = fill->cpu;
	debt.reads_cpu = 0;
	debt.fill_end = bench_now();
	debt.main_thread = pthread_self();
	atomic_store(&debt.last_busy, debt.fill_end);
	atomic_store(&debt.end, false);
	debt.running = pthread_create(&debt.thread, NULL, watch_debt, NULL) == 0;
}

static void
stop_debt(void)
{
	if (!debt.running)
		return;
	atomic_store(&debt.end, true);
	(void) pthread_join(debt.thread, NULL);
	debt.running = false;
}

/* From the end of the fill until the background was idle. */
static void
op_settle(Result *r)
{
	Start s;
	double last;

	start(&s);
	if (!debt.running)
		start_debt(&s);
	while (bench_now() - atomic_load(&debt.last_busy) < IDLE_SECONDS)
		nap(0.05);
	stop_debt();
	stop(&s, r, 0);
	last = atomic_load(&debt.last_busy);
	r->seconds = last - debt.fill_end;
	r->own_cpu = 0;
	r->ops = written_rows;
}

/* ---- writing */

typedef enum FillKind
{
	FILL_RANDOM,
	FILL_SEQ,
	FILL_BATCH,
	FILL_SYNC
} FillKind;

static void
op_fill(Result *r, FillKind kind, uint64_t n, uint64_t batch)
{
	char key[BENCH_KEY];
	uint64_t i, before, now;
	Start s;

	stop_debt();
	start(&s);
	before = bench_ticks();
	for (i = 0; i < n; i++)
	{
		const char *value = bench_value(i);

		if (kind == FILL_SEQ)
			bench_seq_key(i, key);
		else
			bench_key(i, key);
		if (kind == FILL_BATCH)
		{
			engine_batch_add(session, key, value);
			if ((i + 1) % batch != 0 && i + 1 < n)
				continue;
			engine_batch_commit(session);
		}
		else if (kind == FILL_SYNC)
			engine_put_sync(session, key, value);
		else
			engine_put(session, key, value);
		now = bench_ticks();
		hist_add(&hist, now - before);
		before = now;
	}
	stop(&s, r, n);
	written_rows = n;
	user_bytes += n * (BENCH_KEY + BENCH_VALUE);
	start_debt(&s);
}

static void
op_overwrite(Result *r, uint64_t n, bool delete)
{
	uint64_t state = seed * 7919 + (delete ? 2 : 1), i, before, now;
	char key[BENCH_KEY];
	Start s;

	stop_debt();
	start(&s);
	before = bench_ticks();
	for (i = 0; i < n; i++)
	{
		bench_key(bench_random(&state) % config.n, key);
		if (delete)
			engine_delete(session, key);
		else
			engine_put(session, key, bench_value(i + 1));
		now = bench_ticks();
		hist_add(&hist, now - before);
		before = now;
	}
	stop(&s, r, n);
	start_debt(&s);
}

/* ---- reading */

static uint64_t
read_some(Session *with, Hist *h, uint64_t state, uint64_t n, uint64_t first)
{
	char key[BENCH_KEY];
	uint64_t i, found = 0, sum = 0, before = bench_ticks(), now;

	for (i = 0; i < n; i++)
	{
		bench_key(first + bench_random(&state) % config.n, key);
		found += engine_get(with, key, &sum);
		now = bench_ticks();
		if (h != NULL)
			hist_add(h, now - before);
		before = now;
	}
	sink += sum;
	return found;
}

static void
op_read(Result *r, const char *name, uint64_t n, bool missing, uint64_t salt)
{
	uint64_t found;
	Start s;

	start(&s);
	found = read_some(session, &hist, seed * 104729 + salt, n,
					  missing ? config.n : 0);
	stop(&s, r, n);
	debt.reads_cpu += r->own_cpu;
	expect(name, found, missing ? 0 : n);
}

static void
op_multiget(Result *r, uint64_t n, unsigned keys_per_call)
{
	uint64_t state = seed * 1299709, i, found = 0, sum = 0, before, now;
	char keys[BENCH_MULTI * BENCH_KEY];
	unsigned k;
	Start s;

	if (keys_per_call > BENCH_MULTI)
		keys_per_call = BENCH_MULTI;
	start(&s);
	before = bench_ticks();
	for (i = 0; i < n; i += keys_per_call)
	{
		for (k = 0; k < keys_per_call; k++)
			bench_key(bench_random(&state) % config.n, keys + k * BENCH_KEY);
		found += engine_multiget(session, keys, keys_per_call, &sum);
		now = bench_ticks();
		hist_add(&hist, now - before);
		before = now;
	}
	stop(&s, r, i);
	sink += sum;
	expect("multiget", found, i);
}

static void
op_seek(Result *r, uint64_t n, uint64_t rows)
{
	uint64_t state = seed * 15485863 + rows, i, sum = 0, before, now;
	uint64_t read = 0;
	char key[BENCH_KEY];
	Start s;

	start(&s);
	before = bench_ticks();
	for (i = 0; i < n; i++)
	{
		bench_key(bench_random(&state) % config.n, key);
		read += engine_scan(session, key, false, rows, &sum);
		now = bench_ticks();
		hist_add(&hist, now - before);
		before = now;
	}
	stop(&s, r, n);
	sink += sum;
	/* a few seeks may come near the end */
	if (read < n * rows - n * rows / 100)
		expect("seek", read, n * rows);
}

static void
op_scan(Result *r, bool reverse)
{
	uint64_t sum = 0, rows;
	Start s;

	start(&s);
	rows = engine_scan(session, NULL, reverse, UINT64_MAX, &sum);
	stop(&s, r, rows);
	sink += sum;
	expect(reverse ? "readreverse" : "readseq", rows, config.n);
}

/* ---- several threads */

typedef struct Worker
{
	pthread_t thread;
	uint64_t n, state, found, done;
	double rate; /* of a writer, per second; 0: as fast as it goes */
} Worker;

static _Atomic bool stop_writer;

static void *
run_reader(void *arg)
{
	Worker *w = arg;
	Session *own = session_open();

	w->found = read_some(own, NULL, w->state, w->n, 0);
	session_close(own);
	return NULL;
}

static void
op_read_threads(Result *r, uint64_t n, unsigned threads)
{
	Worker w[16] = {0};
	uint64_t found = 0;
	unsigned i;
	Start s;

	if (threads > 16)
		threads = 16;
	start(&s);
	for (i = 0; i < threads; i++)
	{
		w[i].n = n;
		w[i].state = seed * 32452843 + i;
		if (pthread_create(&w[i].thread, NULL, run_reader, &w[i]) != 0)
			bench_die("readmt", "no thread");
	}
	for (i = 0; i < threads; i++)
	{
		(void) pthread_join(w[i].thread, NULL);
		found += w[i].found;
	}
	stop(&s, r, n * threads);
	r->own_cpu = 0;
	expect("readmt", found, n * threads);
}

static void *
run_writer(void *arg)
{
	Worker *w = arg;
	Session *own = session_open();
	char key[BENCH_KEY];
	double begin = bench_now();

	while (!atomic_load_explicit(&stop_writer, memory_order_relaxed))
	{
		if (w->rate > 0 && (double) w->done >= (bench_now() - begin) * w->rate)
		{
			nap(0.001);
			continue;
		}
		bench_key(bench_random(&w->state) % config.n, key);
		engine_put(own, key, bench_value(w->done++));
	}
	session_close(own);
	return NULL;
}

static void
op_read_while_writing(Result *r, double seconds, double rate)
{
	Worker w = {0};
	uint64_t state = seed * 49979687, sum = 0, n = 0, before, now;
	char key[BENCH_KEY];
	Start s;

	stop_debt();
	w.rate = rate;
	w.state = seed * 67867967;
	atomic_store(&stop_writer, false);
	if (pthread_create(&w.thread, NULL, run_writer, &w) != 0)
		bench_die("readwhilewriting", "no thread");
	start(&s);
	before = bench_ticks();
	for (;;)
	{
		if (n % 64 == 0 && bench_now() - s.time >= seconds)
			break;
		bench_key(bench_random(&state) % config.n, key);
		if (!engine_get(session, key, &sum))
			bench_die("readwhilewriting", "a row is missing");
		now = bench_ticks();
		hist_add(&hist, now - before);
		before = now;
		n++;
	}
	stop(&s, r, n);
	atomic_store(&stop_writer, true);
	(void) pthread_join(w.thread, NULL);
	r->other_ops = (double) w.done / r->seconds;
	r->own_cpu = 0;
	sink += sum;
	start_debt(&s);
}

static void
op_compact(Result *r)
{
	Start s;

	stop_debt();
	start(&s);
	engine_compact();
	stop(&s, r, written_rows);
	nap(0.5); /* what nobody needs is removed before it is counted */
	r->own_cpu = 0;
}

/* ---- one line a workload */

static void
print_header(void)
{
	printf("engine\tvariant\tcompress\tseed\tn\top\tpart\tops\tseconds\tops_"
		   "s\t"
		   "cpu_us_op\town_cpu_s\tp50_us\tp99_us\tp999_us\tmax_us\t"
		   "written\tuser_bytes\tdisk\trss_kb\tpeak_kb\tother_ops_s\n");
}

static void
print_row(const char *op, const Result *r)
{
	uint64_t rss, peak;
	double ops = r->ops > 0 ? (double) r->ops : 1;

	bench_memory(&rss, &peak);
	printf("%s\t%s\t%s\t%llu\t%llu\t%s\t%d\t%llu\t%.4f\t%.1f\t%.4f\t%.4f\t%."
		   "2f\t"
		   "%.2f\t%.2f\t%.1f\t%llu\t%llu\t%llu\t%llu\t%llu\t%.0f\n",
		   engine_name, config.variant, compression_names[config.compress],
		   (unsigned long long) seed, (unsigned long long) config.n, op, part,
		   (unsigned long long) r->ops, r->seconds,
		   r->seconds > 0 ? (double) r->ops / r->seconds : 0,
		   r->cpu * 1e6 / ops, r->own_cpu, hist_percentile_us(&hist, 0.5),
		   hist_percentile_us(&hist, 0.99), hist_percentile_us(&hist, 0.999),
		   bench_ticks_to_us(hist.max), (unsigned long long) r->written,
		   (unsigned long long) user_bytes,
		   (unsigned long long) bench_disk(config.dir),
		   (unsigned long long) rss, (unsigned long long) peak, r->other_ops);
	fflush(stdout);
}

/* The number after the k-th colon, or what there is without it. */
static uint64_t
argument(const char *op, int k, uint64_t otherwise)
{
	for (; k > 0 && op != NULL; k--)
	{
		op = strchr(op, ':');
		if (op != NULL)
			op++;
	}
	return op != NULL && *op != ':' && *op != '\0' ? strtoull(op, NULL, 10)
												   : otherwise;
}

static bool
is(const char *op, const char *name)
{
	size_t len = strlen(name);

	return strncmp(op, name, len) == 0 && (op[len] == ':' || op[len] == '\0');
}

/* The fill and what its background still had to do, as one figure. */
static void
print_fill_and_settle(uint64_t rows, double seconds, double cpu,
					  uint64_t written)
{
	Result r = {0};
	char name[64];

	r.ops = rows;
	r.seconds = seconds;
	r.cpu = cpu;
	r.written = written;
	hist_reset(&hist);
	(void) snprintf(name, sizeof(name), "%s+settle", last_fill);
	print_row(name, &r);
}

static void
dispatch(const char *op, Result *r)
{
	if (is(op, "fillrandom"))
		op_fill(r, FILL_RANDOM, argument(op, 1, config.n), 1);
	else if (is(op, "fillseq"))
		op_fill(r, FILL_SEQ, argument(op, 1, config.n), 1);
	else if (is(op, "fillbatch"))
		op_fill(r, FILL_BATCH, argument(op, 1, config.n),
				argument(op, 2, 1000));
	else if (is(op, "fillsync"))
		op_fill(r, FILL_SYNC, argument(op, 1, 8000), 1);
	else if (is(op, "settle"))
		op_settle(r);
	else if (is(op, "overwrite"))
		op_overwrite(r, argument(op, 1, 1000000), false);
	else if (is(op, "deleterandom"))
		op_overwrite(r, argument(op, 1, 500000), true);
	else if (is(op, "fresh"))
		op_read(r, op, argument(op, 1, 500000), false, 1);
	else if (is(op, "readcold"))
		op_read(r, op, argument(op, 1, 1000000), false, 2);
	else if (is(op, "readwarm"))
		op_read(r, op, argument(op, 1, 1000000), false, 3);
	else if (is(op, "readmissing"))
		op_read(r, op, argument(op, 1, 1000000), true, 4);
	else if (is(op, "multiget"))
		op_multiget(r, argument(op, 1, 1000000),
					(unsigned) argument(op, 2, BENCH_MULTI));
	else if (is(op, "seek"))
		op_seek(r, argument(op, 1, 200000), argument(op, 2, 10));
	else if (is(op, "readseq"))
		op_scan(r, false);
	else if (is(op, "readreverse"))
		op_scan(r, true);
	else if (is(op, "readrandom_2t"))
		op_read_threads(r, argument(op, 1, 1000000),
						(unsigned) argument(op, 2, 2));
	else if (is(op, "readwhilewriting"))
		op_read_while_writing(r, (double) argument(op, 1, 4),
							  (double) argument(op, 2, 0));
	else if (is(op, "compact"))
		op_compact(r);
	else
		bench_die(op, "no such operation");
}

/* What may be done again and finds things as they were. */
static bool
repeats(const char *op)
{
	return is(op, "readwarm") || is(op, "readmissing") || is(op, "multiget") ||
		   is(op, "seek") || is(op, "readseq") || is(op, "readreverse");
}

static void
run(const char *op)
{
	static uint64_t wchar_at_start;
	Result r = {0};
	char name[64];
	bool again;

	(void) snprintf(name, sizeof(name), "%s", op);
	if (is(op, "seek"))
		(void) snprintf(name, sizeof(name), "seek%llu",
						(unsigned long long) argument(op, 2, 10));
	else if (is(op, "readwhilewriting"))
		(void) snprintf(name, sizeof(name), "readwhilewriting%s",
						argument(op, 2, 0) > 0 ? "" : "_free");
	else
		name[strcspn(name, ":")] = '\0';

	if (strncmp(op, "fill", 4) == 0)
	{
		wchar_at_start = bench_wchar();
		(void) snprintf(last_fill, sizeof(last_fill), "%.*s",
						(int) strcspn(op, ":"), op);
	}
	for (part = 1; part <= MAX_PARTS; part++)
	{
		dispatch(op, &r);
		again = repeats(op) && r.seconds > MAX_WAITED * r.own_cpu;
		print_row(name, &r);
		if (!again)
			break;
	}
	part = 1;
	if (is(op, "settle"))
		print_fill_and_settle(written_rows,
							  debt.fill_end - debt.fill_start + r.seconds,
							  bench_process_cpu() - debt.fill_cpu -
								  debt.reads_cpu,
							  bench_wchar() - wchar_at_start);
}

static int
compression(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(compression_names) / sizeof(char *); i++)
		if (strcmp(name, compression_names[i]) == 0)
			return (int) i;
	bench_die(name, "no such compression");
}

int
main(int argc, char **argv)
{
	int i;

	if (argc == 2 && strcmp(argv[1], "header") == 0)
	{
		print_header();
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "describe") == 0)
	{
		engine_describe(stdout);
		return 0;
	}
	if (argc < 7)
		bench_die("usage", "DIR SEED N COMPRESS VARIANT OP...");
	config.dir = argv[1];
	seed = strtoull(argv[2], NULL, 10);
	config.n = strtoull(argv[3], NULL, 10);
	config.compress = compression(argv[4]);
	config.variant = argv[5];
	if (mkdir(config.dir, 0700) != 0)
		bench_die(config.dir, "cannot be made, or is there already");
	bench_data_init(seed);
	(void) bench_ticks_to_us(0);
	engine_open(&config);
	session = session_open();
	for (i = 6; i < argc; i++)
		run(argv[i]);
	stop_debt();
	engine_counters(stderr);
	session_close(session);
	engine_close();
	return 0;
}
