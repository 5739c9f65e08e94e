//go:build unix && !aix && !solaris

package vendorapi

import (
	"errors"
	"os"
	"syscall"
)

// flock tries to lock a file, and reports whether another process has the lock. The lock ends when
// the file is closed, and with the process.
func flock(file *os.File) (busy bool, err error) {
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
