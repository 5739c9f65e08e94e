package archive

import (
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
)

// edge is the right edge of the tree: at each level the hashes of the tile that is not full
// yet. A hash at level n stands for 256 to the power of n leaves.
type edge [][]tlog.Hash

// add adds the hash of a leaf. full, if not nil, is called for each tile that it fills.
func (e *edge) add(h tlog.Hash, full func(level int, hashes []tlog.Hash)) {
	for level := 0; ; level++ {
		if level == len(*e) {
			*e = append(*e, make([]tlog.Hash, 0, tileWidth))
		}
		(*e)[level] = append((*e)[level], h)
		if len((*e)[level]) < tileWidth {
			return
		}
		if full != nil {
			full(level, (*e)[level])
		}
		h = fold((*e)[level])
		(*e)[level] = (*e)[level][:0]
	}
}

// root returns the root of the tree, that of an empty one if there are no leaves.
func (e edge) root() tlog.Hash {
	var parts []tlog.Hash // perfect subtrees, the largest first
	for level := len(e) - 1; level >= 0; level-- {
		hashes := e[level]
		for size := tileWidth; size > 0; size /= 2 {
			if len(hashes)&size != 0 {
				parts, hashes = append(parts, fold(hashes[:size])), hashes[size:]
			}
			if len(hashes) == 0 {
				break
			}
		}
	}
	if len(parts) == 0 {
		empty, _ := tlog.TreeHash(0, nil)
		return empty
	}
	root := parts[len(parts)-1]
	for i := len(parts) - 2; i >= 0; i-- {
		root = tlog.NodeHash(parts[i], root)
	}
	return root
}

func (e edge) clone() edge {
	cloned := make(edge, len(e))
	for level, hashes := range e {
		cloned[level] = append(make([]tlog.Hash, 0, tileWidth), hashes...)
	}
	return cloned
}

// fold returns the root of a perfect tree over hashes.
func fold(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	level := make([]tlog.Hash, len(hashes)/2)
	for i := range level {
		level[i] = tlog.NodeHash(hashes[2*i], hashes[2*i+1])
	}
	return fold(level)
}

func tileBytes(hashes []tlog.Hash) []byte {
	data := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		data = append(data, h[:]...)
	}
	return data
}

func tileHashes(data []byte) []tlog.Hash {
	hashes := make([]tlog.Hash, len(data)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], data[i*tlog.HashSize:])
	}
	return hashes
}

// tileName returns the name of a tile's file; width is that of a tile that is not full, else 0.
func tileName(level int, index int64, width int) string {
	return fmt.Sprintf("tile/%d/%s", level, indexName(index, width))
}

// bundleName returns the name of the file with the leaves of a tile of level 0.
func bundleName(index int64, width int) string { return "tile/entries/" + indexName(index, width) }

// indexName returns an index as C2SP tlog-tiles has it in names: x001/x234/067.
func indexName(index int64, width int) string {
	name := fmt.Sprintf("%03d", index%1000)
	for index >= 1000 {
		index /= 1000
		name = fmt.Sprintf("x%03d/%s", index%1000, name)
	}
	if width > 0 && width < tileWidth {
		name += ".p/" + strconv.Itoa(width)
	}
	return name
}
