/* SPDX-License-Identifier: PostgreSQL */
/*
 * measure.c - clocks, counters of the process, latency histograms.
 *
 * Reads the system; knows no engine.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

void
bench_die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", engine_name, what, why);
	exit(1);
}

static double
clock_seconds(clockid_t id)
{
	struct timespec ts;

	(void) clock_gettime(id, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

double
bench_now(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

double
bench_thread_cpu(void)
{
	return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

double
bench_process_cpu(void)
{
	return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t
bench_wchar(void)
{
	FILE *f = fopen("/proc/self/io", "r");
	unsigned long long value = 0;
	char line[128];

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "wchar: %llu", &value) == 1)
			break;
	(void) fclose(f);
	return value;
}

void
bench_memory(uint64_t *rss_kb, uint64_t *peak_kb)
{
	FILE *f = fopen("/proc/self/status", "r");
	unsigned long long value;
	char line[128];

	*rss_kb = *peak_kb = 0;
	if (f == NULL)
		return;
	while (fgets(line, sizeof(line), f) != NULL)
	{
		if (sscanf(line, "VmRSS: %llu", &value) == 1)
			*rss_kb = value;
		if (sscanf(line, "VmHWM: %llu", &value) == 1)
			*peak_kb = value;
	}
	(void) fclose(f);
}

uint64_t
bench_disk(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	struct stat st;
	uint64_t bytes = 0;

	if (d == NULL)
		return 0;
	while ((entry = readdir(d)) != NULL)
		if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISREG(st.st_mode))
			bytes += (uint64_t) st.st_blocks * 512;
	(void) closedir(d);
	return bytes;
}

/* ---- latencies */

uint64_t
bench_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	struct timespec ts;

	(void) clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * 1000000000u + (uint64_t) ts.tv_nsec;
#endif
}

double
bench_ticks_to_us(uint64_t ticks)
{
	static double per_us = 0;

	if (per_us == 0)
	{
		double start = bench_now();
		uint64_t from = bench_ticks();

		while (bench_now() - start < 0.05)
			;
		per_us = (double) (bench_ticks() - from) / (bench_now() - start) / 1e6;
	}
	return (double) ticks / per_us;
}

void
hist_reset(Hist *h)
{
	memset(h, 0, sizeof(*h));
}

/* Buckets grow with the value: 32 for each doubling. */
void
hist_add(Hist *h, uint64_t ticks)
{
	unsigned shift = 0, b;

	if (ticks >= HIST_SUB)
		shift = (unsigned) (63 - __builtin_clzll(ticks)) - 4;
	b = shift * (HIST_SUB / 2) + (unsigned) (ticks >> shift);
	h->bucket[b]++;
	h->count++;
	if (ticks > h->max)
		h->max = ticks;
}

double
hist_percentile_us(const Hist *h, double share)
{
	uint64_t want = (uint64_t) ((double) h->count * share), seen = 0;
	unsigned b;

	for (b = 0; b < 64 * HIST_SUB; b++)
	{
		seen += h->bucket[b];
		if (seen > want)
		{
			unsigned shift = b < HIST_SUB ? 0 : b / (HIST_SUB / 2) - 1;
			uint64_t low = (uint64_t) (b - shift * (HIST_SUB / 2)) << shift;

			return bench_ticks_to_us(low);
		}
	}
	return bench_ticks_to_us(h->max);
}
