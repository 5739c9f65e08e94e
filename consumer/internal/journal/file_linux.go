package journal

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// tmpfs is in memory: what is in it does not outlive a boot.
const tmpfs = 0x01021994

// localTypes are the file systems of one machine, by statfs(2). A lock on another one may be lost
// while its process lives.
var localTypes = []int64{
	0xEF53,     // ext2, ext3, ext4
	0x58465342, // xfs
	0x9123683E, // btrfs
	0xF2F52010, // f2fs
	0x2FC12FC1, // zfs
	tmpfs,
	0x794C7630, // overlayfs
}

// private makes the directory if it does not exist. It returns an error if others may write to it,
// or if it is not on a file system of this machine.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("journal of claims: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("journal of claims: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("journal of claims: %s is not a directory", dir)
	case !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("journal of claims: %s must belong to user %d, and no other user may write to it", dir, os.Geteuid())
	}
	var system syscall.Statfs_t
	if err := syscall.Statfs(dir, &system); err != nil {
		return fmt.Errorf("journal of claims: %s: %w", dir, err)
	}
	if !slices.Contains(localTypes, int64(system.Type)) { //nolint:unconvert // 32 bits on some platforms
		return fmt.Errorf("journal of claims: %s is on a file system of type %#x: %w", dir, system.Type, errors.ErrUnsupported)
	}
	return nil
}

// lock tries to lock a file, and reports whether another process has the lock.
func lock(file *os.File) (busy bool, err error) {
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
}

// headerOf returns the beginning of a journal that was written to this file since the machine was
// started.
func headerOf(file *os.File) ([]byte, error) {
	var system syscall.Statfs_t
	if err := syscall.Fstatfs(int(file.Fd()), &system); err != nil {
		return nil, err
	}
	boot, err := bootOf("/proc/sys/kernel/random/boot_id", int64(system.Type)) //nolint:unconvert // 32 bits on some platforms
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	place, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return fmt.Appendf(nil, "backhaul claims 1\nboot %s\nfile %d.%d\n", boot, place.Dev, place.Ino), nil
}

// bootOf returns the id of this boot. A service whose /proc is cut short (ProcSubset of systemd) cannot
// read it, and needs none for a file in memory.
func bootOf(path string, fileSystem int64) (string, error) {
	id, err := os.ReadFile(path)
	if err != nil && fileSystem == tmpfs {
		return "in memory", nil
	}
	return strings.TrimSpace(string(id)), err
}
