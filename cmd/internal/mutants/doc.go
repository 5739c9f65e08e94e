// Package mutants checks the tests of the code that the promise depends on: it introduces
// one plausible mistake at a time into a package and expects the package's own tests to
// fail. `make mutants` runs all mutants, `make mutants AREA=consumer` those of one area. A
// run is started by hand. The quick tests of this package keep the lists from becoming stale:
// each mutant must apply once and compile.
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
// # How it works
//
// A build of a package and its tests takes longer than most of the tests that find a
// mutant. All mutants of an area are therefore built into one test binary per package. A
// mutated function begins with a switch over the environment variable MUTANT and calls the
// variant that has the mutant in it:
//
//	func (c *Counter) Add(n int) {
//		switch mutant__ {
//		case 7:
//			c.Add__mutant7(n)
//			return
//		}
//		c.n += n
//	}
//
//	func (c *Counter) Add__mutant7(n int) { c.n -= n }
//
// The sources are passed to the compiler as an overlay, so the tree is never changed. First
// all tests run with a variant of each function that has no mutant in it. They must pass, so
// that a failure later is the mutant's. Each mutant then has a process of its own. A program
// that a test builds has the same sources: the go command takes the overlay from GOFLAGS.
//
// A mutant has a build of its own, which is slower, if it changes a constant, a package
// variable, a type, a function's signature or more than one function. The same applies to
// functions that have a parameter without a name, call recover, or are named init.
//
// # Results
//
// A mutant is killed by the first of:
//
//   - a failed test;
//   - a goroutine that is left over (goleak);
//   - a panic or a fatal error of the runtime;
//   - a timeout, if nothing else killed it: 90 s for the tests that the list names, most of
//     which fail after waiting a minute themselves. The summary names these mutants, because
//     a slow machine can also cause a timeout.
//
// It survives if all tests of the area pass. A mutant that does not compile and a name of
// tests that do not exist are mistakes in the list. The check fails for a mistake, for each
// survivor, and if fewer than 95 % are killed.
//
// # Limits
//
// The tests run without the race detector. A frame of the variant is in each stack trace.
//
// # Why not gremlins
//
// gremlins creates mutants by inverting conditions and replacing operators. Most faults that
// matter here have another form: a missing write, a clock that is read after the write, a
// doubt that is not carried over. gremlins also repeats the whole test of a package for
// every mutant, which takes hours for packages that start NATS servers.
package mutants
