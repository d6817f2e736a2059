// SPDX-License-Identifier: PostgreSQL
//
// What cases.mjs asks for, with Knex' own API.

import knex from "knex";

export function open(url) {
	const db = knex({ client: "pg", connection: url });
	return {
		name: "knex",
		items: (tx = db) => items(tx),
		people: (tx = db) => people(tx),
		visits: (tx = db) => visits(tx),
		transaction: (work) => db.transaction(work),
		savepoint: (tx, work) => tx.transaction(work),
		fail: (tx = db) => tx.raw("SELECT 1 / 0"),
		isDuplicate: (e, column) =>
			e.code === "23505" && e.detail.startsWith(`Key (${column})=`),
		close: () => db.destroy(),
	};
}

// The driver would send an array as PostgreSQL's, and a string as it is.
const json = JSON.stringify;

function items(db) {
	const item = ({ key, value }) => ({ key, value: json(value) });
	return {
		create: async (key, value) =>
			(await db("items")
				.insert({ key, value: json(value) })
				.returning("*"))[0],
		upsert: async (key, value) =>
			(await db("items")
				.insert({ key, value: json(value) })
				.onConflict("key")
				.merge()
				.returning("*"))[0],
		update: async (key, value) =>
			(await db("items")
				.where({ key })
				.update({ value: json(value) })
				.returning("*"))[0],
		remove: (key) => db("items").where({ key }).delete(),
		find: (key) => db("items").where({ key }).first(),
		findMany: (keys) => db("items").whereIn("key", keys),
		range: (from, to, limit) =>
			db("items")
				.where("key", ">=", from)
				.where("key", "<", to)
				.orderBy("key")
				.limit(limit),
		after: (key, limit) =>
			db("items").where("key", ">", key).orderBy("key").limit(limit),
		last: (limit) => db("items").orderBy("key", "desc").limit(limit),
		prefix: (prefix) =>
			db("items").whereLike("key", `${prefix}%`).orderBy("key"),
		count: async () => Number((await db("items").count())[0].count),
		createMany: async (rows) =>
			(await db("items").insert(rows.map(item))).rowCount,
		createNew: async (rows) =>
			(await db("items")
				.insert(rows.map(item))
				.onConflict("key")
				.ignore()).rowCount,
		upsertMany: (rows) =>
			db("items")
				.insert(rows.map(item))
				.onConflict("key")
				.merge()
				.returning("*"),
		updateRange: (from, to, value) =>
			db("items")
				.where("key", ">=", from)
				.where("key", "<", to)
				.update({ value: json(value) }),
		removeRange: (from, to) =>
			db("items")
				.where("key", ">=", from)
				.where("key", "<", to)
				.delete(),
		lock: (key) => db("items").where({ key }).forUpdate().first(),
		lockIfFree: (keys) =>
			db("items").whereIn("key", keys).forUpdate().skipLocked(),
	};
}

function people(db) {
	return {
		create: async (row) =>
			(await db("people").insert(row).returning("*"))[0],
		upsert: async (row) =>
			(await db("people")
				.insert(row)
				.onConflict("id")
				.merge()
				.returning("*"))[0],
		update: async (id, columns) =>
			(await db("people")
				.where({ id })
				.update(columns)
				.returning("*"))[0],
		add: async (id, n) =>
			(await db("people")
				.where({ id })
				.increment("n", n)
				.returning("*"))[0],
		remove: (id) => db("people").where({ id }).delete(),
		find: (id) => db("people").where({ id }).first(),
		findMany: (ids) => db("people").whereIn("id", ids),
		range: (from, to, limit) =>
			db("people")
				.whereBetween("id", [from, to])
				.orderBy("id", "desc")
				.limit(limit),
		named: (name) => db("people").where({ name }),
		createMany: async (rows) =>
			(await db("people").insert(rows)).rowCount,
		createNew: async (rows) =>
			(await db("people")
				.insert(rows)
				.onConflict("id")
				.ignore()).rowCount,
	};
}

function visits(db) {
	return {
		create: async (row) =>
			(await db("visits").insert(row).returning("*"))[0],
		upsert: async (row) =>
			(await db("visits")
				.insert(row)
				.onConflict(["shop", "at"])
				.merge()
				.returning("*"))[0],
		latest: (shop, limit) =>
			db("visits").where({ shop }).orderBy("at", "desc").limit(limit),
		before: (shop, at, limit) =>
			db("visits")
				.where({ shop })
				.where("at", "<", at)
				.orderBy("at", "desc")
				.limit(limit),
	};
}
