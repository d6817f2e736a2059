// SPDX-License-Identifier: PostgreSQL
//
// What every ORM must be able to do with a kvlsm table.  A case gets the ORM
// as prisma.mjs and the others describe it; all tables are empty before it.
// "needs" names a call that some ORM has no API for.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

// Rows of each ORM as plain objects, int8 as one type.
function plain(row) {
	if (row === null || row === undefined || typeof row === "number")
		return row ?? null;
	const { ...copy } = row.dataValues ?? row;
	if ("id" in copy) copy.id = BigInt(copy.id);
	return copy;
}

function same(rows, expected) {
	assert.deepEqual([rows].flat().map(plain), [expected].flat());
}

const byKey = (a, b) => (plain(a).key < plain(b).key ? -1 : 1);
const byId = (a, b) => (plain(a).id < plain(b).id ? -1 : 1);

function row(i) {
	const key = `k${String(i).padStart(3, "0")}`;
	return { key, value: { n: i } };
}

function rows(from, to) {
	return Array.from({ length: to - from + 1 }, (_, i) => row(from + i));
}

// The error that work must end with.
async function failure(work) {
	const none = Symbol();
	const error = await work.then(() => none, (e) => e);
	assert.notEqual(error, none, "no error");
	return error;
}

// One statement, as this says.
function one(statements, shape) {
	assert.equal(statements.length, 1, statements.join("\n"));
	assert.match(statements[0], shape);
}

// The store finds the rows itself: nothing is read to be thrown away, nothing
// is sorted.
function pushed(plans, cond) {
	assert.equal(plans.length, 1, plans.join("\n"));
	assert.match(plans[0], cond);
	assert.doesNotMatch(plans[0], /Filter:|Sort/);
}

function upsertShape(table, key) {
	return new RegExp(`^insert into \\S*"${table}".* on conflict ` +
		`\\(${key}\\) do update set .*returning`, "i");
}

// ---- Keys and values ---------------------------------------------------

