#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# TAP tests (test/t/*.pl) with PostgreSQL::Test, as an unprivileged user.
# Called by run.sh, which prepares KV_STAGE.  PROVE_TESTS names single files.
#
# A skipped test, a skipped file and a program that ends without a plan are
# failures: on the machines that count nothing may be missing.

set -u
. "$(dirname "$0")/lib.sh"

in=$KV_STAGE/in
out=$KV_STAGE/tap
pgxs=$(cd "$(dirname "$(kv_pg_config --pgxs)")/../.." && pwd)
bindir=$(kv_bindir) || exit 1
passed=0
failed=0

kv_need prove
[ -d "$pgxs/src/test/perl/PostgreSQL" ] ||
	kv_die "PostgreSQL::Test is missing in $pgxs"
perl -MIPC::Run -e1 || kv_die "libipc-run-perl is missing"

run_one() {
	local file=$1 t start=$SECONDS rc=0
	t=$(basename "$file" .pl)
	mkdir -p "$out/$t"
	[ "$(id -u)" -ne 0 ] || chown "$(kv_pg_user)" "$out/$t"
	cd "$in" || exit 1
	kv_as_pg env PATH="$bindir:$PATH" TESTDIR="$out/$t" \
		TESTDATADIR="$out/$t/tmp_check" TESTLOGDIR="$out/$t/log" \
		PG_REGRESS="$pgxs/src/test/regress/pg_regress" PGPORT=65432 \
		LC_ALL=C PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-60}" \
		prove -v -I "$pgxs/src/test/perl" -I "$in/test/t" "$file" \
		>"$out/$t.log" 2>&1 || rc=$?
	echo "$rc $((SECONDS - start))" >"$out/$t.rc"
}

count() {
	local t=$1 p f rc took
	read -r rc took <"$out/$t.rc" || rc=1 took=0
	p=$(grep -E '^ok ' "$out/$t.log" | grep -vciE '# *(SKIP|TODO)')
	f=$(grep -E '^not ok ' "$out/$t.log" | grep -vciE '# *TODO')
	f=$((f + $(grep -ciE '^(ok [0-9]+|1\.\.0).*# *SKIP' "$out/$t.log")))
	if [ "$f" -eq 0 ] && { [ "$rc" -ne 0 ] || [ "$p" -eq 0 ]; }; then
		f=1
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	printf '%s - %s: %d passed, %d failed, %d s\n' \
		"$([ "$f" -eq 0 ] && echo ok || echo 'not ok')" "$t" "$p" "$f" "$took"
	# what a long form has to say for itself
	[ "${KV_LONG:-0}" = 0 ] || sed -n 's/^# figure: /# /p' "$out/$t.log"
	if [ "$f" -gt 0 ]; then
		grep -E '^not ok|^#|SKIP' "$out/$t.log" | head -n 60
		tail -n 15 "$out/$t.log"
		saved=$KV_ROOT/.build/logs/tap/$t
		rm -rf "$saved"
		mkdir -p "$saved"
		cp -r "$out/$t.log" "$out/$t"/log "$out/$t"/tmp_check/log \
			"$saved/" 2>/dev/null
		kv_say "logs: .build/logs/tap/$t"
	fi
}

mkdir -p "$out"
files=()
if [ -n "${PROVE_TESTS:-}" ]; then
	for f in $PROVE_TESTS; do
		files+=("test/t/$(basename "$f" .pl).pl")
	done
else
	for f in "$in"/test/t/*.pl; do
		[ -e "$f" ] && files+=("test/t/$(basename "$f")")
	done
fi

# Two at a time; each is reported when its turn in the list comes.
for f in "${files[@]}"; do
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do
		wait -n
	done
	run_one "$f" &
done
for f in "${files[@]}"; do
	t=$(basename "$f" .pl)
	while [ ! -s "$out/$t.rc" ]; do
		[ -n "$(jobs -rp)" ] || break
		wait -n
	done
	count "$t"
done
kv_say "tap: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
