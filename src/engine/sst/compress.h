/* SPDX-License-Identifier: PostgreSQL */
/*
 * compress.h - block payloads through LZ4.
 *
 * The only file of sst/ that knows the library.  Allocates nothing: the
 * caller supplies the memory.
 */
#ifndef KV_COMPRESS_H
#define KV_COMPRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Memory that kv_compress works in; contents do not matter. */
size_t kv_compress_state_bytes(void);
/* Room that dst needs: compression is refused if it saves less than 1/8. */
size_t kv_compress_room(size_t len);
/* Bytes put into dst, or 0: store the payload as it is. */
size_t kv_compress(void *state, const char *src, size_t len, char *dst);
/* true: exactly raw_len bytes came out; never writes more */
bool kv_decompress(const char *src, size_t len, char *dst, size_t raw_len);

#endif /* KV_COMPRESS_H */
