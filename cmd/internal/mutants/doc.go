// Package mutants checks the tests of the code that the promise depends on: it introduces
// one plausible mistake at a time into a package and expects the package's own tests to
// fail. `make mutants` runs all mutants, `make mutants AREA=consumer` those of one area. A
// run takes long and is started by hand; the quick test of this package keeps the lists
// from becoming stale.
//
// # Lists
//
// testdata/<area>.txt lists the mutants of an area. Its first lines name the packages whose
// tests must find them:
//
//	package ./consumer
//
//	== the claim's doubt is not written before the next try
//	@ consumer/submit.go
//	- c.doubt = d
//	+ _ = d
//	? TestALostAnswerIsFoundAgain
//
// The old text ("-") must occur exactly once in the file. A single "-" line matches a part
// of a line; several match whole lines, ignoring the space around them. The new text ("+")
// replaces it and may be empty. "?" is a regular expression, as for go test -run, of the
// tests that find the mutant: those of the mutant's package run first, and if they pass, all
// tests of the area run. "=" states why no test can observe the mutant; it is not run.
//
// # Results
//
// A mutant is killed if a test fails or exceeds its time, and survives otherwise. A mutant
// that does not compile is a mistake in the list. The check fails if fewer than 95 % are
// killed, and for each survivor. The mutated file is passed to the compiler by go test
// -overlay, so the tree is never changed.
//
// # Why not gremlins
//
// gremlins creates mutants by inverting conditions and replacing operators. Most faults that
// matter here have another form: a missing write, a clock that is read after the write, a
// doubt that is not carried over. gremlins also repeats the whole test of a package for
// every mutant, which takes hours for packages that start NATS servers.
package mutants
