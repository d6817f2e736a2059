#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# From a checkout to a running kvlsm with real data, each step shown.
#
#   test/demo/demo.sh start     "make demo": ends an earlier one first
#   test/demo/demo.sh stop      "make demo-stop": ends it, removes its files
#
# Everything lies in .demo, which belongs to an unprivileged user.  Where that
# user cannot enter the checkout, .demo is a link to a directory in /tmp.  No
# service and no cluster of the machine is touched.

set -u
unset MAKEFLAGS MAKELEVEL
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/../http/stack.sh"
cd "$KV_ROOT" || exit 1

link=$KV_ROOT/.demo
demo=
pg=
web=
loaded=0
running=

# ---------------------------------------------------------------------------
# What the user sees
# ---------------------------------------------------------------------------

bold= dim= plain=
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

title() {
	printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

now_ms() {
	date +%s%3N
}

seconds() {
	printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
}

# 1234567 -> 1,234,567
grouped() {
	printf '%s' "$1" | sed ':a; s/\B[0-9]\{3\}\>/,&/; ta'
}

mebibytes() {
	printf '%s MiB' $((($1 + 524288) / 1048576))
}

# One line a step: what it is, a dot a second, how long it took.
step() {
	local what=$1 from rc=0 tick=0
	shift
	printf '  %-46s ' "$what"
	from=$(now_ms)
	# A process group of its own, which Ctrl-C can end as a whole.
	set -m
	"$@" >>"$demo/demo.log" 2>&1 </dev/null &
	running=$!
	set +m
	while kill -0 "$running" 2>/dev/null; do
		sleep 0.1
		tick=$((tick + 1))
		[ $((tick % 10)) -ne 0 ] || printf '.'
	done
	wait "$running" || rc=$?
	running=
	took=$(($(now_ms) - from))
	if [ $rc -ne 0 ]; then
		printf ' failed\n\n'
		tail -n 20 "$demo/demo.log" >&2
		[ ! -e "$pg.log" ] || tail -n 5 "$pg.log" >&2
		kv_die "$what: failed; see $demo/demo.log"
	fi
	printf ' %s\n' "$(seconds "$took")"
}

# Print a command line, run that very line, show its answer.  Here psql and
# curl are the functions below, which add what is the same in every line.
show() {
	printf '  %s$%s %s%s%s\n' "$dim" "$plain" "$bold" "$1" "$plain"
	(set -o pipefail; eval "$1") >"$demo/answer" 2>&1 || {
		cat "$demo/answer" >&2
		kv_die "this command failed: $1"
	}
	sed -e '$a\' "$demo/answer" | sed -e '/^$/d' -e 's/^/    /'
}

psql() {
	kv_psql "$pg" -P footer=off "$@"
}

curl() {
	command curl -sS -m 20 "$@" && echo
}

# ---------------------------------------------------------------------------
# Start and stop
# ---------------------------------------------------------------------------

# Sets demo, pg and web.  A first run makes the directory.
find_directory() {
	if [ -L "$link" ] && [ ! -d "$link" ]; then
		rm -f "$link"
	fi
	if [ ! -d "$link" ] && [ "${1:-}" = make ]; then
		if [ "$(id -u)" -ne 0 ] || kv_as_pg test -r "$KV_ROOT/Makefile"; then
			mkdir "$link" || exit 1
		else
			demo=$(mktemp -d /tmp/kvlsm-demo.XXXXXX) || exit 1
			ln -s "$demo" "$link"
		fi
		chmod 755 "$link/"
	fi
	[ -d "$link" ] || return 1
	[ -w "$link" ] ||
		kv_die "another user started this demonstration; it is in $link"
	demo=$(cd -P "$link" && pwd)
	pg=$demo/pg
	web=$demo/http
}

# The postmaster is ours if it works in our data directory.
postmaster_pid() {
	local pid
	pid=$(head -n 1 "$pg/postmaster.pid" 2>/dev/null) || return 1
	[ "$(readlink "/proc/$pid/cwd")" = "$pg" ] || return 1
	printf '%s\n' "$pid"
}

postmaster_gone() {
	! postmaster_pid
}

stop_all() {
	local pid
	kvh_stop "$web"
	if pid=$(postmaster_pid); then
		kill -INT "$pid"
		if ! kv_wait_until 30 postmaster_gone; then
			kill -QUIT "$pid"
			kv_wait_until 10 postmaster_gone ||
				kv_die "PostgreSQL (process $pid) does not end"
		fi
	fi
	if [ -e "$pg.socket" ]; then
		rm -rf "$(cat "$pg.socket")" "$pg.socket"
	fi
}

remove_all() {
	stop_all
	rm -rf "${demo:?}"
	rm -rf "$link"
}

# However it ends, nothing is left running unless the tour was completed.
ended() {
	[ -z "$running" ] || kill -- "-$running" 2>/dev/null
	[ "$complete" = yes ] || [ ! -d "$demo" ] || {
		stop_all
		kv_say "stopped; its files are in $(shown_path), make demo-stop" \
			"removes them"
	}
}

build() {
	make -s -C "$KV_ROOT" -j"$(nproc)" all &&
		KV_INSTALL=$demo/install kv_make_install "$demo/install"
}

# Programs that the unprivileged user could not reach in the checkout.
reachable_postgrest() {
	local bin
	bin=$(kv_postgrest_bin) || return 1
	if ! kv_as_pg test -x "$bin"; then
		cp -f "$bin" "$demo/postgrest" && chmod 755 "$demo/postgrest"
	fi
}

start_cluster() {
	kv_cluster_start "$pg" || return 1
	# The cluster trusts whoever reaches its socket: nobody else does.
	chmod 700 "$(kv_cluster_socket "$pg")"
}

create_cluster() {
	kv_cluster_init "$pg" && start_cluster
}

# ---------------------------------------------------------------------------
# Data: one row a stanza of the package index, as COPY reads it
# ---------------------------------------------------------------------------

stanzas() {
	perl -00 -ne '
		/^Package: *(\S+)/m or next;
		my $key = $1;
		s/\n+\z//;
		s/([\\\t\n\r])/{"\\" => "\\\\", "\t" => "\\t", "\n" => "\\n",
			"\r" => "\\r"}->{$1}/ge;
		print "$key\t$_\n";'
}

# Without package lists the installed packages are what there is.
collect_data() {
	apt-cache dumpavail 2>/dev/null | stanzas >"$demo/packages.tsv"
	if [ "$(wc -l <"$demo/packages.tsv")" -lt 100 ]; then
		stanzas </var/lib/dpkg/status >"$demo/packages.tsv"
	fi
	[ -s "$demo/packages.tsv" ]
}

copy_data() {
	psql -c "CREATE TABLE packages (n serial, package text, stanza text)" &&
		kv_psql "$pg" -c "COPY packages (package, stanza) FROM STDIN" \
			<"$demo/packages.tsv"
}

load_data() {
	kv_psql "$pg" -At >"$demo/loaded" \
		-c "SELECT count(kv_put(package, stanza)) FROM packages"
}

# Every package, against the last stanza of that name.
count_equal() {
	kv_psql "$pg" -At >"$1" -c "
		SELECT count(*) FILTER (WHERE kv_get(package) = stanza), count(*)
		FROM (SELECT DISTINCT ON (package) package, stanza
			  FROM packages ORDER BY package, n DESC) p"
}

disk_bytes() {
	du -sb "$pg/kvlsm" 2>/dev/null | cut -f1
}

# ---------------------------------------------------------------------------
# The tour
# ---------------------------------------------------------------------------

prepare() {
	title "Preparing (nothing outside $(shown_path) but missing packages)"
	bash test/tools/deps.sh demo || exit 1
	step "building and installing below .demo" build
	export KV_INSTALL=$demo/install KV_CONF=$KV_ROOT/test/demo/demo.conf
	reachable_postgrest || exit 1
	if [ -x "$demo/postgrest" ]; then
		export KV_POSTGREST=$demo/postgrest
	fi
	step "a private cluster, user $(kv_pg_user)" create_cluster
}

shown_path() {
	[ -L "$link" ] && printf '%s' "$demo" || printf '.demo'
}

sql_tour() {
	title "A store, a key, a value"
	show "psql -c 'CREATE EXTENSION kvlsm'"
	show "psql -Atc \"SELECT kv_create_store('kv')\""
	show "psql -Atc \"SELECT kv_put('greeting', 'hello, world')\""
	show "psql -Atc \"SELECT kv_get('greeting')\""
}

load_tour() {
	local rows
	title "Real data: this machine's package index"
	step "apt-cache dumpavail > packages.tsv" collect_data
	rows=$(wc -l <"$demo/packages.tsv")
	step "COPY packages FROM packages.tsv" copy_data
	step "SELECT count(kv_put(package, stanza)) ..." load_data
	load_ms=$((took > 0 ? took : 1))
	loaded=$(cat "$demo/loaded")
	[ "$loaded" -eq "$rows" ] || kv_die "$loaded of $rows rows were stored"
	kv_say "  $(grouped "$rows") rows, $(mebibytes \
		"$(stat -c %s "$demo/packages.tsv")"), one transaction:" \
		"$(grouped $((rows * 1000 / load_ms))) rows/s"
	show "psql -Atc \"SELECT kv_get('bash')\" | head -n 4"
}

batch_tour() {
	title "Batch put, prefix range, delete"
	show "psql -Atc 'SELECT kv_batch_put(\$\$[{\"key\":\"user:1\",\"value\":{\"name\":\"Ada\"}},
        {\"key\":\"user:2\",\"value\":{\"name\":\"Grace\"}}, {\"key\":\"user:3\",\"value\":\"gone soon\"}]\$\$)'"
	show "psql -c \"SELECT * FROM kv_range(prefix => 'user:')\""
	show "psql -Atc \"SELECT kv_delete('user:3')\""
	show "psql -Atc \"SELECT kv_exists('user:3')\""
	show "psql -c \"SELECT key, length(value) FROM kv_range(prefix => 'postgresql-1', max_rows => 3)\""
}

http_tour() {
	local http rest admin
	title "The same over HTTP, through nginx and PostgREST"
	step "schema kv_http, roles, a secret" kvh_install "$web" "$pg"
	step "PostgREST and nginx on free ports" kvh_start "$web" "$pg"
	. "$web/ports"
	URL=http://127.0.0.1:$http
	TOKEN=$(kvh_token "$web" kv_writer 86400)
	AUTH="Authorization: Bearer $TOKEN"
	JSON="Content-Type: application/json"
	kv_say "  URL=$URL"
	kv_say "  TOKEN=\$(docs/http/make-token.sh .demo/http/conf/jwt kv_writer)"
	kv_say "  AUTH=\"Authorization: Bearer \$TOKEN\""
	kv_say "  JSON='Content-Type: application/json'"
	show "curl -H \"\$AUTH\" -H \"\$JSON\" \$URL/kv/put -d '{\"key\":\"a/b c\",\"value\":{\"n\":1}}'"
	show "curl -H \"\$AUTH\" \$URL/kv/read/a%2Fb%20c"
	show "curl -H \"\$AUTH\" -H \"\$JSON\" \$URL/kv/batch-put -d '{\"items\":[{\"key\":\"t:1\",\"value\":1},{\"key\":\"t:2\",\"value\":null}]}'"
	show "curl -H \"\$AUTH\" \"\$URL/kv/range?prefix=t:\""
	show "curl -H \"\$AUTH\" -X DELETE \$URL/kv/delete/t:1"
	kv_say "  # deleted: status 404"
	show "curl -H \"\$AUTH\" \$URL/kv/read/t:1"
	kv_say "  # without the token: status 401"
	show "curl \$URL/kv/read/t:2"
}

kill_and_restart() {
	local pid
	pid=$(postmaster_pid) || return 1
	kill -9 "$pid"
	kv_wait_until 10 sh -c "! kill -0 $pid" || return 1
	restarted=$(now_ms)
	kv_wait_until 60 start_cluster || return 1
	kv_psql "$pg" -At -c "SELECT kv_get('last words')" >"$demo/last" || return 1
	echo $(($(now_ms) - restarted)) >"$demo/recovery_ms"
	kvh_link_socket "$web" "$pg"
}

crash_tour() {
	local lines
	title "kill -9 of PostgreSQL, and everything is still there"
	show "psql -Atc \"SELECT kv_put('last words', 'committed just before the kill')\""
	lines=$(wc -l <"$pg.log")
	step "kill -9 $(postmaster_pid); start; first kv_get" kill_and_restart
	tail -n +$((lines + 1)) "$pg.log" | grep 'LOG:  kvlsm: store opened' |
		sed 's/^.*LOG: */    log: /' | tee "$demo/opened"
	show "psql -Atc \"SELECT kv_get('last words')\""
	step "comparing each package with its stanza" count_equal "$demo/equal"
	IFS='|' read -r equal all <"$demo/equal"
	[ "$equal" = "$all" ] || kv_die "only $equal of $all are equal"
	kv_say "  $(grouped "$equal") of $(grouped "$all") packages read back equal"
	kv_wait_until 40 http_answers || kv_die "HTTP did not come back"
	show "curl -H \"\$AUTH\" \$URL/kv/read/t:2"
}

http_answers() {
	command curl -sf -m 2 -H "$AUTH" "$URL/kv/read/t:2"
}

figures() {
	local bytes
	step "SELECT kvlsm_flush()" kv_psql "$pg" -c "SELECT kvlsm_flush()"
	bytes=$(disk_bytes)
	title "This run"
	kv_say "  load       $(grouped $((loaded * 1000 / load_ms))) rows/s" \
		"($(grouped "$loaded") rows in $(seconds "$load_ms"), one transaction)"
	kv_say "  on disk    $(mebibytes "${bytes:-0}") in the kvlsm directory," \
		"for $(mebibytes "$(stat -c %s "$demo/packages.tsv")") of data"
	kv_say "  recovery   $(seconds "$(cat "$demo/recovery_ms")") from start to" \
		"the first kv_get after kill -9;" \
		"$(sed 's/.*opened in \([0-9]* ms\).*/\1/' "$demo/opened") of it" \
		"kvlsm's, the rest PostgreSQL's"
}

farewell() {
	title "Go on with (in this directory; the token lasts an hour)"
	kv_say "  psql -h $(kv_cluster_socket "$pg") -U postgres"
	kv_say "  TOKEN=\$(docs/http/make-token.sh .demo/http/conf/jwt kv_writer)"
	kv_say "  curl -H \"Authorization: Bearer \$TOKEN\" $URL/kv/read/bash"
	kv_say "  curl -H \"Authorization: Bearer \$TOKEN\"" \
		"\"$URL/kv/range?prefix=postgresql-&limit=3&keys_only=1\""
	kv_say ""
	kv_say "  make demo-stop ends it and removes $(shown_path)."
}

case ${1:-} in
	start)
		if find_directory; then
			kv_say "ending the earlier demonstration"
			remove_all
		fi
		find_directory make || kv_die "cannot make $link"
		complete=no
		trap ended EXIT
		trap 'printf "\n"; exit 130' INT TERM HUP
		kv_say "${bold}kvlsm${plain}: a log-structured key-value store" \
			"inside PostgreSQL"
		prepare
		sql_tour
		load_tour
		batch_tour
		http_tour
		crash_tour
		figures
		farewell
		complete=yes
		;;
	stop)
		if find_directory; then
			remove_all
			kv_say "the demonstration is stopped and its files are removed"
		else
			kv_say "no demonstration is running"
		fi
		;;
	*) kv_die "usage: $0 start|stop" ;;
esac
