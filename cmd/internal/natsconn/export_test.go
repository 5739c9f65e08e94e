package natsconn

import "time"

// RetryWait is the pause between two questions.
const RetryWait = retryWait

// Asks reports whether the server is asked again.
func (g *Grants) Asks() bool { return time.Now().After(g.notYet) }
