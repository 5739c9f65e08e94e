#!/bin/sh
# No service is started: it has no settings yet. An upgrade restarts a running one,
# which finishes what it has in hand.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart backhaul.service backhaul-trigger.service
fi
