# SPDX-License-Identifier: PostgreSQL
#
# Building, installing and testing kvlsm: a plain PGXS makefile, with one
# twist.  PGXS defines a "check" of its own that only prints a refusal, and
# on a fresh machine there is no PGXS yet.  So the goals that developers use
# are handled in the first half, without reading PGXS; any other goal is
# PostgreSQL's.  "make help" lists them.

PG_CONFIG ?= pg_config

BENCH_GOALS := $(patsubst test/bench/%.sh,%,$(wildcard test/bench/bench-*.sh))
DEV_GOALS := help deps tree format format-check lint unit unit-asan unit-tsan \
	sim bugs coverage fuzz check-sql check-iso check-tap check-http check-orm \
	check-fast check check-long demo demo-stop $(BENCH_GOALS)

ifneq ($(filter $(DEV_GOALS),$(MAKECMDGOALS)),)

# ---- Developers' goals -----------------------------------------------------

.NOTPARALLEL:
.PHONY: $(DEV_GOALS)

# What a caller may narrow a run down with.
export PG_CONFIG REGRESS ISOLATION PROVE_TESTS UNIT

RUN := test/tools/run.sh
BASH_RUN := bash $(RUN)

help:
	@sed -n 's/^#help //p' Makefile

#help make               build kvlsm.so (ASSERTS=1: assertions; TESTING=1: stop
#help                    points; PG_CONFIG=path: which PostgreSQL)
#help make install       install into the server that PG_CONFIG names
#help make installcheck  regression tests on a running server that preloads kvlsm
#help make demo          everything from nothing: install, build, load, query
#help make demo-stop     stop what the demonstration left running
#help make check         all tests, private clusters, under 10 minutes
#help make check-fast    lint, unit, check-sql, check-iso: 2 minutes
#help make check-long    the long forms of all tests
#help make lint          layers, names, documents, format ledger, formatting
#help make format        apply clang-format;  make format-check only looks
#help make unit          engine unit tests (UNIT=name);  unit-asan,
#help                    unit-tsan with sanitizers
#help make sim           crash simulator;  make bugs: it must find planted bugs
#help make coverage      what the simulator reaches of the engine
#help make fuzz          fuzz targets, seconds each
#help make check-sql     pg_regress (REGRESS=name);  check-iso (ISOLATION=name)
#help make check-tap     restart and crash tests (PROVE_TESTS=test/t/001_x.pl)
#help make check-http    through nginx and PostgREST;  check-orm: ORMs
#help make bench-sql     beside a heap table (BENCH_N=rows BENCH_SECONDS=a point)
#help make bench-http    the same over HTTP (BENCH_SECONDS=a turn)
#help make bench-engine  beside RocksDB, LevelDB, LMDB (BENCH_N=rows)
#help make bench-memtable  the memtable beside a skip list
#help make tree          private installation in .build/install
#help make deps          install what building and testing need
#help make clean         remove what was built

deps:
	@bash test/tools/deps.sh check

tree:
	@bash -c '. test/tools/lib.sh && kv_make_install .build/install'

format format-check:
	@bash test/lint/format.sh $@

lint unit unit-asan unit-tsan sim bugs fuzz:
	@$(BASH_RUN) $@

check-sql check-iso check-tap check-http check-orm:
	@$(BASH_RUN) $(@:check-%=%)

coverage:
	@bash test/tools/coverage.sh

check-fast:
	@$(BASH_RUN) lint unit sql iso

check:
	@bash test/tools/deps.sh check
	@$(BASH_RUN) all

check-long:
	@bash test/tools/deps.sh check
	@KV_LONG=1 $(BASH_RUN) all

demo:
	@bash test/demo/demo.sh start

demo-stop:
	@bash test/demo/demo.sh stop

$(BENCH_GOALS):
	@bash test/bench/$@.sh

# Goals of the second half that were asked for in the same command.
OTHER_GOALS := $(filter-out $(DEV_GOALS),$(MAKECMDGOALS))
ifneq ($(OTHER_GOALS),)
.PHONY: $(OTHER_GOALS)
$(OTHER_GOALS):
	@$(MAKE) --no-print-directory $@
