// SPDX-License-Identifier: PostgreSQL
//
// What a client made the server do: the statements on rows that arrived, and
// how they were planned, both from the server's own log (log_statement and
// auto_explain, line prefix "@<application_name>@").  A plan is logged when
// its statement is over, in a transaction perhaps only with the next one.

import { openSync, fstatSync, readSync } from "node:fs";

const log = openSync(process.env.KV_ORM_LOG, "r");

// What a client asks for itself: types, version, settings.
const housekeeping = /pg_catalog|pg_type|server_version|SELECT 1 \/ 0/i;
const onRows = /^(insert|update|delete|select|with)\b/i;

export function logged(from) {
	const size = fstatSync(log).size;
	const bytes = Buffer.alloc(size - from);
	readSync(log, bytes, 0, bytes.length, from);
	return bytes.toString();
}

// [result of work, statements, plans]
export async function sent(client, work) {
	const from = fstatSync(log).size;
	const result = await work();
	const statements = [];
	const plans = [];
	for (const entry of logged(from).split(/^(?=@)/m)) {
		const [, app, message] =
			entry.match(/^@(.*?)@ LOG: +(.*)$/s) ?? [];
		if (app !== client || housekeeping.test(message)) continue;
		const [, sql] =
			message.match(/^(?:statement|execute .*?): (.*)$/s) ?? [];
		if (sql && onRows.test(sql))
			statements.push(sql.replace(/\s+/g, " ").trim());
		if (/^duration: .* plan:/.test(message)) plans.push(message);
	}
	return [result, statements, plans];
}
