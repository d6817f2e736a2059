/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_range.c - intervals of keys from conditions and their values.
 *
 * Works on bytes: equalities are encoded one after the other, bounds of the
 * next column behind them; a descending column turns the comparison round.
 * A comparison with NULL is never true.
 *
 * Called by the executor, and with constants by the planner, in backends.
 */
#include "fdw_cond.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "scan.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

/* What to do with a value that the column's type does not have. */
typedef enum Fit
{
	FIT_BELOW, /* less than all of them */
	FIT,
	FIT_ABOVE
} Fit;

typedef struct Value
{
	ExprState *state; /* NULL: a constant */
	Oid type;
	Datum datum;
	bool isnull;
	Fit fit;
} Value;

typedef struct Cond
{
	StrategyNumber strategy;
	int column;
	bool is_array;
	int n_values; /* of a row comparison: for consecutive columns */
	Value *values;
	/* of an array's type */
	int16 typlen;
	bool typbyval;
	char typalign;
} Cond;

struct KvlsmRanges
{
	const KvlsmLayout *layout;
	int n_conds;
	Cond *conds; /* equalities first, in the order of columns */
	int n_equal; /* columns */
};

static bool
init_value(Value *value, Expr *expr, Oid type, PlanState *parent)
{
	value->type = type;
	if (IsA(expr, Const))
	{
		value->datum = ((Const *) expr)->constvalue;
		value->isnull = ((Const *) expr)->constisnull;
	}
	else if (parent == NULL)
		return false;
	else
		value->state = ExecInitExpr(expr, parent);
	return true;
}

static bool
init_cond(Cond *cond, Expr *qual, List *plan, PlanState *parent)
{
	List *right;
	int i;

	cond->strategy = (StrategyNumber) linitial_int(plan);
	cond->column = lsecond_int(plan);
	cond->n_values = list_length(plan) - 2;
	cond->values = palloc0(cond->n_values * sizeof(Value));
	cond->is_array = IsA(qual, ScalarArrayOpExpr);
	if (IsA(qual, RowCompareExpr))
		right = ((RowCompareExpr *) qual)->rargs;
	else if (cond->is_array)
		right = list_make1(lsecond(((ScalarArrayOpExpr *) qual)->args));
	else
		right = list_make1(lsecond(((OpExpr *) qual)->args));
	for (i = 0; i < cond->n_values; i++)
		if (!init_value(&cond->values[i], list_nth(right, i),
						(Oid) list_nth_int(plan, i + 2), parent))
			return false;
	if (cond->is_array)
		get_typlenbyvalalign(cond->values[0].type, &cond->typlen,
							 &cond->typbyval, &cond->typalign);
	return true;
}

KvlsmRanges *
kvlsm_ranges_init(const KvlsmLayout *layout, List *quals, List *conds,
				  PlanState *parent)
{
	KvlsmRanges *ranges = palloc0(sizeof(KvlsmRanges));
	ListCell *lc_qual, *lc_cond;

	ranges->layout = layout;
	ranges->conds = palloc0(list_length(quals) * sizeof(Cond));
	forboth(lc_qual, quals, lc_cond, conds)
	{
		Cond *cond = &ranges->conds[ranges->n_conds++];

		if (!init_cond(cond, lfirst(lc_qual), lfirst(lc_cond), parent))
			return NULL;
		if (cond->strategy == BTEqualStrategyNumber)
			ranges->n_equal++;
	}
	return ranges;
}

static void
evaluate(Cond *cond, ExprContext *econtext)
{
	int i;

	for (i = 0; i < cond->n_values; i++)
	{
		Value *v = &cond->values[i];

		if (v->state != NULL)
			v->datum = ExecEvalExpr(v->state, econtext, &v->isnull);
	}
}

static int64
int_of(Oid type, Datum datum)
{
	switch (type)
	{
	case INT2OID:
		return DatumGetInt16(datum);
	case INT4OID:
		return DatumGetInt32(datum);
	default:
		return DatumGetInt64(datum);
	}
}

