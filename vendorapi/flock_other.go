//go:build !unix || aix || solaris

package vendorapi

import (
	"errors"
	"os"
)

// flock: without it nothing keeps two processes from renewing the same pair.
func flock(*os.File) (busy bool, err error) { return false, errors.ErrUnsupported }
