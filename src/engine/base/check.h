/* SPDX-License-Identifier: PostgreSQL */
/*
 * check.h - assertions about the engine's own logic, and planted bugs.
 *
 * KV_ASSERT is never about bytes from disk or about arguments that come from
 * users: those have statuses.  KV_DEBUG builds (unit tests, simulator,
 * ASSERTS=1) trap.
 *
 * KV_BUG(name) is false unless the simulator is built with
 * -DKVLSM_BUG_<name>: it plants a mistake that the simulator has to find,
 * which is how we know that it would find one of ours.
 */
#ifndef KV_CHECK_H
#define KV_CHECK_H

#ifdef KV_DEBUG
#define KV_ASSERT(cond) ((cond) ? (void) 0 : __builtin_trap())
#else
#define KV_ASSERT(cond) ((void) sizeof(cond))
#endif

/* A macro defined as 1 turns into a comma that shifts the 1 into place. */
#define KV_BUG_COMMA_1				   0,
#define KV_BUG_SECOND(ignored, v, ...) v
#define KV_BUG_PICK(shifted)		   KV_BUG_SECOND(shifted 1, 0, 0)
#define KV_BUG_JOIN(v)				   KV_BUG_PICK(KV_BUG_COMMA_##v)
#define KV_BUG_EXPAND(v)			   KV_BUG_JOIN(v)
#define KV_BUG(name)				   KV_BUG_EXPAND(KVLSM_BUG_##name)

#endif /* KV_CHECK_H */
