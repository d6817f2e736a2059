// SPDX-License-Identifier: PostgreSQL
//
// What docs/orm.md shows is what is tested: each part of its js, prisma and
// sql blocks, between empty lines, must stand in one of the files, whatever
// its indentation.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const files = ["prisma.mjs", "sequelize.mjs", "drizzle.mjs", "knex.mjs",
	"prisma/schema.prisma", "tables.sql"];

const tidy = (text) =>
	text.split("\n").map((line) => line.trim()).join("\n");

export function checkSnippets(document) {
	const sources = files.map((f) => `\n${tidy(readFileSync(f, "utf8"))}\n`);
	const blocks = readFileSync(document, "utf8")
		.matchAll(/^```(?:js|prisma|sql)\n(.*?)^```/gms);
	const parts = [...blocks].flatMap(([, block]) =>
		tidy(block).trim().split(/\n{2,}/));
	assert.ok(parts.length > 0);
	assert.deepEqual(
		parts.filter((p) => !sources.some((s) => s.includes(`\n${p}\n`))),
		[]);
}
