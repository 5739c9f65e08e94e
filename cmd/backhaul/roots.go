package main

import (
	"crypto/x509"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// useRoots makes the roots of the Mozilla programme those of systems that have none. main calls it
// in the background, and every command before it runs: package fallback reads the roots before main
// begins, which was an eighth of the time that a command takes to start.
var useRoots = sync.OnceFunc(func() { x509.SetFallbackRoots(mozillaRoots()) })

// mozillaRoots returns the roots with the constraints that Mozilla has on some.
func mozillaRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		switch {
		case err != nil:
			panic(err) // the bundle is part of the program
		case root.Constraint == nil:
			pool.AddCert(cert)
		default:
			pool.AddCertWithConstraint(cert, root.Constraint)
		}
	}
	return pool
}
