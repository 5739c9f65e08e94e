#!/bin/sh
# No service is started: it has no settings yet. An upgrade restarts a running one,
# which finishes what it has in flight. One that cannot start, because NATS is away, is
# systemd's to try again; the package is installed all the same.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || :
	systemctl try-restart backhaul.service backhaul-trigger.service backhaul-archive.service || :
fi
