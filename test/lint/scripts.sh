#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Shell and Perl files parse, and carry an SPDX line and a head comment.

set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0
while IFS= read -r f; do
	case $f in
		*.pl | *.pm) ;;
		*) bash -n "$f" || bad=1 ;;
	esac
	head -n 4 "$f" | grep -q 'SPDX-License-Identifier: PostgreSQL' || {
		echo "$f: no SPDX line at the top"
		bad=1
	}
	[ "$(head -n 12 "$f" | grep -c '^# ')" -ge 2 ] || {
		echo "$f: no head comment"
		bad=1
	}
done < <(find test .ci -name '*.sh' -o -name '*.pl' -o -name '*.pm' \
	-o -path .ci/run)
exit $bad
