// SPDX-License-Identifier: PostgreSQL
//
// node main.mjs ORM...: runs cases.mjs with each, prints one line a case and,
// last, the count.  KV_ORM_HOST is the directory of the server's socket,
// KV_ORM_LOG its log, KV_ORM_DOC the document whose snippets are checked,
// KV_ORM_ONLY a part of the names of the cases to run.

import { inspect } from "node:util";
import pg from "pg";
import { groups } from "./cases.mjs";
import { sent } from "./sent.mjs";
import { checkSnippets } from "./snippets.mjs";

const only = process.env.KV_ORM_ONLY ?? "";
let passed = 0;
let failed = 0;

function url(name) {
	const query = new URLSearchParams({
		host: process.env.KV_ORM_HOST,
		application_name: name,
	});
	return `postgresql://postgres@localhost:5432/postgres?${query}`;
}

function within(promise, seconds) {
	const late = new Error(`not over after ${seconds} s`);
	return new Promise((resolve, reject) => {
		const timer = setTimeout(() => reject(late), seconds * 1000);
		promise.then(resolve, reject).finally(() => clearTimeout(timer));
	});
}

function report(name, error) {
	console.log(`${error ? "not ok" : "ok"} - ${name}`);
	if (error) {
		failed++;
		console.log(inspect(error, { depth: 4 }).replace(/^/gm, "    "));
	} else {
		passed++;
	}
}

async function run(orm, admin, name, test) {
	const client = orm.name;
	try {
		await admin.query("TRUNCATE items, people, visits");
		await within(
			test({ orm, sent: (work) => sent(client, work) }), 20);
		report(`${client}: ${name}`);
	} catch (error) {
		report(`${client}: ${name}`, error);
	}
}

const admin = new pg.Client({ connectionString: url("admin") });
await admin.connect();
for (const file of process.argv.slice(2)) {
	let orm;
	try {
		orm = (await import(`./${file}.mjs`)).open(url(file));
		await orm.items().find("");
	} catch (error) {
		report(`${file}: connects`, error);
		continue;
	}
	for (const cases of Object.values(groups)) {
		for (const [name, value] of Object.entries(cases)) {
			const { needs, test } = value.test ? value : { test: value };
			const able = !needs || needs in orm || needs in orm.items();
			if (able && name.includes(only))
				await run(orm, admin, name, test);
		}
	}
	await orm.close();
}
await admin.end();
if (only === "") {
	let wrong;
	try {
		checkSnippets(process.env.KV_ORM_DOC);
	} catch (error) {
		wrong = error;
	}
	report("document: shows what is tested", wrong);
}
console.log(`orm: ${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
