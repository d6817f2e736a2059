/* SPDX-License-Identifier: PostgreSQL */
/*
 * check.h - assertions about the engine's own logic.
 *
 * Never about bytes from disk or about arguments that come from users: those
 * have statuses.  KV_DEBUG builds (unit tests, simulator, ASSERTS=1) trap.
 */
#ifndef KV_CHECK_H
#define KV_CHECK_H

#ifdef KV_DEBUG
#define KV_ASSERT(cond) ((cond) ? (void) 0 : __builtin_trap())
#else
#define KV_ASSERT(cond) ((void) sizeof(cond))
#endif

#endif /* KV_CHECK_H */
