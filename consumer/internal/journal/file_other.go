//go:build !linux

package journal

import (
	"errors"
	"os"
)

// Without the id of a boot there is no journal.
func private(string) error              { return errors.ErrUnsupported }
func lock(*os.File) (bool, error)       { return false, errors.ErrUnsupported }
func openFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }
func headerOf(*os.File) ([]byte, error) { return nil, errors.ErrUnsupported }
