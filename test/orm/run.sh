#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# ORM tests: Prisma, Sequelize, Drizzle and Knex, as npm has them, with the
# tables of tables.sql on a private cluster.
#
#   test/orm/run.sh [ORM...]         the last line counts
#
# The packages of package-lock.json, Node 22 among them, are installed by
# deps.sh into .build/orm and run there.  KV_ORM_ONLY is a part of the names
# of the cases to run; KV_KEEP=1 leaves the cluster's directory.

set -u
. "$(dirname "$0")/../tools/lib.sh"

here=$KV_ROOT/test/orm
npm=$KV_ROOT/.build/orm
dir=

finish() {
	kv_cluster_stop "$dir/pg" immediate 2>/dev/null
	if [ -n "${KV_KEEP:-}" ]; then
		kv_say "kept: $dir"
	else
		rm -rf "$dir"
	fi
}

# Every statement and every plan, with the client's name.
configure() {
	kv_cluster_init "$dir/pg" || return 1
	cat >>"$dir/pg/postgresql.conf" <<-EOF
		log_line_prefix = '@%a@ '
		log_statement = all
		session_preload_libraries = 'auto_explain'
		auto_explain.log_min_duration = 0
	EOF
	kv_cluster_start "$dir/pg" &&
		kv_psql "$dir/pg" -f - <"$here/tables.sql" >/dev/null
}

# The scripts lie beside their packages, with the client of schema.prisma.
# That is made without the schema engine, which only migrations need and which
# npm does not have: whatever can be executed stands in for it, so that nothing
# is downloaded.
generate() {
	cp -rf "$here"/*.mjs "$here"/tables.sql "$here"/prisma "$npm/" || return 1
	CHECKPOINT_DISABLE=1 PRISMA_HIDE_UPDATE_MESSAGE=1 \
		PRISMA_SCHEMA_ENGINE_BINARY=/bin/true \
		"$node" "$npm/node_modules/prisma/build/index.js" generate \
		--schema "$npm/prisma/schema.prisma" >"$dir/prisma.log" 2>&1 || {
		cat "$dir/prisma.log" >&2
		return 1
	}
}

bash "$KV_ROOT/test/tools/deps.sh" orm || exit 1
node=$(kv_node_bin) || exit 1
dir=$(mktemp -d "${KV_STAGE:-/tmp}/kvorm.XXXXXX") || exit 1
chmod 755 "$dir"
trap finish EXIT
trap 'exit 130' INT TERM HUP
configure && generate || exit 1

[ $# -gt 0 ] || set -- prisma sequelize drizzle knex
cd "$npm" || exit 1
KV_ORM_HOST=$(kv_cluster_socket "$dir/pg") KV_ORM_LOG=$dir/pg.log \
	KV_ORM_DOC=$KV_ROOT/docs/orm.md \
	timeout -k 5 300 "$node" --no-warnings main.mjs "$@"
