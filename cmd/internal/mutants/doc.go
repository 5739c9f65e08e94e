// Package mutants checks the tests of the code that the promise rests on: it changes one
// place of a package at a time, as a mistake could, and expects the package's own tests to
// fail. `make mutants` runs all of it, `make mutants AREA=consumer` one area. It takes long
// and is run by hand; the quick test of this package keeps the lists from becoming stale.
//
// # Lists
//
// testdata/<area>.txt has the mutants of an area. The area's first lines name the packages
// whose tests have to find them:
//
//	package ./consumer
//
//	== the claim's doubt is not written before the next try
//	@ consumer/submit.go
//	- c.doubt = d
//	+ _ = d
//	? TestALostAnswerIsFoundAgain
//
// The old text ("-") occurs exactly once in the file. One line is a part of a line; several
// lines are compared without the space around them. The new text ("+") takes its place and
// may be missing. "?" is a regular expression of the tests that find the mutant, as for
// go test -run: those of the mutant's package run first, and all tests of the area run if
// they pass. "=" says why a mutant changes nothing that a test could see; it is not run.
//
// # Results
//
// A mutant is killed if a test fails, or does not end in time, and survives otherwise. One
// that does not compile is a mistake in the list. The check fails if fewer than 95 % are
// killed or if a survivor has no reason. The mutated file is given to the compiler by
// go test -overlay: the tree is never changed.
//
// # Why a tool of our own
//
// gremlins makes mutants by turning conditions and operators around. Most faults that matter
// here are not of that form: a write that is left out, a clock that is read after the write,
// a doubt that is not carried on. Its runs also repeat each package's whole test for every
// mutant, which takes hours for packages that start NATS servers.
package mutants