static Fit
fit_int(KvlsmKeyType type, Oid from, Datum *datum)
{
	int64 v = int_of(from, *datum);

	if (type == KVLSM_KEY_INT8)
		*datum = Int64GetDatum(v);
	else if (type == KVLSM_KEY_INT4)
	{
		if (v < PG_INT32_MIN || v > PG_INT32_MAX)
			return v < 0 ? FIT_BELOW : FIT_ABOVE;
		*datum = Int32GetDatum((int32) v);
	}
	else
	{
		if (v < PG_INT16_MIN || v > PG_INT16_MAX)
			return v < 0 ? FIT_BELOW : FIT_ABOVE;
		*datum = Int16GetDatum((int16) v);
	}
	return FIT;
}

/* Makes it a value of the column's type. */
static Fit
convert(KvlsmKeyType type, Oid from, Datum *datum)
{
	if (from == INT2OID || from == INT4OID || from == INT8OID)
		return fit_int(type, from, datum);
	if (type == KVLSM_KEY_FLOAT8 && from == FLOAT4OID)
		*datum = Float8GetDatum(DatumGetFloat4(*datum));
	return FIT;
}

/* ---- equalities: the beginnings that keys may have */

typedef struct Prefixes
{
	KvSlice *items;
	int n;
} Prefixes;

static KvSlice
keep(const KvlsmBytes *bytes)
{
	char *copy = MemoryContextAllocHuge(CurrentMemoryContext,
										bytes->slice.len + 1);

	memcpy(copy, bytes->slice.data, bytes->slice.len);
	return kv_slice(copy, bytes->slice.len);
}

static void
begin_with(KvlsmBytes *out, KvSlice prefix)
{
	kvlsm_bytes_begin(out);
	kvlsm_bytes_append(out, prefix.data, prefix.len);
}

static int
compare_slices(const void *a, const void *b)
{
	return kv_slice_compare(*(const KvSlice *) a, *(const KvSlice *) b);
}

static void
sort_unique(Prefixes *p)
{
	int i;
	int n = 0;

	qsort(p->items, p->n, sizeof(KvSlice), compare_slices);
	for (i = 0; i < p->n; i++)
		if (n == 0 || !kv_slice_equal(p->items[n - 1], p->items[i]))
			p->items[n++] = p->items[i];
	p->n = n;
}

/* Every beginning, continued with every value of an array. */
static void
add_array(const KvlsmLayout *layout, const Cond *cond, Prefixes *p)
{
	const Value *v = &cond->values[0];
	ArrayType *array = DatumGetArrayTypeP(v->datum);
	KvlsmKeyType type = layout->keys[cond->column].type;
	Prefixes longer = {NULL, 0};
	Datum *elements;
	bool *nulls;
	int n_elements;
	int i, j;

	deconstruct_array(array, ARR_ELEMTYPE(array), cond->typlen, cond->typbyval,
					  cond->typalign, &elements, &nulls, &n_elements);
	longer.items = MemoryContextAllocHuge(CurrentMemoryContext,
										  ((Size) p->n * n_elements + 1) *
											  sizeof(KvSlice));
	for (j = 0; j < n_elements; j++)
	{
		if (nulls[j] || convert(type, v->type, &elements[j]) != FIT)
			continue;
		for (i = 0; i < p->n; i++)
		{
			KvlsmBytes bytes;

			begin_with(&bytes, p->items[i]);
			kvlsm_key_add(&bytes, layout, cond->column, elements[j]);
			longer.items[longer.n++] = keep(&bytes);
		}
		CHECK_FOR_INTERRUPTS();
	}
	*p = longer;
	sort_unique(p);
}

static void
add_value(const KvlsmLayout *layout, const Cond *cond, Prefixes *p)
{
	const Value *v = &cond->values[0];
	Datum datum = v->datum;
	int i;

	if (convert(layout->keys[cond->column].type, v->type, &datum) != FIT)
	{
		p->n = 0;
		return;
	}
	for (i = 0; i < p->n; i++)
	{
		KvlsmBytes bytes;

		begin_with(&bytes, p->items[i]);
		kvlsm_key_add(&bytes, layout, cond->column, datum);
		p->items[i] = keep(&bytes);
	}
}

/* ---- ranges on the column after them */

/* The first key behind all that have these columns. */
static KvSlice
behind(const KvlsmLayout *layout, KvSlice bytes)
{
	char *buf = palloc(bytes.len + 1);

	if (layout->typed)
		return kvlsm_prefix_end(bytes, buf);
	/* a plain key has no end of its own: the next one is a byte longer */
	memcpy(buf, bytes.data, bytes.len);
	buf[bytes.len] = '\0';
	return kv_slice(buf, bytes.len + 1);
}

