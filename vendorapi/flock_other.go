//go:build !unix || aix || solaris

package vendorapi

import (
	"errors"
	"os"
)

// flock returns an error: without a lock, two processes could renew the same pair.
func flock(*os.File) (busy bool, err error) { return false, errors.ErrUnsupported }
