/* SPDX-License-Identifier: PostgreSQL */
/*
 * data.c - the rows that every engine gets.
 *
 * Row i has a key that looks random and is distinct for every i; values come
 * from a pool of 1 MiB that compresses to about half.  Depends on the seed
 * and on nothing else, so all engines of a block see the same stream.
 */
#include <string.h>

#include "bench.h"

#define POOL_ROWS ((1 << 20) / BENCH_VALUE)

static char pool[POOL_ROWS][BENCH_VALUE];
static uint64_t key_base;

/* the finaliser of splitmix64 */
static uint64_t
mix64(uint64_t z)
{
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t
bench_random(uint64_t *state)
{
	*state += UINT64_C(0x9e3779b97f4a7c15);
	return mix64(*state);
}

/* 50 random printable bytes, twice; values start at multiples of 100. */
void
bench_data_init(uint64_t seed)
{
	uint64_t state = seed;
	size_t i, j;

	key_base = seed << 40;
	for (i = 0; i < POOL_ROWS; i++)
	{
		for (j = 0; j < BENCH_VALUE / 2; j++)
			pool[i][j] = (char) (' ' + bench_random(&state) % 95);
		memcpy(pool[i] + BENCH_VALUE / 2, pool[i], BENCH_VALUE / 2);
	}
}

void
bench_key(uint64_t i, char *key)
{
	uint64_t hi = __builtin_bswap64(mix64(i + key_base));
	uint64_t lo = __builtin_bswap64(mix64(i ^ UINT64_C(0xabcdef1234567)));

	memcpy(key, &hi, 8);
	memcpy(key + 8, &lo, 8);
}

void
bench_seq_key(uint64_t i, char *key)
{
	int digit;

	for (digit = BENCH_KEY - 1; digit >= 0; digit--, i /= 10)
		key[digit] = (char) ('0' + i % 10);
}

const char *
bench_value(uint64_t i)
{
	return pool[i % POOL_ROWS];
}
