// SPDX-License-Identifier: PostgreSQL
//
// What cases.mjs asks for, with Drizzle's own API.

import { drizzle } from "drizzle-orm/node-postgres";
import {
	bigint, integer, jsonb, pgTable, primaryKey, text, timestamp,
} from "drizzle-orm/pg-core";
import {
	and, asc, between, desc, eq, gt, gte, inArray, like, lt, sql,
} from "drizzle-orm";

const items = pgTable("items", {
	key: text().primaryKey(),
	value: jsonb().notNull(),
});

const people = pgTable("people", {
	id: bigint({ mode: "bigint" }).primaryKey(),
	name: text().notNull(),
	n: integer().notNull().default(0),
	at: timestamp({ withTimezone: true }).notNull().defaultNow(),
	body: jsonb(),
});

const visits = pgTable("visits", {
	shop: integer().notNull(),
	at: timestamp({ withTimezone: true }).notNull(),
	note: text(),
}, (table) => [primaryKey({ columns: [table.shop, table.at] })]);

export function open(url) {
	const db = drizzle(url);
	return {
		name: "drizzle",
		items: (tx = db) => itemCalls(tx),
		people: (tx = db) => peopleCalls(tx),
		visits: (tx = db) => visitCalls(tx),
		transaction: (work) => db.transaction(work),
		savepoint: (tx, work) => tx.transaction(work),
		fail: (tx = db) => tx.execute(sql`SELECT 1 / 0`),
		isDuplicate: (e, column) =>
			e.cause?.code === "23505" &&
			e.cause.detail.startsWith(`Key (${column})=`),
		close: () => db.$client.end(),
	};
}

function itemCalls(db) {
	const within = (from, to) =>
		and(gte(items.key, from), lt(items.key, to));
	return {
		create: async (key, value) =>
			(await db.insert(items).values({ key, value }).returning())[0],
		upsert: async (key, value) =>
			(await db
				.insert(items)
				.values({ key, value })
				.onConflictDoUpdate({ target: items.key, set: { value } })
				.returning())[0],
		update: async (key, value) =>
			(await db
				.update(items)
				.set({ value })
				.where(eq(items.key, key))
				.returning())[0],
		remove: async (key) =>
			(await db.delete(items).where(eq(items.key, key))).rowCount,
		find: async (key) =>
			(await db.select().from(items).where(eq(items.key, key)))[0],
		findMany: (keys) =>
			db.select().from(items).where(inArray(items.key, keys)),
		range: (from, to, limit) =>
			db
				.select()
				.from(items)
				.where(within(from, to))
				.orderBy(asc(items.key))
				.limit(limit),
		after: (key, limit) =>
			db
				.select()
				.from(items)
				.where(gt(items.key, key))
				.orderBy(asc(items.key))
				.limit(limit),
		last: (limit) =>
			db.select().from(items).orderBy(desc(items.key)).limit(limit),
		prefix: (prefix) =>
			db
				.select()
				.from(items)
				.where(like(items.key, `${prefix}%`))
				.orderBy(asc(items.key)),
		count: () => db.$count(items),
		createMany: async (rows) =>
			(await db.insert(items).values(rows)).rowCount,
		createNew: async (rows) =>
			(await db
				.insert(items)
				.values(rows)
				.onConflictDoNothing({ target: items.key })).rowCount,
		upsertMany: (rows) =>
			db
				.insert(items)
				.values(rows)
				.onConflictDoUpdate({
					target: items.key,
					set: { value: sql`excluded.value` },
				})
				.returning(),
		updateRange: async (from, to, value) =>
			(await db.update(items).set({ value }).where(within(from, to)))
				.rowCount,
		removeRange: async (from, to) =>
			(await db.delete(items).where(within(from, to))).rowCount,
		lock: async (key) =>
			(await db
				.select()
				.from(items)
				.where(eq(items.key, key))
				.for("update"))[0],
		lockIfFree: (keys) =>
			db
				.select()
				.from(items)
				.where(inArray(items.key, keys))
				.for("update", { skipLocked: true }),
	};
}

function peopleCalls(db) {
	return {
		create: async (row) =>
			(await db.insert(people).values(row).returning())[0],
		upsert: async ({ id, ...rest }) =>
			(await db
				.insert(people)
				.values({ id, ...rest })
				.onConflictDoUpdate({ target: people.id, set: rest })
				.returning())[0],
		update: async (id, columns) =>
			(await db
				.update(people)
				.set(columns)
				.where(eq(people.id, id))
				.returning())[0],
		add: async (id, n) =>
			(await db
				.update(people)
				.set({ n: sql`${people.n} + ${n}` })
				.where(eq(people.id, id))
				.returning())[0],
		remove: async (id) =>
			(await db.delete(people).where(eq(people.id, id))).rowCount,
		find: async (id) =>
			(await db.select().from(people).where(eq(people.id, id)))[0],
		findMany: (ids) =>
			db.select().from(people).where(inArray(people.id, ids)),
		range: (from, to, limit) =>
			db
				.select()
				.from(people)
				.where(between(people.id, from, to))
				.orderBy(desc(people.id))
				.limit(limit),
		named: (name) =>
			db.select().from(people).where(eq(people.name, name)),
		createMany: async (rows) =>
			(await db.insert(people).values(rows)).rowCount,
		createNew: async (rows) =>
			(await db
				.insert(people)
				.values(rows)
				.onConflictDoNothing({ target: people.id })).rowCount,
	};
}

function visitCalls(db) {
	return {
		create: async (row) =>
			(await db.insert(visits).values(row).returning())[0],
		upsert: async ({ shop, at, note }) =>
			(await db
				.insert(visits)
				.values({ shop, at, note })
				.onConflictDoUpdate({
					target: [visits.shop, visits.at],
					set: { note },
				})
				.returning())[0],
		latest: (shop, limit) =>
			db
				.select()
				.from(visits)
				.where(eq(visits.shop, shop))
				.orderBy(desc(visits.at))
				.limit(limit),
		before: (shop, at, limit) =>
			db
				.select()
				.from(visits)
				.where(and(eq(visits.shop, shop), lt(visits.at, at)))
				.orderBy(desc(visits.at))
				.limit(limit),
	};
}
