package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	// slotSize divides the size of a page, so that an entry is in one page.
	slotSize = 512
	// The parts of an entry: a mark, the checksum, the length of the text, the text.
	sumAt, sizeAt, textAt = 1, 5, 7

	markFree    byte = 0
	markClaimed byte = 'c' // no call was made
	markSent    byte = 's' // a call may have been made

	suffix = ".claims"
)

// Journal is the file of this process. A nil Journal keeps nothing.
type Journal struct {
	path string

	mu     sync.Mutex
	file   *os.File // open, and so locked, as long as calls may be made
	free   []int    // slots
	broken bool     // the file is removed, and nothing more is written
	closed bool
}

// Entry is the entry of a claim. A nil Entry is of a claim that is not kept. It belongs to one
// goroutine.
type Entry struct {
	of   *Journal
	slot int
	text string
	sent bool
}

// Open makes the journal of this process for a ledger, with room for so many claims at once. The
// directory is made if it does not exist.
func Open(dir, ledger string, slots int) (*Journal, error) {
	if err := private(dir); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return nil, fmt.Errorf("journal of claims: %w", err)
	}
	j := &Journal{file: file, path: filepath.Join(dir, ledger+"-"+strings.TrimPrefix(filepath.Base(file.Name()), "new-")+suffix)}
	for slot := slots; slot >= 1; slot-- {
		j.free = append(j.free, slot)
	}
	if err := j.prepare(slots); err != nil {
		return nil, errors.Join(fmt.Errorf("journal of claims: %w", err), file.Close(), os.Remove(file.Name()))
	}
	return j, nil
}

// prepare locks the file, writes all of it, and gives it its name only then.
func (j *Journal) prepare(slots int) error {
	if busy, err := lock(j.file); err != nil || busy {
		return errors.Join(err, errBusy(busy))
	}
	header, err := headerOf(j.file)
	if err != nil {
		return err
	}
	// Space is allocated now: a full disk must not be found when a claim is marked.
	whole := make([]byte, (slots+1)*slotSize)
	copy(whole, header)
	if _, err := j.file.WriteAt(whole, 0); err != nil {
		return err
	}
	return os.Rename(j.file.Name(), j.path)
}

func errBusy(busy bool) error {
	if busy {
		return errors.New("another process has locked the new file")
	}
	return nil
}

// Begin keeps a claim under which no call was made. It is called before the claim is written to
// the ledger. The text must be different for each claim.
func (j *Journal) Begin(text string) *Entry {
	if j == nil || textAt+len(text) > slotSize {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken || j.closed || len(j.free) == 0 {
		return nil
	}
	e := &Entry{of: j, slot: j.free[len(j.free)-1], text: text}
	j.free = j.free[:len(j.free)-1]
	if _, err := j.file.WriteAt(encode(markClaimed, text), e.offset()); err != nil {
		return nil // the slot is not used again
	}
	return e
}

func (e *Entry) offset() int64 { return int64(e.slot) * slotSize }

// Sent marks the claim: a call may be made from now on. After an error none may be.
func (e *Entry) Sent() error {
	if e == nil || e.sent {
		return nil
	}
	j := e.of
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errors.New("journal of claims: it is closed, and no call may be made")
	}
	if !j.broken {
		if _, err := j.file.WriteAt(encode(markSent, e.text)[:sizeAt], e.offset()); err != nil {
			if removeErr := os.Remove(j.path); removeErr != nil && !errors.Is(removeErr, os.ErrNotExist) {
				return fmt.Errorf("journal of claims: %w", errors.Join(err, removeErr))
			}
			j.broken = true
		}
	}
	e.sent = true
	return nil
}

// End says that no call is made under the claim any more. What the file has of it stays true.
func (e *Entry) End() {
	if e == nil {
		return
	}
	e.of.mu.Lock()
	defer e.of.mu.Unlock()
	if !slices.Contains(e.of.free, e.slot) {
		e.of.free = append(e.of.free, e.slot)
	}
}

// Close ends the journal when no call is made any more. The file is removed, unless claims are left
// for the next process.
func (j *Journal) Close(left bool) error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if j.closed {
		return nil
	}
	if !left && !j.broken {
		err = os.Remove(j.path)
	}
	j.closed = true
	return errors.Join(err, j.file.Close())
}

// encode returns an entry.
func encode(mark byte, text string) []byte {
	entry := make([]byte, textAt+len(text))
	entry[0] = mark
	binary.BigEndian.PutUint16(entry[sizeAt:], uint16(len(text)))
	copy(entry[textAt:], text)
	binary.BigEndian.PutUint32(entry[sumAt:], sum(entry))
	return entry
}

// sum returns the checksum of an entry, which is over all but itself.
func sum(entry []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(entry[:sumAt]), crc32.IEEETable, entry[sizeAt:])
}

// decode returns the claim in a slot. ok is false if there is none, or if it was written in part.
func decode(slot []byte) (c Claim, ok bool) {
	size := int(binary.BigEndian.Uint16(slot[sizeAt:]))
	if slot[0] == markFree || textAt+size > len(slot) {
		return Claim{}, false
	}
	entry := slot[:textAt+size]
	if binary.BigEndian.Uint32(entry[sumAt:]) != sum(entry) || entry[0] != markClaimed && entry[0] != markSent {
		return Claim{}, false
	}
	return Claim{Text: string(entry[textAt:]), Sent: entry[0] == markSent}, true
}
