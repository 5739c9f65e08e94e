package archive

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"backhaul/publisher"
	"backhaul/schemas"
)

// CheckpointName is the file with the newest checkpoint.
const CheckpointName = "checkpoint"

// Checkpoint is a signed head of the tree.
type Checkpoint struct {
	// Origin is the name of the log, which its key has too.
	Origin string
	tlog.Tree
	// Place is up to where the tree has the stream.
	Place publisher.Place
	// Note is the checkpoint as it is stored, with its signatures; nil if there is none.
	Note []byte
}

// sign returns the checkpoint of a tree. Its bytes depend on the tree and the key alone. Behind
// what every checkpoint of C2SP has is one line of ours, the place.
func sign(tree tlog.Tree, place publisher.Place, signer note.Signer) (Checkpoint, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n%s %d %d\n", signer.Name(), tree.N, base64.StdEncoding.EncodeToString(tree.Hash[:]),
		place.Stream, place.Created.UnixNano(), place.Next)
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return Checkpoint{Origin: signer.Name(), Tree: tree, Place: place, Note: signed}, nil
}

// OpenCheckpoint reads a checkpoint that one of the keys has signed.
func OpenCheckpoint(data []byte, keys Keys) (Checkpoint, error) {
	opened, err := note.Open(data, note.VerifierList(keys...))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: not signed with the key %s: %w; if the key was replaced, name a file with the public keys of all of them (BACKHAUL_ARCHIVE_PUBLIC_KEY)", keys, err)
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) < 5 || lines[0] != keys.Name() {
		return Checkpoint{}, fmt.Errorf("checkpoint: is none of the log %s", keys.Name())
	}
	c := Checkpoint{Origin: lines[0], Note: data}
	if c.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.N < 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint: its size %.30q is no number of leaves", lines[1])
	}
	if c.Hash, err = tlog.ParseHash(lines[2]); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: its root %.60q is no hash", lines[2])
	}
	f := fields{all: strings.Split(lines[3], " ")}
	c.Place = publisher.Place{Stream: f.next(), Created: f.moment(), Next: f.number()}
	if f.wrong != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: its place %.80q: %w", lines[3], f.wrong)
	}
	return c, nil
}

// Seal returns the newest checkpoint as an event has it, the zero one if there is none.
func (l *Log) Seal() schemas.Checkpoint {
	c := l.checkpoint
	if c.Note == nil {
		return schemas.Checkpoint{}
	}
	seal := schemas.Checkpoint{Log: c.Origin, Size: c.N, RootHash: c.Hash.String(), Stream: c.Place.Stream, Next: c.Place.Next, Note: string(c.Note)}
	if l.last != nil {
		seal.Until = l.last.Time
	}
	return seal
}
