#!/bin/sh
# A cache for a CI job, with nothing but curl, grep and sed: three zones, checked, used, and deleted again.
# Ends with a status other than 0 as soon as anything is not as it should be, and leaves no cache behind then either.
#
#   CACHEWRIGHT_URL         where the server is                       http://127.0.0.1:8379
#   CACHEWRIGHT_ACCOUNT_ID  12 digits; jobs with accounts of their own do not see each other's caches
#   GROUP                   what to call the replication group        ci-cache
#   PATIENCE                seconds to wait for a step                30
set -eu

url=${CACHEWRIGHT_URL:-http://127.0.0.1:8379}/v1
account=${CACHEWRIGHT_ACCOUNT_ID:-000000000000}
group=${GROUP:-ci-cache}
patience=${PATIENCE:-30}
created=

say() { printf '%s\n' "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

# ask METHOD PATH [curl options]: the answer on stdout; not 0 when the server refuses, with what it said.
ask() {
    method=$1 path=$2
    shift 2
    curl -sS --fail-with-body -X "$method" -H "Prefer: wait=$patience" -H "X-Account-Id: $account" "$@" "$url$path"
}

# field NAME: the first value with this name in the JSON on stdin.
field() { grep -o "\"$1\":\"[^\"]*\"" | sed -n '1s/^.*:"\(.*\)"$/\1/p'; }

# endpoint NAME: host:port of this endpoint in the JSON on stdin.
endpoint() { sed -n "s/.*\"$1\":{\"address\":\"\([^\"]*\)\",\"port\":\([0-9]*\)}.*/\1:\2/p"; }

clean_up() {
    status=$?
    trap - EXIT
    if [ -n "$created" ]; then  # what is still being made cannot be deleted yet
        patience=30
        { ask GET "/replication-groups/$group" && ask DELETE "/replication-groups/$group"; } >/dev/null || status=1
    fi
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

curl -fsS --retry "$patience" --retry-delay 1 --retry-max-time "$patience" --retry-connrefused "${url%/v1}/healthz" >/dev/null 2>&1 ||
    fail "no server at ${url%/v1} within $patience s"
say "server:    ${url%/v1}"

made=$(ask POST /replication-groups -H 'Content-Type: application/json' -d '{
    "replication_group_id": "'"$group"'", "replication_group_description": "made by CI", "engine": "valkey",
    "num_cache_clusters": 3, "automatic_failover_enabled": true, "multi_az_enabled": true}') || fail "$made"
created=yes
status=$(say "$made" | field status)
[ "$status" = available ] || fail "$group is '$status' after $patience s, not available"
say "status:    $group is $status"

primary=$(say "$made" | endpoint primary_endpoint)
reader=$(say "$made" | endpoint reader_endpoint)
[ -n "$primary" ] && [ -n "$reader" ] || fail "no endpoints in $made"
say "primary:   $primary"
say "reader:    $reader"

nodes=$(ask GET "/nodes?replication_group_id=$group" | grep -o '{"node":[^}]*') || fail "no nodes"
say "$nodes" | sed 's/.*"node":"\([^"]*\)".*"zone":"\([^"]*\)".*"role":"\([^"]*\)".*"in_sync":\([a-z]*\).*/node:      \1 in \2, \3, in sync: \4/'
in_sync=$(say "$nodes" | grep -c '"in_sync":true') || fail "no node is in sync"
[ "$in_sync" -eq 3 ] || fail "$in_sync of 3 nodes are in sync"

# The tests of the job would come here, with REDIS_URL=redis://$primary. A write, and how many replicas have it:
replies=$(printf 'SET build 1\r\nWAIT 2 2000\r\nQUIT\r\n' | curl -sS --max-time "$patience" "telnet://$primary") || fail "no answer at $primary"
say "$replies" | grep -q '^:2' || fail "a write did not reach both replicas: $replies"
say "write:     on 2 replicas"

ask DELETE "/replication-groups/$group" >/dev/null || fail "could not delete $group"
created=
left=$(curl -sS -o /dev/null -w '%{http_code}' -H "X-Account-Id: $account" "$url/replication-groups/$group")
[ "$left" = 404 ] || fail "$group is still there after $patience s (HTTP $left)"
say "deleted:   $group"
