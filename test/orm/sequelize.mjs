// SPDX-License-Identifier: PostgreSQL
//
// What cases.mjs asks for, with Sequelize's own API.

import {
	DataTypes, Op, Sequelize, UniqueConstraintError,
} from "sequelize";

export function open(url) {
	const db = new Sequelize(url, { logging: false });
	const Item = db.define(
		"Item",
		{
			key: { type: DataTypes.TEXT, primaryKey: true },
			value: { type: DataTypes.JSONB, allowNull: false },
		},
		{ tableName: "items", timestamps: false },
	);
	const Person = db.define(
		"Person",
		{
			id: { type: DataTypes.BIGINT, primaryKey: true },
			name: { type: DataTypes.TEXT, allowNull: false },
			n: DataTypes.INTEGER,
			at: DataTypes.DATE,
			body: DataTypes.JSONB,
		},
		{ tableName: "people", timestamps: false },
	);
	const Visit = db.define(
		"Visit",
		{
			shop: { type: DataTypes.INTEGER, primaryKey: true },
			at: { type: DataTypes.DATE, primaryKey: true },
			note: DataTypes.TEXT,
		},
		{ tableName: "visits", timestamps: false },
	);
	return {
		name: "sequelize",
		items: (transaction) => items(Item, transaction),
		people: (transaction) => people(Person, transaction),
		visits: (transaction) => visits(Visit, transaction),
		transaction: (work) => db.transaction(work),
		savepoint: (transaction, work) =>
			db.transaction({ transaction }, work),
		fail: (transaction) => db.query("SELECT 1 / 0", { transaction }),
		isDuplicate: (e, column) =>
			e instanceof UniqueConstraintError &&
			e.original.code === "23505" &&
			Object.keys(e.fields).join(", ") === column,
		close: () => db.close(),
	};
}

function items(Item, transaction) {
	return {
		create: (key, value) =>
			Item.create({ key, value }, { transaction }),
		upsert: async (key, value) =>
			(await Item.upsert({ key, value }, { transaction }))[0],
		update: async (key, value) =>
			(await Item.update(
				{ value },
				{ where: { key }, returning: true, transaction },
			))[1][0],
		remove: (key) => Item.destroy({ where: { key }, transaction }),
		find: (key) => Item.findByPk(key, { transaction }),
		findMany: (keys) =>
			Item.findAll({ where: { key: keys }, transaction }),
		range: (from, to, limit) =>
			Item.findAll({
				where: { key: { [Op.gte]: from, [Op.lt]: to } },
				order: [["key", "ASC"]],
				limit,
				transaction,
			}),
		after: (key, limit) =>
			Item.findAll({
				where: { key: { [Op.gt]: key } },
				order: [["key", "ASC"]],
				limit,
				transaction,
			}),
		last: (limit) =>
			Item.findAll({ order: [["key", "DESC"]], limit, transaction }),
		prefix: (prefix) =>
			Item.findAll({
				where: { key: { [Op.startsWith]: prefix } },
				order: [["key", "ASC"]],
				transaction,
			}),
		count: () => Item.count({ transaction }),
		createMany: async (rows) =>
			(await Item.bulkCreate(rows, { transaction })).length,
		createNew: (rows) =>
			Item.bulkCreate(rows, { ignoreDuplicates: true, transaction })
				.then(() => undefined),
		upsertMany: (rows) =>
			Item.bulkCreate(rows, {
				updateOnDuplicate: ["value"],
				returning: true,
				transaction,
			}),
		updateRange: async (from, to, value) =>
			(await Item.update(
				{ value },
				{
					where: { key: { [Op.gte]: from, [Op.lt]: to } },
					transaction,
				},
			))[0],
		removeRange: (from, to) =>
			Item.destroy({
				where: { key: { [Op.gte]: from, [Op.lt]: to } },
				transaction,
			}),
		lock: (key) => Item.findByPk(key, { lock: true, transaction }),
		lockIfFree: (keys) =>
			Item.findAll({
				where: { key: keys },
				lock: true,
				skipLocked: true,
				transaction,
			}),
	};
}

function people(Person, transaction) {
	return {
		create: (row) => Person.create(row, { transaction }),
		upsert: async (row) =>
			(await Person.upsert(row, { transaction }))[0],
		update: async (id, columns) =>
			(await Person.update(
				columns,
				{ where: { id }, returning: true, transaction },
			))[1][0],
		add: async (id, n) => {
			await Person.increment({ n }, { where: { id }, transaction });
			return Person.findByPk(id, { transaction });
		},
		remove: (id) => Person.destroy({ where: { id }, transaction }),
		find: (id) => Person.findByPk(id, { transaction }),
		findMany: (ids) =>
			Person.findAll({ where: { id: ids }, transaction }),
		range: (from, to, limit) =>
			Person.findAll({
				where: { id: { [Op.between]: [from, to] } },
				order: [["id", "DESC"]],
				limit,
				transaction,
			}),
		named: (name) => Person.findAll({ where: { name }, transaction }),
		createMany: async (rows) =>
			(await Person.bulkCreate(rows, { transaction })).length,
		createNew: (rows) =>
			Person.bulkCreate(rows, { ignoreDuplicates: true, transaction })
				.then(() => undefined),
	};
}

function visits(Visit, transaction) {
	return {
		create: (row) => Visit.create(row, { transaction }),
		upsert: async (row) =>
			(await Visit.upsert(row, { transaction }))[0],
		latest: (shop, limit) =>
			Visit.findAll({
				where: { shop },
				order: [["at", "DESC"]],
				limit,
				transaction,
			}),
		before: (shop, at, limit) =>
			Visit.findAll({
				where: { shop, at: { [Op.lt]: at } },
				order: [["at", "DESC"]],
				limit,
				transaction,
			}),
	};
}
