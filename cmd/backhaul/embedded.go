package main

// What a system usually has as files, for those that have none, such as our image;
// together 0.6 MB of the program. The system's own are preferred.
import (
	_ "time/tzdata" // time zones

	_ "golang.org/x/crypto/x509roots/fallback" // the roots of the Mozilla programme
)