static StrategyNumber
turned(StrategyNumber strategy)
{
	return BTMaxStrategyNumber + 1 - strategy;
}

/* The bytes of a bound; false: no row satisfies it, or (*all) every row. */
static bool
bound_bytes(const KvlsmLayout *layout, const Cond *cond, KvSlice prefix,
			StrategyNumber *strategy, KvSlice *bytes, bool *all)
{
	KvlsmBytes out;
	int i;

	begin_with(&out, prefix);
	*all = false;
	for (i = 0; i < cond->n_values; i++)
	{
		const Value *v = &cond->values[i];
		int column = cond->column + i;
		Datum datum = v->datum;
		Fit fit;

		if (v->isnull && i == 0)
			return false;
		if (v->isnull)
		{
			/* decided by the columns before it, or not at all */
			*strategy = cond->strategy <= BTLessEqualStrategyNumber
							? BTLessStrategyNumber
							: BTGreaterStrategyNumber;
			break;
		}
		fit = convert(layout->keys[column].type, v->type, &datum);
		if (fit != FIT)
		{
			*all = (fit == FIT_ABOVE) ==
				   (cond->strategy <= BTLessEqualStrategyNumber);
			return false;
		}
		kvlsm_key_add(&out, layout, column, datum);
	}
	*bytes = keep(&out);
	return true;
}

/* Cuts the interval; false: nothing is left. */
static bool
apply_range(const KvlsmLayout *layout, const Cond *cond, KvSlice prefix,
			KvlsmKeyRange *range)
{
	StrategyNumber strategy = cond->strategy;
	KvSlice bytes;
	bool all;

	if (!bound_bytes(layout, cond, prefix, &strategy, &bytes, &all))
		return all;
	if (layout->keys[cond->column].descending)
		strategy = turned(strategy);
	if (strategy == BTGreaterStrategyNumber ||
		strategy == BTLessEqualStrategyNumber)
		bytes = behind(layout, bytes);
	if (strategy >= BTGreaterEqualStrategyNumber)
	{
		if (kv_slice_compare(bytes, range->lower) > 0)
			range->lower = bytes;
	}
	else if (kv_slice_compare(bytes, range->upper) < 0)
		range->upper = bytes;
	return kv_slice_compare(range->lower, range->upper) < 0;
}

static bool
any_is_null(const KvlsmRanges *ranges)
{
	int i;

	for (i = 0; i < ranges->n_conds; i++)
		if (ranges->conds[i].values[0].isnull)
			return true;
	return false;
}

int
kvlsm_ranges_make(KvlsmRanges *ranges, ExprContext *econtext, uint32 store_id,
				  KvlsmKeyRange **made, bool *points)
{
	const KvlsmLayout *layout = ranges->layout;
	KvSlice *first = palloc(sizeof(KvSlice));
	Prefixes p = {first, 1};
	KvlsmBytes bytes;
	int n = 0;
	int i, j;

	for (i = 0; i < ranges->n_conds; i++)
		evaluate(&ranges->conds[i], econtext);
	*points = ranges->n_equal == layout->n_keys;
	if (any_is_null(ranges))
		return 0;
	kvlsm_key_begin(&bytes, store_id);
	*first = keep(&bytes);
	for (i = 0; i < ranges->n_equal; i++)
	{
		if (ranges->conds[i].is_array)
			add_array(layout, &ranges->conds[i], &p);
		else
			add_value(layout, &ranges->conds[i], &p);
	}
	*made = MemoryContextAllocHuge(CurrentMemoryContext,
								   (Size) Max(p.n, 1) * sizeof(KvlsmKeyRange));
	for (j = 0; j < p.n; j++)
	{
		KvlsmKeyRange range = {p.items[j], kv_slice(NULL, 0)};
		bool some = true;

		if (!*points)
			range.upper = kvlsm_prefix_end(p.items[j],
										   palloc(p.items[j].len + 1));
		for (i = ranges->n_equal; i < ranges->n_conds && some; i++)
			some = apply_range(layout, &ranges->conds[i], p.items[j], &range);
		if (some)
			(*made)[n++] = range;
	}
	return n;
}
