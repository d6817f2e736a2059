// SPDX-License-Identifier: PostgreSQL
//
// What cases.mjs asks for, with Prisma's own API.

import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient, Prisma } from "./generated/client.ts";

export function open(url) {
	const adapter = new PrismaPg({ connectionString: url });
	const db = new PrismaClient({ adapter });
	return {
		name: "prisma",
		items: (tx = db) => items(tx),
		people: (tx = db) => people(tx),
		visits: (tx = db) => visits(tx),
		transaction: (work) => db.$transaction(work),
		savepoint: (tx, work) => tx.$transaction(work),
		fail: (tx = db) => tx.$queryRaw`SELECT 1 / 0`,
		isDuplicate: (e, column) =>
			e.code === "P2002" && clashed(e) === `${tables[column]}_kvkey`,
		close: () => db.$disconnect(),
	};
}

const tables = { key: "items", id: "people", "shop, at": "visits" };

// The name of the constraint; its columns are not said.
function clashed(e) {
	return e.meta.driverAdapterError.cause.constraint.index;
}

// update and delete throw P2025 for a row that is not there.
function unlessMissing(e) {
	if (e.code === "P2025") return null;
	throw e;
}

function items(db) {
	return {
		create: (key, value) => db.item.create({ data: { key, value } }),
		upsert: (key, value) =>
			db.item.upsert({
				where: { key },
				create: { key, value },
				update: { value },
			}),
		update: (key, value) =>
			db.item.update({ where: { key }, data: { value } })
				.catch(unlessMissing),
		remove: (key) =>
			db.item.delete({ where: { key } }).catch(unlessMissing),
		find: (key) => db.item.findUnique({ where: { key } }),
		findMany: (keys) =>
			db.item.findMany({ where: { key: { in: keys } } }),
		range: (from, to, limit) =>
			db.item.findMany({
				where: { key: { gte: from, lt: to } },
				orderBy: { key: "asc" },
				take: limit,
			}),
		after: (key, limit) =>
			db.item.findMany({
				where: { key: { gt: key } },
				orderBy: { key: "asc" },
				take: limit,
			}),
		last: (limit) =>
			db.item.findMany({ orderBy: { key: "desc" }, take: limit }),
		prefix: (prefix) =>
			db.item.findMany({
				where: { key: { startsWith: prefix } },
				orderBy: { key: "asc" },
			}),
		count: () => db.item.count(),
		createMany: async (rows) =>
			(await db.item.createMany({ data: rows })).count,
		createNew: async (rows) =>
			(await db.item.createMany({ data: rows, skipDuplicates: true }))
				.count,
		updateRange: async (from, to, value) =>
			(await db.item.updateMany({
				where: { key: { gte: from, lt: to } },
				data: { value },
			})).count,
		removeRange: async (from, to) =>
			(await db.item.deleteMany({
				where: { key: { gte: from, lt: to } },
			})).count,
	};
}

function people(db) {
	return {
		create: (row) => db.person.create({ data: row }),
		upsert: ({ id, ...rest }) =>
			db.person.upsert({
				where: { id },
				create: { id, ...rest },
				update: rest,
			}),
		update: (id, data) =>
			db.person.update({ where: { id }, data }).catch(unlessMissing),
		add: (id, n) =>
			db.person.update({
				where: { id },
				data: { n: { increment: n } },
			}),
		remove: (id) =>
			db.person.delete({ where: { id } }).catch(unlessMissing),
		find: (id) => db.person.findUnique({ where: { id } }),
		findMany: (ids) =>
			db.person.findMany({ where: { id: { in: ids } } }),
		range: (from, to, limit) =>
			db.person.findMany({
				where: { id: { gte: from, lte: to } },
				orderBy: { id: "desc" },
				take: limit,
			}),
		named: (name) => db.person.findMany({ where: { name } }),
		createMany: async (rows) =>
			(await db.person.createMany({ data: rows })).count,
		createNew: async (rows) =>
			(await db.person.createMany({ data: rows, skipDuplicates: true }))
				.count,
	};
}

function visits(db) {
	return {
		create: (row) => db.visit.create({ data: row }),
		upsert: ({ shop, at, note }) =>
			db.visit.upsert({
				where: { shop_at: { shop, at } },
				create: { shop, at, note },
				update: { note },
			}),
		latest: (shop, limit) =>
			db.visit.findMany({
				where: { shop },
				orderBy: { at: "desc" },
				take: limit,
			}),
		before: (shop, at, limit) =>
			db.visit.findMany({
				where: { shop, at: { lt: at } },
				orderBy: { at: "desc" },
				take: limit,
			}),
	};
}
