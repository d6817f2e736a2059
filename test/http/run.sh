#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# HTTP tests: a private cluster, the real PostgREST and the real nginx with
# the configuration of docs/http, and cases.py as the client.  Node and
# postgrest-js, for the clients in JavaScript, are those of test/orm.
#
#   test/http/run.sh                 everything; the last line counts
#   test/http/run.sh kill|restart|psql DIR [ARG...]     for cases.py
#
# KV_KEEP=1 leaves the directory and prints its name.

set -u
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/stack.sh"

dir=

finish() {
	kvh_stop "$dir/http" 2>/dev/null
	kv_cluster_stop "$dir/pg" immediate 2>/dev/null
	if [ -n "${KV_KEEP:-}" ]; then
		kv_say "kept: $dir"
	else
		rm -rf "$dir"
	fi
}

# As the kernel's OOM killer would: nothing is told, nothing is cleaned up.
kill_postmaster() {
	local pid
	pid=$(head -n 1 "$1/pg/postmaster.pid") || return 1
	kill -9 "$pid"
	kv_wait_until 10 sh -c "! kill -0 $pid"
}

restart() {
	kv_wait_until 20 kv_cluster_start "$1/pg" || return 1
	kvh_link_socket "$1/http" "$1/pg"
}

case ${1:-} in
	kill)
		kill_postmaster "$2"
		exit
		;;
	restart)
		restart "$2"
		exit
		;;
	psql)
		dir=$2
		shift 2
		kv_psql "$dir/pg" -At "$@"
		exit
		;;
	?*) kv_die "usage: $0" ;;
esac

bash "$KV_ROOT/test/tools/deps.sh" orm || exit 1 # Node and postgrest-js
kv_need python3
kv_need curl
kv_need openssl
dir=$(mktemp -d "${KV_STAGE:-/tmp}/kvhttp.XXXXXX") || exit 1
chmod 755 "$dir"
trap finish EXIT
trap 'exit 130' INT TERM HUP
mkdir "$dir/http"
kv_cluster_init "$dir/pg" && kv_cluster_start "$dir/pg" || exit 1
kv_psql "$dir/pg" -o /dev/null -c "CREATE EXTENSION kvlsm" \
	-c "SELECT kv_create_store('kv')" || exit 1
kvh_install "$dir/http" "$dir/pg" && kvh_start "$dir/http" "$dir/pg" || exit 1

. "$dir/http/ports"
node=$(kv_node_bin) || node=
KVH_NODE=$node KVH_NODE_MODULES=$KV_ROOT/.build/orm/node_modules \
	KVH_DIR=$dir KVH_PORT=$http KVH_REST_PORT=$rest KVH_RUN=$KV_ROOT/test/http/run.sh \
	timeout -k 5 "${KVH_TIMEOUT:-300}" \
	python3 -u "$KV_ROOT/test/http/cases.py"
rc=$?
if [ $rc -ne 0 ]; then
	kv_say "last lines of the servers' logs:"
	tail -n 15 "$dir/pg.log" "$dir/http/postgrest.log" "$dir/http/nginx.log"
	# The count is the last line, after whatever was shown.
	[ ! -s "$dir/count" ] || cat "$dir/count"
fi
exit $rc
