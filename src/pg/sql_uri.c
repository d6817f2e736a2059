/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_uri.c - kvlsm_uridecode: a percent-encoded path segment to text.
 *
 * Strict, because what comes out is a key: %XX with two hexadecimal digits
 * and nothing else is decoded, a plus sign is a plus sign, and the result
 * must be text (no zero byte, valid in the database's encoding).
 */
#include "kvlsm.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(kvlsm_sql_uridecode);

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static void
bad_text(const char *why)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid percent-encoding"), errdetail("%s", why)));
}

Datum
kvlsm_sql_uridecode(PG_FUNCTION_ARGS)
{
	text *in = PG_GETARG_TEXT_PP(0);
	const char *p = VARDATA_ANY(in);
	const char *end = p + VARSIZE_ANY_EXHDR(in);
	text *out = palloc(VARHDRSZ + (end - p));
	char *q = VARDATA(out);

	while (p < end)
	{
		int high;
		int low;

		if (*p != '%')
		{
			*q++ = *p++;
			continue;
		}
		if (end - p < 3)
			bad_text("A percent sign must be followed by two hexadecimal "
					 "digits.");
		high = hex_digit(p[1]);
		low = hex_digit(p[2]);
		if (high < 0 || low < 0)
			bad_text("A percent sign must be followed by two hexadecimal "
					 "digits.");
		if (high == 0 && low == 0)
			bad_text("%00 is not allowed in text.");
		*q++ = (char) (high << 4 | low);
		p += 3;
	}
	SET_VARSIZE(out, q - (char *) out);
	if (!pg_verifymbstr(VARDATA(out), q - VARDATA(out), true))
		bad_text("The decoded bytes are not text in the database's "
				 "encoding.");
	PG_RETURN_TEXT_P(out);
}
