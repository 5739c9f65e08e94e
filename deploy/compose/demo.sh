#!/usr/bin/env bash
# Brings the cluster of compose.yaml up, shows it at work and at losing a NATS server
# and a replica, and takes it down. `make compose-demo` runs it with the images built.
# It fails if anything was lost or done twice. BATCH is how many requests there are.
set -euo pipefail
cd "$(dirname "$0")"

BATCH=${BATCH:-300}
backhaul=../../bin/backhaul
export BACKHAUL_NATS_URL=nats://127.0.0.1:4222,nats://127.0.0.1:4223,nats://127.0.0.1:4224
if docker compose version >/dev/null 2>&1; then compose="docker compose"; else compose="docker-compose"; fi
compose="$compose -p backhaul-demo"
scratch=$(mktemp -d)

finish() {
	code=$?
	if [ $code -ne 0 ]; then $compose logs --tail 30 >&2 || true; fi
	quietly $compose down --volumes || true
	rm -rf "$scratch"
	exit $code
}
trap finish EXIT

say() { printf '\n$ %s\n' "${1/$backhaul/backhaul}"; }
run() { say "$*"; "$@"; }
# Without its progress, unless it fails.
quietly() { say "$*"; "$@" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; return 1; }; }

# await repeats a question until its answer is yes, for a minute.
await() {
	for _ in $(seq 120); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.5
	done
	echo "in vain: $*" >&2
	return 1
}
ready() { curl -fsS "http://127.0.0.1:$1/readyz"; }
account() { curl -fsS http://127.0.0.1:8081/simulator/account; }
jobs() { account | grep -o '"jobsStarted": *[0-9]*' | grep -o '[0-9]*$'; }
# The stored outcomes, one line each.
started() { $backhaul events --kind job-started --output json; }

quietly $compose up --detach
await ready 9091
await ready 9092
run $compose ps
run $compose logs --no-color setup

run $backhaul request --source billing --client-name s-adhoc-object-storage --subclient-name stestgroup --request-id inv-2026-11-23-0007 --wait
run $backhaul events
run $backhaul status --admin-addr 127.0.0.1:9091

for i in $(seq "$BATCH"); do
	printf '{"requestId":"batch-%d","clientName":"s-adhoc-object-storage","subclientName":"load-%d"}\n' "$i" $((i % 20))
done >"$scratch/batch.ndjson"
say "$backhaul request --source billing --file batch.ndjson --rate 20/s --wait &      # $BATCH requests"
$backhaul request --source billing --file "$scratch/batch.ndjson" --rate 20/s --wait --quiet --output json >"$scratch/answers" &
batch=$!
under_way() { [ "$(started | wc -l)" -gt $((BATCH / 5)) ]; }
await under_way
quietly $compose kill nats-1
quietly $compose kill backhaul-1
run $compose ps
further() { [ "$(started | wc -l)" -gt $((BATCH / 2)) ]; }
await further
quietly $compose start nats-1 backhaul-1
wait $batch
tail -n 1 "$scratch/answers"
await ready 9091
run $backhaul status --admin-addr 127.0.0.1:9091

want=$((BATCH + 1))
say "$backhaul events --kind job-started --output json | wc -l"
started >"$scratch/started"
wc -l <"$scratch/started"
say "$backhaul events --kind job-failed --output json | wc -l"
failed=$($backhaul events --kind job-failed --output json | wc -l)
echo "$failed"
say "curl http://127.0.0.1:8081/simulator/account      # the jobs that the vendor has"
jobs=$(jobs)
echo "$jobs"
if [ "$(wc -l <"$scratch/started")" != $want ] || [ "$failed" != 0 ] || [ "$jobs" != $want ]; then
	echo "$want requests were made" >&2
	exit 1
fi
printf '\n%d requests, %d jobs, %d events: nothing lost, nothing twice.\n' $want $want $want
