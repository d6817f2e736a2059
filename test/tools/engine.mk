# SPDX-License-Identifier: PostgreSQL
#
# Builds the engine without PostgreSQL, for unit tests, the simulator and
# fuzzing.  Called by unit.sh, sim.sh and fuzz.sh in the top directory:
#
#   make -f test/tools/engine.mk VARIANT=unit|asan|tsan|sim|cov|fuzz programs
#   make -f test/tools/engine.mk VARIANT=sim BUG=name programs
#
# Everything it makes lies in .build/$(VARIANT).  With BUG, only the sources
# that mention this bug are compiled again; the rest is the simulator's.

CC_unit := gcc
FLAGS_unit := -O2 -g
CC_asan := clang
FLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined
CC_tsan := clang
FLAGS_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
CC_sim := gcc
FLAGS_sim := -O2 -g
# optimised code has no lines to speak of; planted bugs are left out
CC_cov := gcc
FLAGS_cov := -O0 -g --coverage -fprofile-abs-path
CC_fuzz := clang
FLAGS_fuzz := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined
SAN_fuzz := address,undefined

CC := $(CC_$(VARIANT))
CFLAGS := -std=c11 -D_GNU_SOURCE -Wall -Wextra -Wmissing-prototypes \
	-Wdeclaration-after-statement -fno-strict-aliasing \
	-DKV_DEBUG -DKVLSM_TESTING -Isrc -I. -Itest/unit -Itest/sim -Itest/fuzz \
	$(FLAGS_$(VARIANT))
ifeq ($(CI),true)
CFLAGS += -Werror
endif
LIBS := -lxxhash -llz4

ENGINE := $(wildcard src/engine/*.c src/engine/*/*.c)
SUPPORT := $(filter-out %_test.c,$(wildcard test/unit/*.c)) \
	$(filter-out %/sim.c,$(wildcard test/sim/*.c))
ifneq ($(filter sim cov,$(VARIANT)),)
SUPPORT := $(filter-out %/sim.c,$(wildcard test/sim/*.c))
endif
ifeq ($(VARIANT),fuzz)
# libFuzzer brings its own main(); see test/fuzz/fuzz.h for the checksums
SUPPORT := $(wildcard test/sim/env_sim*.c) \
	$(filter-out %_fuzz.c,$(wildcard test/fuzz/*.c))
endif
MAIN_unit := $(wildcard test/unit/*_test.c)
MAIN_asan := $(MAIN_unit)
# those with threads
MAIN_tsan := $(shell grep -l pthread.h $(MAIN_unit))
MAIN_sim := test/sim/sim.c
MAIN_cov := test/sim/sim.c
MAIN_fuzz := $(wildcard test/fuzz/*_fuzz.c)
MAIN := $(MAIN_$(VARIANT))

B := .build/$(VARIANT)
D := $(B)$(if $(BUG),/bug-$(BUG))
SHARED := $(ENGINE) $(SUPPORT)
objects = $(patsubst %.c,$(2)/obj/%.o,$(1))

ifdef BUG
CFLAGS += -DKVLSM_BUG=$(BUG) -DKVLSM_BUG_$(BUG)
PLANTED := $(shell grep -lF 'KV_BUG($(BUG))' $(SHARED) $(MAIN))
ifneq ($(shell grep -rlE 'KV(LSM)?_BUG' src/engine test/unit test/sim \
	--include='*.h' | grep -v /check.h),)
PLANTED := $(SHARED) $(MAIN)
endif
endif
OBJS := $(call objects,$(PLANTED),$(D)) \
	$(call objects,$(filter-out $(PLANTED),$(SHARED) $(MAIN)),$(B))
MAIN_OBJS := $(filter $(patsubst %.c,%.o,$(addprefix %/,$(MAIN))),$(OBJS))
PROGRAMS := $(patsubst %.c,$(D)/%,$(notdir $(MAIN)))
ifdef ONLY
PROGRAMS := $(filter $(addprefix $(D)/,$(ONLY) $(ONLY)_test),$(PROGRAMS))
endif

.PHONY: programs list
.SECONDARY:
programs: $(PROGRAMS)
list:
	@printf '%s\n' $(PROGRAMS)

ifeq ($(VARIANT),fuzz)
CFLAGS += -fsanitize=fuzzer-no-link,$(SAN_fuzz)
LDFLAGS := -fsanitize=fuzzer,$(SAN_fuzz) -Wl,--wrap=kv_checksum
endif

# An archive, so that a test of one module links while another is unfinished.
$(D)/engine.a: $(filter-out $(MAIN_OBJS),$(OBJS))
	@rm -f $@
	@ar rcs $@ $(filter %.o,$^)

define program
$(D)/$(notdir $(1:.o=)): $(1) $(D)/engine.a
	@$$(CC) $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LIBS)
endef
$(foreach m,$(MAIN_OBJS),$(eval $(call program,$(m))))

# The list of sources and the flags are prerequisites too: a source that
# went away must not live on in a program.
$(shell mkdir -p $(D); printf '%s\n' '$(CC) $(CFLAGS) $(OBJS)' | \
	cmp -s - $(D)/flags || \
	printf '%s\n' '$(CC) $(CFLAGS) $(OBJS)' >$(D)/flags)
$(D)/engine.a $(filter $(D)/%,$(OBJS)): $(D)/flags

$(D)/obj/%.o: %.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(shell find $(D)/obj $(B)/obj -name '*.d' 2>/dev/null)
