#!/bin/sh
# deb says "remove" and rpm 0 for a removal that is no upgrade.
set -e
if [ -d /run/systemd/system ] && { [ "$1" = remove ] || [ "$1" = 0 ]; }; then
	systemctl disable --now backhaul.service backhaul-trigger.service
fi
