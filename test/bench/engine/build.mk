# SPDX-License-Identifier: PostgreSQL
#
# Builds the programs of the engine benchmark, one for each engine, in
# .build/bench-engine.  Called by bench-engine.sh in the top directory:
#
#   make -f test/bench/engine/build.mk programs
#
# The engine is compiled as PGXS does it, -O2 without assertions, and never
# with the peers' libraries.

B := .build/bench-engine
S := test/bench/engine
CC := gcc
CFLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -fno-strict-aliasing \
	-Isrc -I$(S) $(EXTRA_CFLAGS)
# RocksDB's header of its version is C++.
ROCKSDB := $(shell awk '/define ROCKSDB_(MAJOR|MINOR|PATCH)/ {printf "%s%s", \
	s, $$3; s = "."}' /usr/include/rocksdb/version.h 2>/dev/null)
CFLAGS += -DROCKSDB_VERSION='"$(ROCKSDB)"'
PEERS := leveldb rocksdb lmdb
PROGRAMS := $(B)/bench-kvlsm $(PEERS:%=$(B)/bench-%)
ENGINE := $(wildcard src/engine/*/*.c)
object = $(1:%.c=$(B)/obj/%.o)
COMMON := $(call object,$(S)/ops.c $(S)/measure.c $(S)/data.c)

.PHONY: programs
.SECONDARY:
programs: $(PROGRAMS)

$(B)/bench-kvlsm: $(COMMON) $(call object,$(S)/engine_kvlsm.c \
	$(S)/env_bench.c $(ENGINE))
	@$(CC) $(CFLAGS) -o $@ $^ -lxxhash -llz4 -lpthread

$(PEERS:%=$(B)/bench-%): $(B)/bench-%: $(COMMON) $(B)/obj/$(S)/engine_%.o
	@$(CC) $(CFLAGS) -o $@ $^ -l$* -lpthread

$(shell mkdir -p $(B); printf '%s\n' "$(CC) $(subst ",,$(CFLAGS)) $(ENGINE)" | \
	cmp -s - $(B)/flags || \
	printf '%s\n' "$(CC) $(subst ",,$(CFLAGS)) $(ENGINE)" >$(B)/flags)

$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)
