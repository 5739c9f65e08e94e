#!/bin/sh
# deb says "remove" and rpm 0 for a removal that is no upgrade. A service
# that does not stop well keeps no package.
set -e
if [ -d /run/systemd/system ] && { [ "$1" = remove ] || [ "$1" = 0 ]; }; then
	systemctl disable --now backhaul.service backhaul-trigger.service backhaul-archive.service || :
fi
