#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Documents: relative links lead somewhere, and no file names a place that
# exists on one machine only.

set -u
cd "$(dirname "$0")/../.." || exit 1
bad=0

# Links [text](target): targets outside and anchors are not followed.
while IFS= read -r file; do
	dir=$(dirname "$file")
	while IFS= read -r target; do
		path=${target%%#*}
		[ -n "$path" ] || continue
		case $path in
			http://* | https://* | mailto:*) continue ;;
			/*) echo "$file: absolute link $target"; bad=1; continue ;;
		esac
		if [ ! -e "$dir/$path" ]; then
			echo "$file: broken link $target"
			bad=1
		fi
	done < <(perl -0777 -ne 's/```.*?```//gs; s/`[^`\n]*`//g;
		print "$1\n" while /\]\(([^)\s]+)\)/g' "$file")
done < <(find . -name '*.md' -not -path './.build/*' -not -path './.demo/*')

# Spelled so that this file does not find itself.
words='/wo[r]k/|deb[.]debian[.]org|registry[.]npmj[s]|/ro[o]t/[.]'
hits=$(grep -rnIE "$words" . --exclude-dir=.git --exclude-dir=.build \
	--exclude-dir=.demo --exclude-dir=results 2>/dev/null)
if [ -n "$hits" ]; then
	echo "names of one machine's places:"
	printf '%s\n' "$hits"
	bad=1
fi

# Every suite and goal named in the documents exists.
while IFS= read -r goal; do
	if ! grep -qE "^DEV_GOALS|^	" Makefile ||
		! grep -qE "(^|[ 	])$goal( |\\\\|\$)" Makefile; then
		case $goal in
			install | installcheck | clean | uninstall | all) ;;
			*) echo "documents name the goal \"make $goal\", which is missing"
				bad=1 ;;
		esac
	fi
done < <(grep -rhoE '`make [a-z][a-z-]*' README.md docs test/README.md \
	--include='*.md' 2>/dev/null | sed 's/.*make //' | sort -u)
exit $bad