const items = {
	async "create returns the row"({ orm, sent }) {
		const [r, sql] = await sent(() => orm.items().create("a", { n: 1 }));
		same(r, { key: "a", value: { n: 1 } });
		one(sql, /^insert into \S*"items".* returning/i);
	},

	async "values of every kind come back"({ orm }) {
		const values = [
			{ a: { b: [1, null] } }, [1, "two", []], "text, ' and \u00fc",
			"", 12.5, 9007199254740991, true, [],
		];
		for (const [i, value] of values.entries()) {
			await orm.items().create(`v${i}`, value);
			same(await orm.items().find(`v${i}`), { key: `v${i}`, value });
		}
	},

	async "keys of every kind come back"({ orm }) {
		const keys = [" ", "'", "\u00fc\u{1f600}", "a/b?c=%", "x".repeat(900)];
		for (const key of keys) {
			await orm.items().create(key, { n: 1 });
			same(await orm.items().find(key), { key, value: { n: 1 } });
		}
		assert.equal(await orm.items().count(), keys.length);
		await assert.rejects(orm.items().create("", { n: 1 }));
	},

	async "find by key reads one key"({ orm, sent }) {
		await orm.items().createMany(rows(1, 50));
		const [r, sql, plans] = await sent(() => orm.items().find("k007"));
		same(r, row(7));
		one(sql, /^select .*"key" = /i);
		pushed(plans, /KV Cond: \(\(?key = 'k007'/);
	},

	async "a key that is missing is found as nothing"({ orm }) {
		await orm.items().create("a", { n: 1 });
		assert.equal(plain(await orm.items().find("b")), null);
		assert.equal(plain(await orm.items().find("")), null);
	},

	async "a duplicate is known as one"({ orm, sent }) {
		await orm.items().create("a", { n: 1 });
		const create = () => orm.items().create("a", { n: 2 });
		const [e, sql] = await sent(() => failure(create()));
		assert.ok(orm.isDuplicate(e, "key"), e);
		one(sql, /^insert into \S*"items"/i);
		same(await orm.items().find("a"), { key: "a", value: { n: 1 } });
		assert.equal(orm.isDuplicate(await failure(orm.fail()), "key"), false);
	},

	async "upsert of a new key is one statement"({ orm, sent }) {
		const [r, sql] = await sent(() => orm.items().upsert("a", { n: 1 }));
		same(r, { key: "a", value: { n: 1 } });
		one(sql, upsertShape("items", '"key"'));
		same(await orm.items().find("a"), { key: "a", value: { n: 1 } });
	},

	async "upsert of a key that is there writes over it"({ orm, sent }) {
		await orm.items().create("a", { n: 1 });
		await orm.items().create("b", { n: 1 });
		const [r, sql] = await sent(() => orm.items().upsert("a", { m: 2 }));
		same(r, { key: "a", value: { m: 2 } });
		one(sql, upsertShape("items", '"key"'));
		same(await orm.items().find("a"), { key: "a", value: { m: 2 } });
		same(await orm.items().find("b"), { key: "b", value: { n: 1 } });
		assert.equal(await orm.items().count(), 2);
	},

	async "thirty upserts of one key at once"({ orm }) {
		const all = Array.from({ length: 30 }, (_, n) =>
			orm.items().upsert("hot", { n }));
		for (const r of await Promise.all(all))
			assert.equal(plain(r).key, "hot");
		assert.equal(await orm.items().count(), 1);
	},

	"many upserts in one statement": {
		needs: "upsertMany",
		async test({ orm, sent }) {
			await orm.items().createMany(rows(1, 5));
			const news = rows(4, 8).map(({ key }) => ({ key, value: [key] }));
			const [r, sql] = await sent(() => orm.items().upsertMany(news));
			same(r, news);
			one(sql, upsertShape("items", '"key"'));
			same(await orm.items().after("k003", 9), news);
			same(await orm.items().find("k003"), row(3));
		},
	},

	async "update returns the new row"({ orm, sent }) {
		await orm.items().createMany(rows(1, 9));
		const [r, sql] = await sent(() =>
			orm.items().update("k004", { m: 1 }));
		same(r, { key: "k004", value: { m: 1 } });
		one(sql, /^update \S*"items" .*"key" = .* returning/i);
		same(await orm.items().find("k004"), { key: "k004", value: { m: 1 } });
		same(await orm.items().find("k005"), row(5));
	},

	async "update of a missing key changes nothing"({ orm }) {
		await orm.items().create("a", { n: 1 });
		assert.equal(plain(await orm.items().update("b", { n: 2 })), null);
		assert.equal(await orm.items().count(), 1);
	},

	async "delete says what it deleted"({ orm, sent }) {
		await orm.items().createMany(rows(1, 3));
		const [r, sql] = await sent(() => orm.items().remove("k002"));
		assert.ok(r);
		one(sql, /^delete from \S*"items" .*"key" = /i);
		assert.ok(!(await orm.items().remove("k002")));
		same(await orm.items().after("", 9), [row(1), row(3)]);
	},

	async "many rows in one statement"({ orm, sent }) {
		const [n, sql] = await sent(() =>
			orm.items().createMany(rows(0, 299)));
		assert.equal(n, 300);
		one(sql, /^insert into \S*"items"/i);
		assert.equal(await orm.items().count(), 300);
	},

	async "many rows, one of them there: none is written"({ orm }) {
		await orm.items().create("k002", { n: 0 });
		const e = await failure(orm.items().createMany(rows(1, 3)));
		assert.ok(orm.isDuplicate(e, "key"), e);
		assert.equal(await orm.items().count(), 1);
	},

	async "duplicates are skipped when asked"({ orm, sent }) {
		await orm.items().create("k002", { n: 0 });
		const [n, sql] = await sent(() => orm.items().createNew(rows(1, 3)));
		if (n !== undefined) assert.equal(n, 2);
		one(sql, /^insert .* on conflict (\("key"\) )?do nothing/i);
		same(await orm.items().after("", 9),
			[row(1), { key: "k002", value: { n: 0 } }, row(3)]);
	},

	async "a range in key order, limited"({ orm, sent }) {
		await orm.items().createMany(rows(1, 99).reverse());
		const [r, sql, plans] = await sent(() =>
			orm.items().range("k010", "k050", 10));
		same(r, rows(10, 19));
		one(sql, /^select .*order by .*"key"( asc)? limit/i);
		pushed(plans, /KV Cond: .*key >= 'k010'.*key < 'k050'/);
		same(await orm.items().range("k095", "k098", 10), rows(95, 97));
		same(await orm.items().range("k2", "k3", 10), []);
	},

	async "the next page after a key"({ orm, sent }) {
		await orm.items().createMany(rows(1, 99));
		let last = "";
		let read = [];
		for (;;) {
			const page = await orm.items().after(last, 20);
			if (page.length === 0) break;
			read = read.concat(page);
			last = plain(page.at(-1)).key;
		}
		same(read, rows(1, 99));
		const [, , plans] = await sent(() => orm.items().after("k050", 5));
		pushed(plans, /KV Cond: \(key > 'k050'/);
	},

	async "the last rows are read backward"({ orm, sent }) {
		await orm.items().createMany(rows(1, 99));
		const [r, , plans] = await sent(() => orm.items().last(3));
		same(r, rows(97, 99).reverse());
		pushed(plans, /KV Direction: backward/);
	},

	async "an IN list"({ orm, sent }) {
		await orm.items().createMany(rows(1, 99));
		const [r, sql, plans] = await sent(() =>
			orm.items().findMany(["k090", "k001", "no", "k007"]));
		same(r.toSorted(byKey), [row(1), row(7), row(90)]);
		one(sql, /^select .*"key" in \(/i);
		pushed(plans, /KV Cond: .*key = ANY/);
	},

	async "keys with a prefix"({ orm, sent }) {
		await orm.items().createMany(rows(1, 99));
		const [r, sql, plans] = await sent(() => orm.items().prefix("k03"));
		same(r, rows(30, 39));
		one(sql, /^select .* like /i);
		assert.match(plans[0], /KV Cond: .*key >= 'k03'.*key < 'k04'/);
	},

	async "count"({ orm, sent }) {
		assert.equal(await orm.items().count(), 0);
		await orm.items().createMany(rows(1, 25));
		const [n, sql] = await sent(() => orm.items().count());
		assert.equal(n, 25);
		one(sql, /^select count\(/i);
	},

	async "a range is updated and deleted"({ orm, sent }) {
		await orm.items().createMany(rows(1, 30));
		const [n, sql] = await sent(() =>
			orm.items().updateRange("k010", "k020", { m: 1 }));
		assert.equal(n, 10);
		one(sql, /^update /i);
		same(await orm.items().find("k019"), { key: "k019", value: { m: 1 } });
		same(await orm.items().find("k020"), row(20));
		const [m, sql2] = await sent(() =>
			orm.items().removeRange("k005", "k025"));
		assert.equal(m, 20);
		one(sql2, /^delete /i);
		assert.equal(await orm.items().count(), 10);
	},
};

// ---- Transactions ------------------------------------------------------

const transactions = {
	async "a transaction commits"({ orm }) {
		const r = await orm.transaction(async (tx) => {
			await orm.items(tx).create("a", { n: 1 });
			await orm.items(tx).upsert("a", { n: 2 });
			await orm.items(tx).create("b", { n: 3 });
			await orm.items(tx).remove("b");
			return orm.items(tx).find("a");
		});
		same(r, { key: "a", value: { n: 2 } });
		same(await orm.items().after("", 9), { key: "a", value: { n: 2 } });
	},

	async "a transaction that throws leaves nothing"({ orm }) {
		await orm.items().create("old", { n: 1 });
		const work = orm.transaction(async (tx) => {
			await orm.items(tx).create("new", { n: 1 });
			await orm.items(tx).update("old", { n: 2 });
			same(await orm.items(tx).after("", 9), [
				{ key: "new", value: { n: 1 } },
				{ key: "old", value: { n: 2 } },
			]);
			same(await orm.items().after("", 9),
				{ key: "old", value: { n: 1 } });
			throw new RangeError("no");
		});
		await assert.rejects(work, RangeError);
		same(await orm.items().after("", 9), { key: "old", value: { n: 1 } });
	},

	async "a duplicate rolls its transaction back"({ orm }) {
		await orm.items().create("a", { n: 1 });
		const work = orm.transaction(async (tx) => {
			await orm.items(tx).create("b", { n: 1 });
			await orm.items(tx).create("a", { n: 2 });
		});
		const e = await failure(work);
		assert.ok(orm.isDuplicate(e, "key"), e);
		same(await orm.items().after("", 9), { key: "a", value: { n: 1 } });
	},

	"a savepoint is rolled back alone": {
		needs: "savepoint",
		async test({ orm }) {
			await orm.transaction(async (tx) => {
				await orm.items(tx).create("a", { n: 1 });
				const inner = orm.savepoint(tx, async (sp) => {
					await orm.items(sp).upsert("a", { n: 2 });
					await orm.items(sp).create("b", { n: 2 });
					await orm.items(sp).create("a", { n: 3 });
				});
				const e = await failure(inner);
				assert.ok(orm.isDuplicate(e, "key"), e);
				await orm.items(tx).create("c", { n: 1 });
			});
			same(await orm.items().after("", 9), [
				{ key: "a", value: { n: 1 } },
				{ key: "c", value: { n: 1 } },
			]);
		},
	},

	"a locked row is skipped by others": {
		needs: "lock",
		async test({ orm }) {
			await orm.items().createMany(rows(1, 3));
			await orm.transaction(async (tx) => {
				same(await orm.items(tx).lock("k002"), row(2));
				await orm.transaction(async (other) => {
					const free = await orm.items(other).lockIfFree(
						["k001", "k002", "k003"]);
					same(free.toSorted(byKey), [row(1), row(3)]);
				});
			});
			await orm.transaction(async (tx) => {
				const free = await orm.items(tx).lockIfFree(["k002"]);
				same(free, row(2));
			});
		},
	},
};

// ---- Columns of one's own ----------------------------------------------

const at = new Date("2024-02-29T12:34:56.789Z");

function person(i) {
	const id = BigInt(i);
	return { id, name: `p${i % 3}`, n: i, at, body: { i, tags: ["x"] } };
}

function persons(from, to) {
	return Array.from({ length: to - from + 1 }, (_, i) => person(from + i));
}

const people = {
	async "columns come back as they were"({ orm, sent }) {
		const [r, sql] = await sent(() => orm.people().create(person(7)));
		same(r, person(7));
		one(sql, /^insert into \S*"people".* returning/i);
		same(await orm.people().find(7n), person(7));
	},

	async "keys from the smallest to the largest"({ orm }) {
		const ids = [-(2n ** 63n), -1n, 0n, 1n, 2n ** 53n + 1n,
			2n ** 63n - 1n];
		for (const id of ids)
			await orm.people().create({ ...person(1), id });
		same(await orm.people().range(-(2n ** 63n), 2n ** 63n - 1n, 9),
			ids.toReversed().map((id) => ({ ...person(1), id })));
	},

	async "defaults are returned"({ orm }) {
		const before = Date.now();
		const r = plain(await orm.people().create({ id: 1n, name: "a" }));
		const { at: made, ...rest } = r;
		assert.deepEqual(
			{ ...rest, body: rest.body ?? null },
			{ id: 1n, name: "a", n: 0, body: null });
		assert.ok(Math.abs(made.getTime() - before) < 60000, String(made));
		same(await orm.people().find(1n),
			{ id: 1n, name: "a", n: 0, at: made, body: null });
	},

	async "upsert writes the columns it names"({ orm, sent }) {
		await orm.people().create(person(1));
		const [r, sql] = await sent(() =>
			orm.people().upsert({ id: 1n, name: "b", n: 5 }));
		same(r, { ...person(1), name: "b", n: 5 });
		one(sql, upsertShape("people", '"id"'));
		same(await orm.people().find(1n), { ...person(1), name: "b", n: 5 });
		await orm.people().upsert(person(2));
		same(await orm.people().find(2n), person(2));
	},

	async "update of one column keeps the others"({ orm, sent }) {
		await orm.people().createMany(persons(1, 5));
		const [r, sql] = await sent(() =>
			orm.people().update(3n, { name: "new" }));
		same(r, { ...person(3), name: "new" });
		one(sql, /^update \S*"people" .*"id" = /i);
		same(await orm.people().find(3n), { ...person(3), name: "new" });
		same(await orm.people().find(4n), person(4));
		assert.equal(plain(await orm.people().update(9n, { n: 1 })), null);
	},

	async "twenty increments at once are all counted"({ orm }) {
		await orm.people().create(person(1));
		await Promise.all(Array.from({ length: 20 }, () =>
			orm.people().add(1n, 2)));
		same(await orm.people().find(1n), { ...person(1), n: 41 });
	},

	async "the key itself is updated"({ orm }) {
		await orm.people().createMany(persons(1, 2));
		same(await orm.people().update(1n, { id: 9n }),
			{ ...person(1), id: 9n });
		assert.equal(plain(await orm.people().find(1n)), null);
		const e = await failure(orm.people().update(9n, { id: 2n }));
		assert.ok(orm.isDuplicate(e, "id"), e);
	},

	async "a range of numbers, backward"({ orm, sent }) {
		await orm.people().createMany(persons(1, 60));
		const [r, sql, plans] = await sent(() =>
			orm.people().range(5n, 20n, 4));
		same(r, persons(17, 20).reverse());
		one(sql, /^select .*order by .*"id" desc limit/i);
		pushed(plans, /KV Cond: .*id >= .*id <= /);
		assert.match(plans[0], /KV Direction: backward/);
	},

	async "an IN list of numbers"({ orm, sent }) {
		await orm.people().createMany(persons(1, 60));
		const [r, , plans] = await sent(() =>
			orm.people().findMany([50n, 3n, 99n]));
		same(r.toSorted(byId), [person(3), person(50)]);
		pushed(plans, /KV Cond: .*id = ANY/);
	},

	async "a condition on another column"({ orm }) {
		await orm.people().createMany(persons(1, 9));
		const r = await orm.people().named("p1");
		same(r.toSorted(byId), [person(1), person(4), person(7)]);
	},

	async "duplicates are refused, or skipped"({ orm }) {
		await orm.people().create({ ...person(2), name: "old" });
		const e = await failure(orm.people().createMany(persons(1, 3)));
		assert.ok(orm.isDuplicate(e, "id"), e);
		const n = await orm.people().createNew(persons(1, 3));
		if (n !== undefined) assert.equal(n, 2);
		same(await orm.people().range(0n, 9n, 9),
			[person(3), { ...person(2), name: "old" }, person(1)]);
	},

	async "both tables in one transaction, and back"({ orm }) {
		const id = 1n;
		const key = randomUUID();
		const work = orm.transaction(async (tx) => {
			await orm.people(tx).create(person(1));
			await orm.items(tx).create(key, { id: 1 });
			throw new RangeError("no");
		});
		await assert.rejects(work, RangeError);
		assert.equal(plain(await orm.people().find(id)), null);
		await orm.transaction(async (tx) => {
			await orm.people(tx).create(person(1));
			await orm.items(tx).create(key, { id: 1 });
			assert.ok(await orm.people(tx).remove(id));
		});
		assert.equal(plain(await orm.people().find(id)), null);
		same(await orm.items().find(key), { key, value: { id: 1 } });
	},
};

// ---- A key of two columns ---------------------------------------------

function visit(shop, day) {
	const at = new Date(Date.UTC(2024, 1, day, 12, 30));
	return { shop, at, note: `${shop} on ${day}` };
}

async function fill(orm) {
	for (const day of [3, 1, 4, 2, 5])
		for (const shop of [2, 1, 3])
			await orm.visits().create(visit(shop, day));
}

const visits = {
	async "upsert goes by both columns"({ orm, sent }) {
		await fill(orm);
		const changed = { ...visit(2, 3), note: "again" };
		const [r, sql] = await sent(() => orm.visits().upsert(changed));
		same(r, changed);
		one(sql, upsertShape("visits", '"shop", ?"at"'));
		same(await orm.visits().latest(2, 9), [
			visit(2, 5), visit(2, 4), changed, visit(2, 2), visit(2, 1)]);
		same(await orm.visits().latest(1, 9),
			[5, 4, 3, 2, 1].map((day) => visit(1, day)));
		await orm.visits().upsert(visit(2, 6));
		same(await orm.visits().latest(2, 1), visit(2, 6));
	},

	async "a duplicate names both columns"({ orm }) {
		await fill(orm);
		const e = await failure(orm.visits().create(visit(3, 4)));
		assert.ok(orm.isDuplicate(e, "shop, at"), e);
	},

	async "the latest of one, page by page, without a sort"({ orm, sent }) {
		await fill(orm);
		const [r, , plans] = await sent(() => orm.visits().latest(2, 2));
		same(r, [visit(2, 5), visit(2, 4)]);
		pushed(plans, /KV Cond: \(shop = /);
		const [next, , plans2] = await sent(() =>
			orm.visits().before(2, visit(2, 4).at, 2));
		same(next, [visit(2, 3), visit(2, 2)]);
		pushed(plans2, /KV Cond: .*shop = .*at < /);
		same(await orm.visits().before(2, visit(2, 2).at, 2), [visit(2, 1)]);
	},
};

export const groups = { items, transactions, people, visits };
