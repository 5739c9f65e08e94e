package archive

import (
	"context"
	"fmt"
	"sync"
)

// writesAtOnce is how many files are written at once: a bucket takes its time for each.
const writesAtOnce = 8

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
