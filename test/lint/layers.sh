#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Includes point down only:
#
#   pg -> engine/kv_engine.h, engine/kv_env.h -> lsm -> {sst, wal, mem} -> base
#
# and the engine does no I/O, allocation, waiting or ending of the process by
# itself: it asks its environment (kv_env.h).

set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0

complain() {
	printf '%s\n' "$*"
	bad=1
}

# Project headers are written with their path below src.
allowed() {
	case $1:$2 in
		pg:pg/* | pg:engine/kv_engine.h | pg:engine/kv_env.h) ;;
		base:engine/base/* | base:engine/kv_env.h) ;;
		wal:engine/wal/* | wal:engine/base/* | wal:engine/kv_env.h) ;;
		mem:engine/mem/* | mem:engine/base/* | mem:engine/kv_env.h) ;;
		sst:engine/sst/* | sst:engine/base/* | sst:engine/kv_env.h) ;;
		lsm:engine/*) ;;
		engine:engine/base/* | engine:engine/kv_env.h) ;;
		*) return 1 ;;
	esac
}

while IFS=: read -r file line text; do
	layer=${file#src/}
	case $layer in
		pg/*) layer=pg ;;
		engine/*/*) layer=${layer#engine/} layer=${layer%%/*} ;;
		engine/*) layer=engine ;;
	esac
	inc=${text#*[<\"]}
	inc=${inc%%[>\"]*}
	if [ -e "src/$inc" ]; then
		allowed "$layer" "$inc" ||
			complain "$file:$line: $layer must not include $inc"
	elif [ "$layer" = pg ] && [ -e "src/pg/$inc" ]; then
		:
	elif [ -e "${file%/*}/$inc" ]; then
		complain "$file:$line: write $inc with its path below src"
	elif [ "$layer" != pg ]; then
		case $inc in
			stdint.h | stddef.h | stdbool.h | stdatomic.h | stdalign.h | \
				stdarg.h | limits.h | string.h | inttypes.h | assert.h | \
				xxhash.h | lz4.h) ;;
			stdio.h) ;; # snprintf; the functions that do I/O are looked for below
			immintrin.h | emmintrin.h) ;;
			*) complain "$file:$line: the engine must not include $inc" ;;
		esac
	fi
done < <(grep -rnE '^[ 	]*#[ 	]*include' src --include='*.[ch]' \
	--include='*.def')

# Comments and strings out, then calls of what only the environment may do.
# A name after "->" or "." is one of the environment's callbacks.
forbidden='open|openat|creat|fopen|close|read|pread|preadv|write|pwrite|pwritev|
fsync|fdatasync|sync_file_range|ftruncate|rename|unlink|link|mkdir|rmdir|opendir|
readdir|stat|fstat|mmap|munmap|msync|malloc|calloc|realloc|free|strdup|alloca|
printf|fprintf|vprintf|puts|fputs|perror|scanf|time|clock|gettimeofday|
clock_gettime|sleep|usleep|nanosleep|poll|select|abort|exit|_exit|raise|signal|
getenv|rand|srand|random|fork|setlocale|longjmp|setjmp|strtok|
elog|ereport|palloc|pfree|LWLockAcquire'
forbidden=$(printf '%s' "$forbidden" | tr -d '\n')
files=$(find src/engine -name '*.[ch]' 2>/dev/null)
if [ -n "$files" ]; then
	# shellcheck disable=SC2086
	calls=$(perl test/lint/code_only.pl $files |
		names=$forbidden perl -ne '
			print if /(?<![\w.>])(?:$ENV{names})\s*\(/')
	if [ -n "$calls" ]; then
		complain "the engine must ask its environment instead:"
		printf '%s\n' "$calls"
	fi
	for d in utils storage access catalog lib common port; do
		[ ! -d "src/$d" ] || complain "src/$d would shadow PostgreSQL's"
	done
fi
exit $bad
