package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// writesAtOnce is how many files are written at once: a bucket takes its time for each.
const writesAtOnce = 8

// vacancy only finds out whether files can be written.
type vacancy struct{ Store }

// Write implements [Store] without writing anything.
func (v vacancy) Write(ctx context.Context, name string, data []byte, k Keep) error {
	there, err := v.Read(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil || bytes.Equal(there, data):
		return err
	}
	return v.Store.Write(ctx, name, data, k) // has the error
}

// writeAll writes files until one cannot be written, and waits for those that it has begun.
func writeAll(ctx context.Context, store Store, files []file) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, writesAtOnce)
	var running sync.WaitGroup
	for _, f := range files {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			if err := store.Write(ctx, f.name, f.data, f.keep); err != nil {
				cancel(fmt.Errorf("write %s: %w", f.name, err))
			}
			<-slots
		})
	}
	running.Wait()
	return context.Cause(ctx)
}