endif

else

# ---- PostgreSQL's goals ----------------------------------------------------

MODULE_big = kvlsm
EXTENSION = kvlsm
PGFILEDESC = "kvlsm - log-structured key-value store"

KV_DIR := $(patsubst %/,%,$(dir $(firstword $(MAKEFILE_LIST))))
KV_FIND = $(patsubst $(KV_DIR)/%,%,$(wildcard $(addprefix $(KV_DIR)/,$(1))))

DATA = $(call KV_FIND,sql/kvlsm*.sql)
KV_SOURCES := $(call KV_FIND,src/engine/*.c src/engine/*/*.c src/pg/*.c)
KV_HEADERS := $(wildcard $(addprefix $(KV_DIR)/src/, \
	engine/*.h engine/*/*.h engine/*/*.def pg/*.h pg/*.def))

# Objects do not lie beside the sources: several builds may share those.
KV_OBJ := .build/obj
OBJS = $(KV_SOURCES:%.c=$(KV_OBJ)/%.o)
SHLIB_LINK = -lxxhash -llz4

REGRESS ?= $(patsubst %.sql,%,$(notdir $(call KV_FIND,test/sql/*.sql)))
ISOLATION ?= $(patsubst %.spec,%,$(notdir $(call KV_FIND,test/specs/*.spec)))
# Inputs lie in test/, expected output in expected/: the output directory is
# searched first.  The extension is created before the first test.
REGRESS_OPTS = --inputdir=$(KV_DIR)/test --outputdir=. \
	--load-extension=kvlsm
ISOLATION_OPTS = $(REGRESS_OPTS)
EXTRA_CLEAN = $(filter-out .build/npm,$(wildcard .build/*)) \
	results output_iso log regression.diffs regression.out

# PGXS' bitcode would be compiled with flags of its own, for nothing.
override with_llvm := no

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error PostgreSQL's server headers were not found through \
"$(PG_CONFIG)"; run "make deps", or set PG_CONFIG)
endif
include $(PGXS)

KV_WARN := -Wall -Wextra
ifeq ($(CI),true)
KV_WARN += -Werror
endif
ifneq ($(filter-out 0,$(TESTING)),)
KV_TEST := -DKVLSM_TESTING
endif
ifneq ($(filter-out 0,$(ASSERTS)),)
KV_ASSERT_PG := -DUSE_ASSERT_CHECKING
KV_ASSERT_ENGINE := -DKV_DEBUG
endif

# The two layers are compiled as two programs would be: the engine never sees
# PostgreSQL's headers and exports nothing; PG_FUNCTION_INFO_V1 needs default
# visibility on PostgreSQL 15.
$(KV_OBJ)/src/engine/%.o: KV_FLAGS = $(CFLAGS) -std=c11 \
	-fvisibility=hidden $(KV_WARN) $(KV_TEST) $(KV_ASSERT_ENGINE) \
	-D_GNU_SOURCE -I$(KV_DIR)/src
$(KV_OBJ)/src/pg/%.o: KV_FLAGS = $(CFLAGS) -std=gnu11 \
	$(KV_WARN) -Wno-unused-parameter -Wno-sign-compare $(KV_TEST) \
	$(KV_ASSERT_PG) -I$(KV_DIR)/src $(CPPFLAGS)

$(KV_OBJ)/%.o: %.c
	@$(MKDIR_P) $(@D)
	$(CC) $(KV_FLAGS) -c -o $@ $<

# No compiler writes dependencies here, and 60 files compile in seconds: any
# header or flag that changes rebuilds everything.
KV_STAMP := .build/flags
KV_NOW := $(CC) $(CFLAGS) $(CPPFLAGS) $(KV_WARN) $(KV_TEST) $(KV_ASSERT_PG)
$(shell mkdir -p .build; printf '%s\n' '$(KV_NOW)' | \
	cmp -s - $(KV_STAMP) || printf '%s\n' '$(KV_NOW)' >$(KV_STAMP))
$(OBJS): $(KV_HEADERS) $(KV_STAMP)

endif
