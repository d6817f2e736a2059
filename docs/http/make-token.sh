#!/bin/sh
# SPDX-License-Identifier: PostgreSQL
#
# Make a JSON Web Token (HS256) for kvlsm's HTTP routes, from the secret that
# PostgREST checks it with.  Needs openssl.
#
#   make-token.sh SECRETFILE [ROLE [SECONDS]]    default: kv_reader 3600

set -eu
secret=$(cat "$1")
role=${2:-kv_reader}
end=$(($(date +%s) + ${3:-3600}))

base64url() {
	openssl base64 -A | tr '+/' '-_' | tr -d '='
}

head=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url)
body=$(printf '{"role":"%s","aud":"kvlsm","exp":%s}' "$role" "$end" | base64url)
sign=$(printf '%s.%s' "$head" "$body" |
	openssl dgst -sha256 -hmac "$secret" -binary | base64url)
printf '%s.%s.%s\n' "$head" "$body" "$sign"
