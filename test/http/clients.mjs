// SPDX-License-Identifier: PostgreSQL
//
// fetch through nginx, and postgrest-js, as npm has it, to PostgREST itself.
// Run by documents.py with the Node of test/orm; one "ok - " line a check.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const { KVH_PORT, KVH_REST_PORT, KVH_TOKEN, KVH_READER, KVH_NODE_MODULES } =
	process.env;
const base = `http://127.0.0.1:${KVH_PORT}/kv`;
const bearer = { Authorization: `Bearer ${KVH_TOKEN}` };
const key = 'js/clé +%?&=#';
const path = encodeURIComponent(key);

async function check(name, work) {
	await work();
	console.log(`ok - ${name}`);
}

function send(method, url, body, headers = {}) {
	const json = body !== undefined && !(body instanceof Uint8Array);
	return fetch(base + url, {
		method,
		headers: {
			...bearer,
			...(json ? { 'Content-Type': 'application/json' } : {}),
			...headers,
		},
		body: json ? JSON.stringify(body) : body,
	});
}

await check('fetch: put and read', async () => {
	const put = await send('POST', '/put', { key, value: { n: [1, null] } });
	assert.equal(put.status, 200);
	const read = await send('GET', `/read/${path}`);
	assert.deepEqual(await read.json(), { key, value: { n: [1, null] } });
});

await check('fetch: a version, unchanged and stale', async () => {
	const read = await send('GET', `/read/${path}`);
	const etag = read.headers.get('ETag');
	await read.text();
	const again = await send('GET', `/read/${path}`, undefined,
		{ 'If-None-Match': etag });
	assert.equal(again.status, 304);
	const first = await send('POST', '/put', { key, value: 2 },
		{ 'If-Match': etag });
	assert.equal(first.status, 200);
	const second = await send('POST', '/put', { key, value: 3 },
		{ 'If-Match': etag });
	assert.equal(second.status, 412);
	assert.equal((await second.json()).current_version,
		first.headers.get('ETag').slice(1, -1));
});

await check('fetch: bytes', async () => {
	const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
	assert.equal((await send('PUT', `/raw/${path}`, bytes)).status, 200);
	const got = await send('GET', `/raw/${path}`);
	assert.deepEqual(new Uint8Array(await got.arrayBuffer()), bytes);
});

await check('fetch: a batch and pages of it', async () => {
	const items = Array.from({ length: 25 }, (_, i) =>
		({ key: `page:${String(i).padStart(2, '0')}`, value: i }));
	const put = await send('POST', '/batch-put', { items });
	assert.deepEqual(await put.json(), { count: 25 });
	const got = [];
	for (let after = ''; after !== null;) {
		const query = new URLSearchParams({ prefix: 'page:', limit: '10', after });
		const page = await (await send('GET', `/range?${query}`)).json();
		got.push(...page.items);
		after = page.next;
	}
	assert.deepEqual(got, items);
});

await check('fetch: delete', async () => {
	const gone = await send('DELETE', `/delete/${path}`);
	assert.deepEqual(await gone.json(), { key, deleted: true });
	const read = await send('GET', `/read/${path}`);
	assert.equal(read.status, 404);
	assert.equal((await read.json()).details, key);
});

await check('fetch: an error has four fields', async () => {
	const bad = await send('POST', '/put', { key });
	assert.equal(bad.status, 400);
	assert.deepEqual(Object.keys(await bad.json()).sort(),
		['code', 'details', 'hint', 'message']);
});

const require = createRequire(pathToFileURL(`${KVH_NODE_MODULES}/x.js`));
const { PostgrestClient } = require('@supabase/postgrest-js');
const rest = (token) => new PostgrestClient(`http://127.0.0.1:${KVH_REST_PORT}`,
	{ headers: { Authorization: `Bearer ${token}` } });
const writer = rest(KVH_TOKEN);

await check('postgrest-js: put', async () => {
	const { data, error } = await writer.rpc('kv_put', { key, value: null });
	assert.equal(error, null);
	assert.deepEqual(data, { key });
});

await check('postgrest-js: many keys', async () => {
	const { data } = await writer.rpc('kv_multi_get', { keys: [key, 'none'] });
	assert.deepEqual(data, { items: [{ key, value: null }], missing: ['none'] });
});

await check('postgrest-js: a batch', async () => {
	const { data } = await writer.rpc('kv_batch_put',
		{ items: [{ key: 'pjs', value: [1, 2] }] });
	assert.deepEqual(data, { count: 1 });
});

await check('postgrest-js: a counter', async () => {
	await writer.rpc('kv_incr', { key: 'pjs:n', by: 5 });
	const { data } = await writer.rpc('kv_incr', { key: 'pjs:n', by: 2 });
	assert.deepEqual(data, { key: 'pjs:n', value: 7, value_text: '7' });
});

await check('postgrest-js: an error is an object', async () => {
	const { data, error, status } = await writer.rpc('kv_put', { key: '' });
	assert.equal(data, null);
	assert.equal(status, 400);
	assert.equal(error.code, '22023');
	assert.equal(error.message, 'missing field "value"');
});

await check('postgrest-js: a reader may not write', async () => {
	const { error, status } = await rest(KVH_READER).rpc('kv_put',
		{ key, value: 1 });
	assert.equal(status, 403);
	assert.equal(error.code, '42501');
});
