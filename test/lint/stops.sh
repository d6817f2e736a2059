#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# The stop points in the sources are those of test/t/stop_points.txt, each in
# one place: a point that no test kills at would be worth nothing.

set -u
cd "$(dirname "$0")/../.." || exit 1
list=test/t/stop_points.txt
there=$(grep -rhoE 'stop\(([a-z_>-]+, )?"[a-z-]+"\)' src --include='*.c' |
	sed 's/.*"\(.*\)".*/\1/' | LC_ALL=C sort)
listed=$(sed 's/#.*//; /^[[:space:]]*$/d' "$list" | awk '{print $1}' |
	LC_ALL=C sort)
if [ "$there" != "$listed" ]; then
	echo "$list (<) and src (>) differ:"
	diff <(echo "$listed") <(echo "$there") | grep '^[<>]'
	exit 1
fi
