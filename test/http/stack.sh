# SPDX-License-Identifier: PostgreSQL
#
# PostgREST and nginx in front of a private cluster, with the configuration
# of docs/http unchanged but for the values marked CHANGE there.  Sourced by
# test/http/run.sh and test/demo/demo.sh, after test/tools/lib.sh.
#
#   kvh_install DIR CLUSTER      schema, roles and secret; cluster running
#   kvh_start DIR CLUSTER        both servers, until they answer
#   kvh_link_socket DIR CLUSTER  after a restart of the cluster
#   kvh_stop DIR                 both servers
#   kvh_token DIR ROLE SECONDS   a token that PostgREST accepts
#   kvh_spawn NAME DIR CMD...    start CMD detached, remember what was started
#   kvh_end NAME DIR             end it, if it is still what was started
#
# DIR receives files and belongs to the user that PostgreSQL runs as; ports
# are in DIR/ports.

KVH_CONF=$KV_ROOT/docs/http

# The start time tells a process from a later one with the same number.
kvh_started_at() {
	sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

kvh_remember() {
	printf '%s %s\n' "$2" "$(kvh_started_at "$2")" >"$1"
}

kvh_alive() {
	local pid start
	[ -s "$1" ] && read -r pid start <"$1" &&
		[ -n "$start" ] && [ "$(kvh_started_at "$pid")" = "$start" ]
}

kvh_spawn() {
	local name=$1 dir=$2
	shift 2
	rm -f "$dir/$name.child"
	kv_as_pg setsid sh -c 'echo $$ >"$0"; exec "$@"' "$dir/$name.child" "$@" \
		</dev/null >>"$dir/$name.log" 2>&1 &
	kv_wait_until 10 test -s "$dir/$name.child" ||
		kv_die "$name did not start, see $dir/$name.log"
	kvh_remember "$dir/$name.run" "$(cat "$dir/$name.child")"
	rm -f "$dir/$name.child"
}

kvh_end() {
	local file=$2/$1.run pid start i
	if kvh_alive "$file"; then
		read -r pid start <"$file"
		kill "$pid" 2>/dev/null
		for i in $(seq 100); do
			kvh_alive "$file" || break
			[ "$i" -lt 70 ] || kill -9 "$pid" 2>/dev/null
			sleep 0.1
		done
	fi
	rm -f "$file"
}

# PostgREST's address of the server must outlive a restart that moves the
# socket.
kvh_link_socket() {
	ln -sfn "$(kv_cluster_socket "$2")" "$1/pg"
}

kvh_install() {
	local dir=$1 cluster=$2 secret
	mkdir -p "$dir/conf" "$dir/tmp"
	secret=$(openssl rand -hex 32) || return 1
	(umask 077 && printf '%s' "$secret" >"$dir/conf/jwt") || return 1
	if [ "$(id -u)" -eq 0 ]; then
		chown -R "$(kv_pg_user)" "$dir" || return 1
	fi
	kv_psql "$cluster" -f - >"$dir/install.log" 2>&1 \
		<"$(kvh_installed_sql)" || {
		cat "$dir/install.log" >&2
		return 1
	}
	kv_psql "$cluster" -f - >"$dir/install.log" 2>&1 <"$KVH_CONF/roles.sql" || {
		cat "$dir/install.log" >&2
		return 1
	}
}

# The file that "make install" put beside the extension.
kvh_installed_sql() {
	printf '%s%s/extension/kvlsm_http.sql\n' "$(kv_install_root)" \
		"$(kv_pg_config --sharedir)"
}

# A value that is not found is an error: the files of docs/http have changed.
kvh_replace() {
	local file=$1 from=$2 to=$3
	grep -qF -- "$from" "$file" || kv_die "$file: no line with $from"
	FROM=$from TO=$to perl -pi -e 's/\Q$ENV{FROM}\E/$ENV{TO}/' "$file"
}

kvh_configure() {
	local dir=$1 http rest admin
	http=${KVH_HTTP_PORT:-$(kv_free_port)}
	rest=$(kv_free_port)
	admin=$(kv_free_port)
	while [ "$rest" = "$http" ]; do rest=$(kv_free_port); done
	while [ "$admin" = "$rest" ] || [ "$admin" = "$http" ]; do
		admin=$(kv_free_port)
	done
	printf 'http=%s\nrest=%s\nadmin=%s\n' "$http" "$rest" "$admin" \
		>"$dir/ports"

	cp -f "$KVH_CONF"/postgrest.conf "$KVH_CONF"/kv_proxy.conf \
		"$KVH_CONF"/nginx.conf "$dir/conf/" || return 1
	mv -f "$dir/conf/nginx.conf" "$dir/conf/kvlsm.conf"
	kvh_replace "$dir/conf/postgrest.conf" \
		'postgres://kv_authenticator@localhost:5432/app' \
		"postgres://kv_authenticator@/postgres?host=$dir/pg&port=5432"
	kvh_replace "$dir/conf/postgrest.conf" '@/etc/kvlsm/jwt' "@$dir/conf/jwt"
	kvh_replace "$dir/conf/postgrest.conf" 'server-port = 3000' \
		"server-port = $rest"
	kvh_replace "$dir/conf/postgrest.conf" 'admin-server-port = 3001' \
		"admin-server-port = $admin"
	kvh_replace "$dir/conf/kvlsm.conf" '127.0.0.1:3000' "127.0.0.1:$rest"
	kvh_replace "$dir/conf/kvlsm.conf" '127.0.0.1:8080' "127.0.0.1:$http"
	kvh_replace "$dir/conf/kvlsm.conf" '/var/log/nginx/kvlsm.log' \
		"$dir/access.log"

	# What a distribution's nginx.conf brings, for a user that is not root.
	cat >"$dir/conf/nginx.conf" <<-EOF
		worker_processes 1;
		daemon off;
		pid $dir/tmp/nginx.pid;
		error_log $dir/nginx.log warn;
		events { worker_connections 512; }
		http {
			client_body_temp_path $dir/tmp/body;
			proxy_temp_path $dir/tmp/proxy;
			fastcgi_temp_path $dir/tmp/fastcgi;
			uwsgi_temp_path $dir/tmp/uwsgi;
			scgi_temp_path $dir/tmp/scgi;
			include kvlsm.conf;
		}
	EOF
	touch "$dir/nginx.log" "$dir/postgrest.log" "$dir/access.log"
	if [ "$(id -u)" -eq 0 ]; then
		chown -R "$(kv_pg_user)" "$dir" || return 1
	fi
}

kvh_ready() {
	local http rest admin
	. "$1/ports"
	curl -sf -m 2 "http://127.0.0.1:$admin/ready" >/dev/null
}

# nginx writes its number when it has its port, for which it tries a while.
kvh_listening() {
	local pid start
	read -r pid start <"$1/nginx.run" &&
		[ "$(cat "$1/tmp/nginx.pid" 2>/dev/null)" = "$pid" ]
}

# Not waited out if one of them has ended, as with a port that is taken.
kvh_up() {
	local i
	for i in $(seq 150); do
		kvh_alive "$1/postgrest.run" && kvh_alive "$1/nginx.run" || return 1
		kvh_ready "$1" && kvh_listening "$1" && return 0
		sleep 0.1
	done
	return 1
}

kvh_nginx_bin() {
	PATH=$PATH:/usr/sbin command -v nginx ||
		kv_die "nginx is not installed; run: test/tools/deps.sh demo"
}

# A port found free may be taken before its server listens: then try others.
kvh_start() {
	local dir=$1 cluster=$2 try rest nginx
	rest=$(kv_postgrest_bin) && nginx=$(kvh_nginx_bin) || return 1
	kvh_link_socket "$dir" "$cluster"
	for try in 1 2 3; do
		kvh_configure "$dir" || return 1
		if kv_as_pg "$nginx" -t -q -p "$dir" -c "$dir/conf/nginx.conf" \
			>>"$dir/nginx.log" 2>&1; then
			kvh_spawn postgrest "$dir" "$rest" "$dir/conf/postgrest.conf"
			kvh_spawn nginx "$dir" "$nginx" -p "$dir" \
				-c "$dir/conf/nginx.conf"
			kvh_up "$dir" && return 0
		fi
		kvh_stop "$dir"
	done
	tail -n 5 "$dir/postgrest.log" "$dir/nginx.log" >&2
	return 1
}

kvh_stop() {
	kvh_end nginx "$1"
	kvh_end postgrest "$1"
}

kvh_token() {
	"$KVH_CONF/make-token.sh" "$1/conf/jwt" "${2:-kv_reader}" "${3:-3600}"
}
