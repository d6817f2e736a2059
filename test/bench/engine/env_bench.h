/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_bench.h - a lean KvEnv over a real folder, for the benchmark.
 *
 * As test/unit/env_posix.h, without its checks and counters, and with kicks
 * that wake.  Any number of threads may share one.
 */
#ifndef ENV_BENCH_H
#define ENV_BENCH_H

#include "engine/kv_env.h"

/* Ends the program when the folder cannot be opened. */
KvEnv *bench_env_open(const char *dir);
void bench_env_close(KvEnv *env);
/* Until kick(whom), or seconds; a kick that nobody waited for is kept. */
void bench_env_wait(KvEnv *env, KvKick whom, double seconds);

#endif /* ENV_BENCH_H */
